//! One build, from request to report: the one owner of its orchestration.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{agent::Inner, push::Pusher, stream::tee};
use crate::{
    engine::Outcome,
    model::{BuildRequest, Event, Failure, FailureKind, ImageStore, Reference, Report, Tally},
    registry,
    session::Lent,
    strategy::{
        self, Facts, Plan, PushMechanism,
        retry::{Policy, Trouble},
    },
};

/// The call Build.
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
    let id = new_id();
    let _entry = agent.builds.enter(&id, &request.tags);
    tracing::info!(build = id, ?request, "build");
    for note in &plan.notes {
        drop(events.send(Event::Notice { warning: true, text: note.clone() }).await);
    }
    let (tee, tally) = tee(events);
    let run = Run { agent: &agent, id: &id, request: &request, plan: &plan, lent: &lent, events: &tee };
    let mut report = tokio::select! {
        report = run.run(capabilities.image_store) => report?,
        () = lent.ended() => {
            return Err(Failure::new(FailureKind::Cancelled, "the client that lent the build context is gone"));
        }
    };
    drop(tee);
    let mut tally = tally.await.unwrap_or_default();
    drop(tokio::time::timeout(SIZES, size_layers(&agent, &plan, &lent, &mut tally)).await);
    report.tags = request.tags.iter().map(ToString::to_string).collect();
    report.elapsed_ms = since.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    let mut report = Report { build_id: id, ..tally.report().with_result(report) };
    if plan.push == PushMechanism::InSolve {
        report.pushed_bytes = None;
    }
    Ok(report)
}

/// How long a finished build may wait for the sizes of its layers: they are a figure, nothing more.
const SIZES: Duration = Duration::from_secs(2);

/// The engine names the layers that it takes from a cache ref, and not their size: the ref's manifest does.
async fn size_layers(agent: &Inner, plan: &Plan, lent: &Lent, tally: &mut Tally) {
    for (reference, _) in &plan.imports {
        if tally.unsized_layers().next().is_none() {
            return;
        }
        let Ok(credential) = lent.credential(reference.registry()).await else { continue };
        // Only the figure is missing where the registry does not tell.
        let Ok(layers) = agent.registry.layers(reference, &credential).await else { continue };
        tally.size_layers(&layers);
    }
}

fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

struct Run<'a> {
    agent: &'a Inner,
    id: &'a str,
    request: &'a BuildRequest,
    plan: &'a Plan,
    lent: &'a Lent,
    events: &'a mpsc::Sender<Event>,
}

impl Run<'_> {
    /// Builds, pushes and tags. Of the report it fills what the result is.
    async fn run(&self, store: Option<ImageStore>) -> Result<Report, Failure> {
        let Self { agent, plan, .. } = self;
        let outcome = self.solve().await?;
        for tag in &plan.local_tags {
            agent.engine.tag(&plan.groups[0].first, tag).await?;
        }
        let get = |key: &str| outcome.exporter.get(key).cloned().unwrap_or_default();
        let mut digest = get("containerimage.digest");
        let image_id = match store {
            // It gives the config's digest under both names: it knows no manifest before the push.
            Some(ImageStore::Graphdriver) => std::mem::take(&mut digest),
            Some(ImageStore::Containerd) => digest.clone(),
            // It keeps no image to be known by; Docker's client says the config's digest then.
            None => get("containerimage.config.digest"),
        };
        let pusher = self.pusher();
        match plan.push {
            PushMechanism::None => {}
            PushMechanism::InSolve => pusher.retag(&plan.groups, &digest).await?,
            PushMechanism::EngineApi => digest = pusher.push(&plan.groups).await?.unwrap_or_default(),
        }
        Ok(Report { image_id, digest, exporter: outcome.exporter, ..Report::default() })
    }

    fn pusher(&self) -> Pusher<'_> {
        Pusher { agent: self.agent, lent: Some(self.lent), events: self.events }
    }

    /// Solves; where the solve pushes and the registry wants to be asked later, solves again: by then every step is in
    /// the engine's own cache.
    async fn solve(&self) -> Result<Outcome, Failure> {
        let mut first = true;
        let operation = || {
            // BuildKit knows no second solve of the same id. What it did the first time is not shown again.
            let (id, events) = if std::mem::take(&mut first) {
                (self.id.to_owned(), self.events.clone())
            } else {
                (new_id(), mpsc::channel(1).0)
            };
            self.solve_once(id, events)
        };
        let trouble = |(failure, retry_after): &(Failure, _)| (self.trouble(failure), *retry_after);
        registry::retrying(&Policy::default(), operation, trouble, |attempt| {
            let text = attempt.notice("push", &attempt.error.0.what);
            let pusher = self.pusher();
            async move { pusher.notice(text).await }
        })
        .await
        .map_err(|(failure, _)| self.advised(failure))
    }

    async fn solve_once(
        &self,
        id: String,
        events: mpsc::Sender<Event>,
    ) -> Result<Outcome, (Failure, Option<Duration>)> {
        let Self { agent, request, plan, lent, .. } = self;
        drop(events.send(Event::Accepted { build_id: id.clone() }).await);
        let failure = match Box::pin(agent.engine.build(&id, request, plan, lent, &events)).await {
            Ok(outcome) => return Ok(outcome),
            Err(failure) => failure,
        };
        let retry_after = match self.pushed_to(&failure) {
            Some(tag) => self.pusher().wait_for(tag, &failure.what).await,
            None => None,
        };
        Err((failure, retry_after))
    }

    /// The tag whose push within the solve failed.
    fn pushed_to(&self, failure: &Failure) -> Option<&Reference> {
        let pushing = self.plan.push == PushMechanism::InSolve && failure.what.contains("push");
        let tags = || self.plan.groups.iter().map(|group| &group.first);
        let named = || tags().find(|tag| failure.what.contains(tag.registry()));
        (pushing && failure.kind == FailureKind::Registry).then(|| named().or_else(|| tags().next())).flatten()
    }

    /// Only what BuildKit does not try again by itself is worth another solve: it knows no 429, and takes a refused
    /// connection at its word.
    fn trouble(&self, failure: &Failure) -> Trouble {
        match self.pushed_to(failure).map(|_| Trouble::of_text(&failure.what)) {
            Some(Trouble::RateLimited) => Trouble::RateLimited,
            Some(Trouble::Unreachable) if failure.what.contains("connection refused") => Trouble::Unreachable,
            _ => Trouble::Other,
        }
    }

    /// With what a person can do about a push that failed.
    fn advised(&self, failure: Failure) -> Failure {
        let Some(tag) = self.pushed_to(&failure) else { return failure };
        let advice = Failure::from(registry::Error::of_engine(tag, "push", &failure.what, None)).next;
        failure.next(advice)
    }
}
