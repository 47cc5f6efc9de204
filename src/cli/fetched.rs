//! What a failure means where the engine fetches the build context: it knows no more of that than a URL. Pure.

use crate::model::{Failure, without_credentials};

/// Where such a context comes from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    place: String,
    /// Whether the engine needs a program of that name to unpack it.
    xz: bool,
}

impl Origin {
    /// An archive on standard input.
    pub(super) fn stdin(xz: bool) -> Self {
        Self { place: "on standard input".to_owned(), xz }
    }

    /// What lies at a URL.
    pub(super) fn url(url: &str) -> Self {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        Self { place: format!("at {}", without_credentials(url)), xz: path.ends_with("xz") }
    }

    /// Explains a failure. `file` is the Dockerfile's path in the context.
    pub(super) fn explain(&self, failure: Failure, file: &str) -> Failure {
        // What a step met is no fault of the context.
        match self.meaning(&failure.what, file).filter(|_| failure.step.is_empty()) {
            Some((what, next)) => Failure { what, next: next.to_owned(), excerpt: None, ..failure },
            None => failure,
        }
    }

    /// What the engine's words mean, and what to do next.
    fn meaning(&self, told: &str, file: &str) -> Option<(String, &'static str)> {
        const DAMAGED: [&str; 5] = ["unexpected EOF", "archive/tar:", "gzip:", "flate:", "bzip2 data invalid"];
        const PAGE: [&str; 2] = ["unknown instruction: <", "unknown instruction: \u{feff}<"];
        let Self { place, xz } = self;
        let has = |words: &[&str]| words.iter().any(|word| told.contains(word));
        if let Some((_, status)) = told.split_once("invalid response status ") {
            let what = format!("the build context {place}: the server answered {status}");
            return Some((what, "check the URL; what needs a login cannot be fetched so"));
        }
        if has(&PAGE) {
            let what = format!("what lies {place} is a web page, and neither an archive nor a Dockerfile");
            return Some((
                what,
                "give the URL of an archive, or of a git repository, which ends with .git; of a private one, lend a token with --secret \
                 id=GIT_AUTH_TOKEN,env=VARIABLE",
            ));
        }
        if has(&["failed to read dockerfile: open "]) && has(&["no such file"]) {
            // Without that program an engine takes the archive for a file of the context.
            let (or, next) = match xz {
                true => {
                    (", or the engine has no xz to unpack it", "unpack it on the way: xz -dc FILE | remora build -")
                }
                false => (", or is no whole archive", "name the Dockerfile with -f, by its path in the archive"),
            };
            return Some((format!("the archive {place} has no {file}{or}"), next));
        }
        if has(&["invalid not-modified ETag"]) {
            let what = format!("the engine took what lies {place} for what another URL gave, as Docker before 28 does");
            return Some((what, "pass it on: curl -fsS URL | remora build -"));
        }
        if has(&DAMAGED) {
            let what = format!("the archive {place} ended too early, or is damaged: {told}");
            return Some((
                what,
                "check what wrote it; in a pipeline of a shell `set -o pipefail` tells that it failed",
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureKind;

    #[test]
    fn a_web_page_is_told_as_one_and_no_password_with_it() {
        let told = "dockerfile parse error on line 1: unknown instruction: <!DOCTYPE";
        let failure = Failure::new(FailureKind::Build, told);
        let explained =
            Origin::url("https://me:secret@host.example/group/repo?a=1").explain(failure.clone(), "Dockerfile");
        assert!(explained.what.contains("at https://host.example/group/repo?a=1 is a web page"), "{}", explained.what);
        assert!(explained.next.contains(".git"));
        let of_step = Failure { step: "RUN x".to_owned(), ..failure };
        assert_eq!(Origin::stdin(false).explain(of_step.clone(), "Dockerfile"), of_step);
    }
}
