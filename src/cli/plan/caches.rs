//! What was asked for and what is read of it, as rows.

use std::time::SystemTime;

use super::{name_in, short, split, table};
use crate::model::{CacheRef, Explanation, Found, age};

/// A row for each cache, whatever names it has, then one for all the names of a scope under which there is none.
pub(super) fn lines(explanation: &Explanation, now: SystemTime) -> Vec<String> {
    let refs = &explanation.refs;
    let Some(first) = refs.first() else { return vec![format!("none is asked for: {}", explanation.no_read_why)] };
    let (repository, _) = split(&first.reference);
    // Rows with what their names are joined by: the digest or the state.
    let mut rows: Vec<(String, [String; 5])> = Vec::new();
    for cache_ref in refs {
        let name = name_in(&cache_ref.reference, repository);
        let (key, [state, whose, detail, digest]) = row(explanation, cache_ref, now);
        match rows.iter_mut().find(|(known, _)| *known == key) {
            Some((_, row)) => row[4] = format!("{}, {name}", row[4]),
            None => rows.push((key, [state, whose, detail, digest, name.to_owned()])),
        }
    }
    let (found, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(key, _)| key.starts_with("sha256:"));
    let rows: Vec<_> = found.into_iter().chain(others).map(|(_, row)| row).collect();
    let mut lines = vec![format!("in {repository}:")];
    lines.extend(table(&rows));
    let here = explanation.imports.iter().filter(|import| import.starts_with(&format!("{repository}@"))).count();
    if here > 1 && explanation.no_write_why.is_empty() {
        lines.push("what is read is made into one before the build".to_owned());
    }
    lines
}

/// What it is known by among the others, and its row but for the name.
fn row(explanation: &Explanation, cache_ref: &CacheRef, now: SystemTime) -> (String, [String; 4]) {
    let whose = cache_ref.whose.scope().unwrap_or_else(|| cache_ref.whose.word());
    let cells = |state: &str, detail: &str, digest: &str| [state, whose, detail, digest].map(str::to_owned);
    match &cache_ref.found {
        Found::Cache { digest, created, .. } => {
            let age = created.as_deref().and_then(|created| age(created, now)).unwrap_or_default();
            let why = why_not(explanation, cache_ref, digest);
            let detail: Vec<_> = [age.as_str(), why].into_iter().filter(|words| !words.is_empty()).collect();
            let state = if why.is_empty() { "read" } else { "not read" };
            (digest.clone(), cells(state, &detail.join("; "), &short(digest)))
        }
        Found::Missing => (format!("none {whose}"), cells("none yet", "", "")),
        Found::Useless(why) => (format!("useless {whose} {why}"), cells("no use", why, "")),
        Found::Failed(why) => (format!("failed {whose} {why}"), cells("no answer", why, "")),
    }
}

/// Why a cache that was found is not read; empty where it is.
fn why_not(explanation: &Explanation, cache_ref: &CacheRef, digest: &str) -> &'static str {
    let is_read = |digest: &str| explanation.imports.iter().any(|import| import.ends_with(digest));
    let beside = |other: &CacheRef| {
        other.whose.scope() == cache_ref.whose.scope()
            && matches!(&other.found, Found::Cache { digest, .. } if is_read(digest))
    };
    match cache_ref.whose.scope() {
        _ if is_read(digest) => "",
        None => "another one is read",
        Some(_) if explanation.refs.iter().any(beside) => "what is read has it",
        Some(_) => "one scope alone is read, as nothing is written",
    }
}
