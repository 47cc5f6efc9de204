//! `remora ps`.

use super::{
    args::{Connection, Ps},
    exit::Failures,
    pool, text,
};
use crate::{model::Failure, pb, wire};

/// How much of an id is shown: enough to be one build's alone.
const SHORT_ID: usize = 12;
/// How much of a step's name is shown.
const SHORT_STEP: usize = 60;

pub(super) async fn ps(connection: &Connection, args: Ps) -> Result<(), Failure> {
    let (mut builds, mut failures) = (Vec::new(), Failures::default());
    let members = pool::all(connection).await?;
    let several = members.iter().any(|member| member.name.is_some());
    for pool::Member { name, mut agent, .. } in members {
        let answer = agent.client.list_builds(pb::ListBuildsRequest {}).await;
        match answer {
            Ok(answer) => builds.extend(answer.into_inner().builds.into_iter().map(|build| (name.clone(), build))),
            Err(status) => failures.add(name.as_deref(), wire::from_status(&status)),
        }
    }
    if args.json {
        text::data(&builds.iter().map(json).collect::<serde_json::Value>().to_string());
    } else if args.quiet {
        for (_, build) in &builds {
            text::data(&build.id);
        }
    } else if several {
        let head = ["BUILD", "AGENT", "RUNNING", "STEP", "TAGS"].map(str::to_owned);
        text::table(std::iter::once(head).chain(builds.iter().map(|(name, build)| {
            let [id, running, step, tags] = row(build);
            [id, name.clone().unwrap_or_default(), running, step, tags]
        })));
    } else {
        let head = ["BUILD", "RUNNING", "STEP", "TAGS"].map(str::to_owned);
        text::table(std::iter::once(head).chain(builds.iter().map(|(_, build)| row(build))));
    }
    failures.end()
}

fn row(build: &pb::RunningBuild) -> [String; 4] {
    let id = build.id.chars().take(SHORT_ID).collect();
    let step = if build.waiting { waits(build.ahead) } else { step(&build.steps) };
    [id, text::seconds(build.running_ms), step, build.tags.join(" ")]
}

/// What is said of one that waits.
fn waits(ahead: u32) -> String {
    match ahead {
        0 => "waiting: next".to_owned(),
        1 => "waiting: 1 build ahead".to_owned(),
        _ => format!("waiting: {ahead} builds ahead"),
    }
}

/// The newest step, and how many others run beside it.
fn step(steps: &[String]) -> String {
    let Some((newest, others)) = steps.split_last() else { return "-".to_owned() };
    let mut text: String = newest.chars().filter(|c| !c.is_control()).take(SHORT_STEP).collect();
    if newest.chars().count() > SHORT_STEP {
        text.push_str("...");
    }
    match others.len() {
        0 => text,
        count => format!("{text} (+{count})"),
    }
}

fn json((agent, build): &(Option<String>, pb::RunningBuild)) -> serde_json::Value {
    serde_json::json!({
        "id": build.id,
        "agent": agent,
        "tags": build.tags,
        "runningMs": build.running_ms,
        "steps": build.steps,
        "waiting": build.waiting,
        "ahead": build.ahead,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_newest_step_and_stays_a_line() {
        let steps = |names: &[&str]| step(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(steps(&[]), "-");
        assert_eq!(steps(&["[a 1/2] RUN a", "[b 1/2] RUN b\n\x1b[2J"]), "[b 1/2] RUN b[2J (+1)");
        assert!(steps(&[&"x".repeat(500)]).len() < 70);
    }
}
