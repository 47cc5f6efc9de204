//! `remora plan`.

mod caches;

use std::time::SystemTime;

use super::{
    args::{self, Connection},
    ask::{Asked, Call},
    build, metadata, text, usage,
};
use crate::model::{Explanation, Failure, FailureKind, StageCache};

pub(super) async fn plan(connection: &Connection, args: args::Plan) -> Result<(), Failure> {
    let args::Plan { build: args, json } = args;
    if args.call.asked().subrequest.is_some() {
        return Err(usage("--call, --check: what is planned is a build, and these make none")
            .next("leave it out, or give it to remora build"));
    }
    let files = [("--iidfile", args.iidfile.is_some()), ("--digest-file", args.digest_file.is_some())];
    let metadata_file = args.metadata_file.clone();
    let mut asked = Asked::new(args)?;
    if let Some(path) = &metadata_file {
        build::remove("--metadata-file", path)?;
    }
    for (flag, _) in files.iter().filter(|(_, given)| *given) {
        asked.note(&format!("{flag} is left out: a plan makes no image"));
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

/// The plan as text: each of its parts has a name, and begins a line. What a person decides by comes first.
fn lines(explanation: &Explanation, tags: &[String], now: SystemTime) -> Vec<String> {
    let Explanation { ci, stages, retag, .. } = explanation;
    let mut all = Vec::new();
    let mut part = |name: &str, lines: Vec<String>| {
        all.extend(lines.iter().enumerate().map(|(index, line)| match index {
            0 => format!("{name:<10} {line}"),
            _ => format!("{:<10} {line}", ""),
        }));
    };
    part("image", or_else(tags.to_vec(), || "without a name".to_owned()));
    part("ci", vec![if ci.is_empty() { "none recognised".to_owned() } else { ci.clone() }]);
    part("scope", vec![scope(explanation)]);
    part("cache", caches::lines(explanation, now));
    part("writes", writes(explanation));
    part("push", vec![explanation.push.clone()]);
    let possible = if retag.possible { "if every step is cached" } else { "no" };
    part("retag", vec![format!("{possible}: {}", retag.why)]);
    part("stages", or_else(stage_lines(stages), || "not known".to_owned()));
    part("kind", vec![format!("{}: {}", explanation.mode, explanation.mode_why)]);
    part("engine", vec![explanation.engine.clone()]);
    part("notes", explanation.notes.clone());
    all
}

fn or_else(lines: Vec<String>, nothing: impl FnOnce() -> String) -> Vec<String> {
    if lines.is_empty() { vec![nothing()] } else { lines }
}

fn scope(explanation: &Explanation) -> String {
    let fallbacks = explanation.fallbacks.join(", then ");
    match (explanation.scope.as_deref(), fallbacks.as_str()) {
        (Some(own), "") => own.to_owned(),
        (Some(own), fallbacks) => format!("{own}; also reads {fallbacks}"),
        (None, "") => "none".to_owned(),
        (None, fallbacks) => format!("none of its own; reads {fallbacks}"),
    }
}

/// As `sha256:` and twelve digits.
fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

fn stage_lines(stages: &[StageCache]) -> Vec<String> {
    let row = |stage: &StageCache| {
        let name = if stage.name.is_empty() { "(no name)" } else { stage.name.as_str() };
        let steps = if stage.steps == 1 { "1 step".to_owned() } else { format!("{} steps", stage.steps) };
        let target = if stage.target { "the target" } else { "" };
        [name.to_owned(), steps, target.to_owned(), stage.why.clone()]
    };
    table(&stages.iter().map(row).collect::<Vec<_>>())
}

fn writes(explanation: &Explanation) -> Vec<String> {
    let Some(first) = explanation.writes.first().filter(|_| explanation.no_write_why.is_empty()) else {
        let why =
            if explanation.no_write_why.is_empty() { "nothing is to be written" } else { &explanation.no_write_why };
        return vec![format!("no cache: {why}")];
    };
    let own = explanation.scope.as_deref().unwrap_or_default();
    let (repository, _) = split(first);
    let names: Vec<_> = explanation.writes.iter().map(|place| name_in(place, repository)).collect();
    vec![format!("the cache of {own}, as far as it is not there yet, to {repository}"), names.join(", ")]
}

/// A reference's repository, and its tag.
fn split(reference: &str) -> (&str, &str) {
    let tag = reference.rfind(':').filter(|colon| !reference[*colon..].contains('/'));
    tag.map_or((reference, ""), |colon| (&reference[..colon], &reference[colon + 1..]))
}

/// A reference as it is called where its repository was named before.
fn name_in<'r>(reference: &'r str, repository: &str) -> &'r str {
    match split(reference) {
        (of, tag) if of == repository && !tag.is_empty() => tag,
        _ => reference,
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
