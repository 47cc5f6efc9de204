//! One build, from request to report: the one owner of its orchestration.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{agent::Inner, push};
use crate::{
    model::{BuildRequest, Event, Failure, FailureKind, Report, Tally},
    session::Lent,
    strategy::{self, Facts, Plan, PushMechanism},
};

pub(super) async fn build(
    agent: Arc<Inner>,
    request: BuildRequest,
    events: mpsc::Sender<Event>,
) -> Result<Report, Failure> {
    let since = Instant::now();
    let lent = agent.sessions.find(&request.session).await?;
    let capabilities = agent.engine_within(request.wait, &events).await?;
    let plan = strategy::plan(Facts {
        request: &request,
        capabilities: &capabilities,
        allowed: &agent.settings.allow_entitlement,
        insecure: &agent.settings.insecure_registry,
    })?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let _entry = agent.builds.enter(&id, &request.tags);
    tracing::info!(build = id, ?request, "build");
    drop(events.send(Event::Accepted { build_id: id.clone() }).await);
    for note in &plan.notes {
        drop(events.send(Event::Notice { warning: true, text: note.clone() }).await);
    }
    let (tee, tally) = tee(events.clone());
    let work = run(&agent, &id, &request, &plan, &lent, &tee);
    let digests = tokio::select! {
        done = work => done?,
        () = lent.ended() => {
            return Err(Failure::new(FailureKind::Cancelled, "the client that lent the build context is gone"));
        }
    };
    drop(tee);
    let mut report = tally.await.unwrap_or_default();
    report.image_id = digests.image_id;
    report.digest = digests.digest;
    report.exporter = digests.exporter;
    report.tags = request.tags.iter().map(ToString::to_string).collect();
    report.build_id = id;
    report.elapsed_ms = since.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    Ok(report)
}

struct Digests {
    image_id: String,
    digest: String,
    exporter: std::collections::BTreeMap<String, String>,
}

async fn run(
    agent: &Inner,
    id: &str,
    request: &BuildRequest,
    plan: &Plan,
    lent: &Lent,
    events: &mpsc::Sender<Event>,
) -> Result<Digests, Failure> {
    let outcome = push::build_retrying(agent, id, request, plan, lent, events).await?;
    for tag in &plan.local_tags {
        agent.engine.tag(&plan.groups[0].first, tag).await?;
    }
    let digest = match plan.push {
        PushMechanism::None => None,
        PushMechanism::InSolve => {
            let digest = outcome.exporter.get("containerimage.digest").cloned().unwrap_or_default();
            push::announce(&plan.groups, &digest, events).await;
            push::retag(agent, &plan.groups, Some(lent), events).await?;
            Some(digest)
        }
        PushMechanism::EngineApi => push::push_groups(agent, &plan.groups, Some(lent), events).await?,
    };
    let get = |key: &str| outcome.exporter.get(key).cloned();
    let image_id = get("containerimage.config.digest").unwrap_or_default();
    // A graphdriver store gives the config's digest under both names: it knows no manifest before the push.
    let own = get("containerimage.digest").filter(|digest| *digest != image_id);
    Ok(Digests { digest: digest.or(own).unwrap_or_default(), image_id, exporter: outcome.exporter })
}

/// Passes events on and folds them into the report that the handle gives at the end.
fn tee(events: mpsc::Sender<Event>) -> (mpsc::Sender<Event>, tokio::task::JoinHandle<Report>) {
    let (sender, mut receiver) = mpsc::channel::<Event>(1);
    let tally = tokio::spawn(async move {
        let mut tally = Tally::default();
        while let Some(event) = receiver.recv().await {
            tally.add(&event);
            drop(events.send(event).await);
        }
        tally.report()
    });
    (sender, tally)
}
