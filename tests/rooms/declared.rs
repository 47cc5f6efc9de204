//! Which files of a crate its `mod` declarations lead to. What none leads to is never compiled.

use std::collections::{BTreeMap, BTreeSet};

/// The files that no declaration leads to. `sources` are texts by their paths below `src`.
pub(crate) fn undeclared(sources: &BTreeMap<String, String>) -> Vec<&str> {
    let mut next: Vec<String> = sources.keys().filter(|file| is_root(file)).cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(file) = next.pop() {
        if let Some(text) = sources.get(&file)
            && reached.insert(file.clone())
        {
            next.extend(declared(&file, text));
        }
    }
    sources.keys().filter(|file| !reached.contains(*file)).map(String::as_str).collect()
}

fn is_root(file: &str) -> bool {
    file == "lib.rs" || file.starts_with("bin/")
}

/// Where the modules that this file declares may be.
fn declared(file: &str, text: &str) -> Vec<String> {
    let (directory, name) = file.rsplit_once('/').unwrap_or(("", file));
    let is_directory = is_root(file) || name == "mod.rs";
    let inside = if is_directory { directory } else { file.trim_end_matches(".rs") };
    let at = |directory: &str, path: &str| format!("{directory}/{path}").trim_start_matches('/').to_owned();
    let mut found = Vec::new();
    let mut named = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            named = line.strip_prefix("#[path = \"").and_then(|line| line.strip_suffix("\"]")).or(named);
            continue;
        }
        match (module(line), named.take()) {
            (Some(_), Some(path)) => found.push(at(directory, path)),
            (Some(name), None) => found.extend(["", "/mod"].map(|end| at(inside, &format!("{name}{end}.rs")))),
            (None, _) => {}
        }
    }
    found
}

/// The module that a line declares to be in a file of its own.
fn module(line: &str) -> Option<&str> {
    let (visibility, name) = line.strip_suffix(';')?.rsplit_once("mod ")?;
    (visibility.is_empty() || visibility.starts_with("pub")).then_some(name)
}
