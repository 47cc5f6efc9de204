//! `remora plan`.

use std::time::SystemTime;

use super::{
    args::{self, Connection},
    ask::{Asked, Call},
    build, metadata, text,
};
use crate::model::{CacheRef, Explanation, Failure, FailureKind, Found, StageCache, age};

pub(super) async fn plan(connection: &Connection, args: args::Plan) -> Result<(), Failure> {
    let args::Plan { build: args, json } = args;
    let (iidfile, metadata_file) = (args.iidfile.is_some(), args.metadata_file.clone());
    let asked = Asked::new(args)?;
    if let Some(path) = &metadata_file {
        build::remove(path)?;
    }
    if iidfile {
        text::notice("--iidfile is left out: a plan makes no image");
    }
    let report = asked.ask(connection, Call::Plan).await?;
    let Some(explanation) = &report.explanation else {
        return Err(Failure::new(FailureKind::Agent, "the agent made no plan").next("look at the agent's log"));
    };
    if let Some(path) = &metadata_file {
        build::write(path, &metadata::metadata(&report))?;
    }
    if json {
        text::data(&format!("{:#}", metadata::cache(explanation)));
    } else {
        for line in lines(explanation, &report.tags, SystemTime::now()) {
            text::data(&line);
        }
    }
    Ok(())
}

/// The plan as text: each of its parts has a name, and begins a line.
fn lines(explanation: &Explanation, tags: &[String], now: SystemTime) -> Vec<String> {
    let Explanation { refs, imports, stages, retag, .. } = explanation;
    let mut all = Vec::new();
    let mut part = |name: &str, lines: Vec<String>| {
        all.extend(lines.iter().enumerate().map(|(index, line)| match index {
            0 => format!("{name:<10} {line}"),
            _ => format!("{:<10} {line}", ""),
        }));
    };
    part("engine", vec![explanation.engine.clone()]);
    part("tags", or_else(tags.to_vec(), || "none".to_owned()));
    part("scope", vec![scope(explanation)]);
    part("mode", vec![format!("{}: {}", explanation.mode, explanation.mode_why)]);
    part("asked for", or_else(cache_refs(refs, now), || format!("nothing: {}", explanation.no_read_why)));
    part("imports", or_else(imports.clone(), || "none".to_owned()));
    part("stages", or_else(stage_lines(stages), || "not known".to_owned()));
    part("writes", writes(explanation));
    part("push", vec![explanation.push.clone()]);
    let possible = if retag.possible { "possible, if every step is cached" } else { "no" };
    part("retag", vec![format!("{possible}: {}", retag.why)]);
    part("notes", explanation.notes.clone());
    all
}

fn or_else(lines: Vec<String>, nothing: impl FnOnce() -> String) -> Vec<String> {
    if lines.is_empty() { vec![nothing()] } else { lines }
}

fn scope(explanation: &Explanation) -> String {
    let own = explanation.scope.as_deref().unwrap_or("none is known");
    let ci = if explanation.ci.is_empty() { String::new() } else { format!(" ({})", explanation.ci) };
    let fallbacks = match explanation.fallbacks.as_slice() {
        [] => String::new(),
        some => format!("; falls back to {}", some.join(", then ")),
    };
    format!("{own}{ci}{fallbacks}")
}

fn cache_refs(refs: &[CacheRef], now: SystemTime) -> Vec<String> {
    let row = |cache_ref: &CacheRef| {
        let (digest, detail) = match &cache_ref.found {
            Found::Cache { digest, kind, created } => {
                let age = created.as_deref().and_then(|created| age(created, now));
                let kind = format!("{} cache", kind.as_str());
                (short(digest), age.into_iter().chain([kind]).collect::<Vec<_>>().join(", "))
            }
            Found::Missing => (String::new(), String::new()),
            Found::Useless(why) | Found::Failed(why) => (String::new(), why.clone()),
        };
        let whose = match cache_ref.whose.scope() {
            Some(scope) => scope.to_owned(),
            None => cache_ref.whose.word().to_owned(),
        };
        [cache_ref.found.state().to_owned(), whose, cache_ref.reference.clone(), digest, detail]
    };
    table(&refs.iter().map(row).collect::<Vec<_>>())
}

/// As `sha256:` and twelve digits.
fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

fn stage_lines(stages: &[StageCache]) -> Vec<String> {
    let row = |stage: &StageCache| {
        let name = if stage.name.is_empty() { "(no name)" } else { stage.name.as_str() };
        let steps = if stage.steps == 1 { "1 step".to_owned() } else { format!("{} steps", stage.steps) };
        let place = stage.place.as_ref().map_or("-".to_owned(), String::clone);
        [name.to_owned(), steps, place, stage.why.clone()]
    };
    table(&stages.iter().map(row).collect::<Vec<_>>())
}

fn writes(explanation: &Explanation) -> Vec<String> {
    const TO: &str = "what changed, to ";
    match explanation.writes.as_slice() {
        _ if !explanation.no_write_why.is_empty() => vec![format!("nothing: {}", explanation.no_write_why)],
        [] => vec!["nothing".to_owned()],
        [first, rest @ ..] => {
            let rest = rest.iter().map(|place| format!("{:width$}{place}", "", width = TO.len()));
            std::iter::once(format!("{TO}{first}")).chain(rest).collect()
        }
    }
}

/// Rows with their columns aligned.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let cells: Vec<_> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
