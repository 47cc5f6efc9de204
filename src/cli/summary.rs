//! What a build came to, in a line or two.

use std::time::SystemTime;

use super::text;
use crate::model::{Explanation, Found, Report, Whose};

pub(super) fn summary(report: &Report) {
    for line in lines(report, SystemTime::now()) {
        text::notice(&line);
    }
}

fn lines(report: &Report, now: SystemTime) -> Vec<String> {
    let mut first: Vec<String> = report.explanation.iter().flat_map(|explanation| cache(explanation, now)).collect();
    first.push(format!("{} of {} steps cached", report.cached_steps, report.steps));
    first.push(match report.pulled_bytes {
        0 => "nothing to download".to_owned(),
        bytes => format!("received {}", text::bytes(bytes)),
    });
    let mut second = vec![format!("sent {} of context", text::bytes(report.context_bytes))];
    match report.pushed_bytes {
        _ if report.republished() => {
            second.push("published without loading a layer".to_owned());
        }
        _ if report.pushed.is_empty() => {}
        Some(bytes) => second.push(format!("{} of layers (uncompressed) to registries", text::bytes(bytes))),
        None => second.push("pushed what was new (this engine does not say how much)".to_owned()),
    }
    second.extend(report.explanation.as_ref().and_then(|explanation| written(explanation, report)));
    second.push(text::seconds(report.elapsed_ms));
    let mut lines = vec![first.join("; "), second.join("; ")];
    let digest = if report.digest.is_empty() { &report.image_id } else { &report.digest };
    match report.tags.as_slice() {
        _ if digest.is_empty() => {}
        [] => lines.push(digest.clone()),
        tags => lines.extend(tags.iter().map(|tag| format!("{tag} {}", report.pushed.get(tag).unwrap_or(digest)))),
    }
    lines
}

/// What became of the scope's own cache; where there is no scope, why nothing is kept of a push.
fn written(explanation: &Explanation, report: &Report) -> Option<String> {
    if explanation.scope.is_none() && !report.pushed.is_empty() && !explanation.no_write_why.is_empty() {
        return Some(format!("no cache written: {}", explanation.no_write_why));
    }
    let (own, outcome) = (explanation.scope.as_ref()?, explanation.outcome.as_ref()?);
    Some(match (outcome.written.as_slice(), explanation.no_write_why.as_str()) {
        ([], "") => format!("nothing new for the cache of {own}"),
        ([], why) => format!("cache not written: {why}"),
        (_, _) => format!("cache of {own} written"),
    })
}

/// Whose cache was read, and whose there was none of.
fn cache(explanation: &Explanation, now: SystemTime) -> Vec<String> {
    let mut words: Vec<String> = explanation
        .sources(now)
        .into_iter()
        .map(|source| source.age.map(|age| format!("{}, {age}", source.name)).unwrap_or(source.name))
        .collect();
    if let Some(own) = &explanation.scope {
        let refs = || explanation.refs.iter().filter(|cache_ref| matches!(cache_ref.whose, Whose::Own(_)));
        let any = |wanted: fn(&Found) -> bool| refs().any(|cache_ref| wanted(&cache_ref.found));
        if any(|found| matches!(found, Found::Cache { .. })) {
            // It was said above.
        } else if any(|found| matches!(found, Found::Failed(_))) {
            words.push(format!("{own} could not be asked"));
        } else if any(|found| matches!(found, Found::Useless(_))) {
            words.push(format!("{own} has none that is of use"));
        } else if refs().next().is_some() {
            words.push(format!("{own} has none yet"));
        }
    }
    if words.is_empty() {
        words.push(match explanation.no_read_why.as_str() {
            "" => "none found".to_owned(),
            why if why.starts_with("--") => format!("none read: {why}"),
            why => format!("the engine's own alone: {why}"),
        });
    }
    words[0].insert_str(0, "cache: ");
    words
}

#[cfg(test)]
mod tests;
