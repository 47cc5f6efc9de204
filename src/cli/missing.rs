//! A file that COPY or ADD did not find: whether `.dockerignore` hides it, and what in the context has a like name.

use std::{fs, path::Path};

use super::ignored::ignore_file;
use crate::{
    model::{Failure, FailureKind},
    session::hiding_line,
};

/// Entries of the context that are looked at.
const MOST: usize = 20_000;
/// Names that are offered.
const OFFERED: usize = 3;
/// How like a name must be, from 0 to 1.
const LIKE: f64 = 0.6;

/// With what is known of the file, where one was missing.
pub(super) fn explain(mut failure: Failure, context: &Path, dockerfile: &Path) -> Failure {
    let elsewhere = ["--from=", ",from=", "--mount=from="].iter().any(|from| failure.step.contains(from));
    if failure.kind != FailureKind::Build || elsewhere {
        return failure;
    }
    if let Some(name) = not_walked(&failure.what) {
        failure.what = format!("{}: \"/{name}\": not found", failure.step);
    }
    let what = failure.what.clone();
    let Some(name) = missing(&what) else { return failure };
    if context.join(name).symlink_metadata().is_ok() {
        let path = ignore_file(context, dockerfile);
        let Some(line) = fs::read(&path).ok().and_then(|text| hiding_line(&text, name.as_bytes())) else {
            return failure;
        };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let next = format!("{file}:{line} hides it: take that line out, or add a line !{name} after it");
        return failure.next(next);
    }
    let names = names(context);
    let next = match nearest(name, &names).as_slice() {
        _ if names.is_empty() => {
            "the build context is empty: name a directory, as in -f - . where the Dockerfile comes on \
                                  standard input"
                .to_owned()
        }
        [] => {
            "it is not in the build context, and nothing of a like name is: check the path, which begins at the context"
                .to_owned()
        }
        names => format!("it is not in the build context; what has a like name there: {}", names.join(", ")),
    };
    failure.next(next)
}

/// `"/a/b": not found`, and Docker 20.10's `"/a/b" not found: not found`.
fn missing(what: &str) -> Option<&str> {
    let before = what.strip_suffix(": not found")?;
    let quoted = before.strip_suffix(" not found").unwrap_or(before).strip_suffix('"')?;
    let (_, path) = quoted.rsplit_once("\"/")?;
    Some(path).filter(|path| !path.is_empty())
}

/// `failed to walk .../buildkit-mount123/a/b: lstat ...: no such file or directory`, where already a directory is missing.
fn not_walked(what: &str) -> Option<&str> {
    let path = what.rsplit_once("failed to walk ")?.1.split(": ").next()?;
    let (_, within) = path.split_once("/buildkit-mount")?;
    what.ends_with(": no such file or directory").then_some(within.split_once('/')?.1)
}

/// What is in the context, nearest its root first.
fn names(context: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = std::collections::VecDeque::from([context.to_owned()]);
    while let Some(directory) = directories.pop_front() {
        // What cannot be read offers nothing.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if found.len() >= MOST {
                return found;
            }
            let path = entry.path();
            if entry.file_name() == ".git" {
                continue;
            }
            if let Some(name) = path.strip_prefix(context).ok().and_then(Path::to_str) {
                found.push(name.to_owned());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push_back(path);
            }
        }
    }
    found
}

/// The likest names, best first. The same name elsewhere, or in other letters, is likest.
fn nearest<'n>(wanted: &str, names: &'n [String]) -> Vec<&'n str> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let likeness = |name: &str| {
        let whole = strsim::normalized_damerau_levenshtein(&wanted.to_lowercase(), &name.to_lowercase());
        if last(name) == last(wanted) { whole + 1.0 } else { whole }
    };
    let mut rated: Vec<(f64, &str)> = names.iter().map(|name| (likeness(name), name.as_str())).collect();
    rated.retain(|(likeness, _)| *likeness >= LIKE);
    rated.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    rated.into_iter().take(OFFERED).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(what: &str, step: &str, files: &[&str], ignore: &str) -> String {
        let context = tempfile::tempdir().unwrap();
        for file in files {
            let path = context.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::write(context.path().join(".dockerignore"), ignore).unwrap();
        let failure = Failure { step: step.to_owned(), ..Failure::new(FailureKind::Build, what) }.next("as before");
        explain(failure, context.path(), &context.path().join("Dockerfile")).next
    }

    #[test]
    fn like_names_are_offered() {
        let files = &["package.json", "web/packages.json", "src/main.rs", "README.md", ".git/package.jso"];
        let next = |what| next(what, "[2/2] COPY x /", files, "");
        let offered = |what| next(what).split_once("there: ").map(|(_, names)| names.to_owned()).unwrap_or_default();
        assert_eq!(offered("[2/2] COPY x /: \"/packge.json\": not found"), "package.json, web/packages.json");
        assert_eq!(offered("[2/2] COPY x /: \"/main.rs\": not found"), "src/main.rs");
        assert_eq!(offered("\"/readme.md\" not found: not found"), "README.md");
        assert!(next("\"/nothing-like-it\": not found").contains("nothing of a like name"));
        assert_eq!(next("not found"), "as before");
        let walked =
            "failed to walk /d/tmp/buildkit-mount12/scr: lstat /d/tmp/buildkit-mount12/scr: no such file or directory";
        assert_eq!(offered(walked), "src");
    }

    #[test]
    fn a_line_that_hides_it_is_named() {
        let ignore = "# generated\n*\n!src\nsrc/*.log\n";
        let next = |name: &str| next(&format!("\"/{name}\": not found"), "[1/1] COPY x /", &["src/a.log", "b"], ignore);
        assert!(next("src/a.log").starts_with(".dockerignore:4 hides it"), "{}", next("src/a.log"));
        assert!(next("b").starts_with(".dockerignore:2 hides it"));
    }

    #[test]
    fn another_stage_is_not_the_context() {
        assert_eq!(next("\"/main.rs\": not found", "[2/2] COPY --from=a /x /", &["src/main.rs"], ""), "as before");
    }
}
