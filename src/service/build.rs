//! One build, from request to report: the one owner of its orchestration.

use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::maybe_done;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    agent::Inner,
    builds::Entry,
    chores::Chores,
    prepare::{Begun, Prepared},
    push::Pusher,
    remote,
    republish::Look,
    stream::tee,
};
use crate::{
    engine::{Definition, Fault, Made, Outcome, Outer, Solve, Solver, View},
    model::{BuildRequest, CacheMode, Capabilities, Event, Export, Failure, ImageStore, Reference, Report, Tally},
    registry,
    session::Lent,
    strategy::{self, Exporter, Facts, Output, PushMechanism, retry::Policy},
};

/// The call Build.
pub(super) async fn build(
    agent: Arc<Inner>,
    request: BuildRequest,
    caller: Option<String>,
    events: mpsc::Sender<Event>,
) -> Result<Report, Failure> {
    let id = new_id();
    let entry = agent.builds.enter(&id, &request.tags);
    tokio::select! {
        built = entered(&agent, id, request, caller, &entry, events) => built,
        // As when its caller hangs up, the work is dropped.
        failure = entry.cancelled() => Err(failure),
    }
}

async fn entered(
    agent: &Inner,
    id: String,
    request: BuildRequest,
    caller: Option<String>,
    entry: &Entry,
    events: mpsc::Sender<Event>,
) -> Result<Report, Failure> {
    let since = Instant::now();
    let _place = match request.subrequest {
        // It runs no step.
        Some(_) => None,
        None => Some(agent.admit(&request, caller.as_deref().unwrap_or_default(), entry, &events).await?),
    };
    let mut begun = Begun::new(agent, id, &request, &events).await?;
    let request = strategy::given(request, &begun.capabilities)?;
    let request = begun.fetch(request, &events).await?;
    tracing::info!(build = begun.id, ?request, "build");
    let (tee, tally) = tee(events, entry.watcher());
    let run = begun.run(agent, &request, &tee);
    if let Some(subrequest) = request.subrequest {
        let answer = begun.while_lent(run.answer(subrequest)).await;
        let answer = answer.map_err(|failure| remote::explained(failure, request.remote.as_deref()))?;
        return Ok(Report {
            build_id: begun.id.clone(),
            elapsed_ms: elapsed_ms(since),
            answer: Some(answer),
            ..Report::default()
        });
    }
    for text in &begun.output.notes {
        run.notice(true, text.clone()).await;
    }
    run.warn_of_secrets().await;
    let report = begun.while_lent(run.run()).await;
    let report = report.map_err(|failure| remote::explained(failure, request.remote.as_deref()))?;
    let prepared = run.prepared.into_inner();
    drop(tee);
    let mut tally = tally.await.unwrap_or_default();
    // What was published as it lies in the registry did not come from there.
    let moved = |_: &Prepared| !report.republished();
    if let Some(prepared) = prepared.filter(moved) {
        drop(tokio::time::timeout(SIZES, size_layers(agent, prepared.imports(), &begun.lent, &mut tally)).await);
    }
    let Begun { id, output, .. } = begun;
    let mut report = Report { build_id: id, ..tally.report().with_result(report) };
    report.tags = request.tags.iter().map(ToString::to_string).collect();
    report.elapsed_ms = elapsed_ms(since);
    if output.push == PushMechanism::InSolve {
        report.pushed_bytes = None;
    }
    Ok(report)
}

/// How long a finished build may wait for the sizes of its layers: they are a figure, nothing more.
const SIZES: Duration = Duration::from_secs(2);

/// The engine names the layers that it takes from a cache ref, and not their size: the ref's manifest does.
async fn size_layers(agent: &Inner, imports: &[(Reference, bool)], lent: &Lent, tally: &mut Tally) {
    for (reference, _) in imports {
        if tally.unsized_layers().next().is_none() {
            return;
        }
        let Ok(credential) = lent.credential(reference.registry()).await else { continue };
        // Only the figure is missing where the registry does not tell.
        let Ok(layers) = agent.registry.layers(reference, &credential).await else { continue };
        tally.size_layers(&layers);
    }
}

pub(super) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

pub(super) fn elapsed_ms(since: Instant) -> u64 {
    since.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
}

/// Why a build stops.
pub(super) enum Stop {
    /// The engine says so.
    Engine(Fault),
    /// Somebody else does.
    Said(Failure),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Engine(fault)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Said(failure)
    }
}

pub(super) struct Run<'a> {
    pub(super) agent: &'a Inner,
    pub(super) id: &'a str,
    pub(super) request: &'a BuildRequest,
    pub(super) capabilities: &'a Capabilities,
    pub(super) output: &'a Output,
    pub(super) lent: &'a Lent,
    pub(super) events: &'a mpsc::Sender<Event>,
    pub(super) prepared: OnceCell<Prepared>,
}

impl Run<'_> {
    /// Builds, pushes and tags. Of the report it fills what the result is.
    async fn run(&self) -> Result<Report, Failure> {
        drop(self.events.send(Event::Accepted { build_id: self.id.to_owned() }).await);
        let view = View::of(self.request);
        let failure = match self.tried(self.id.to_owned(), &view).await {
            Err(failure) if self.lacks_cache(&failure) => failure,
            done => return done,
        };
        let text =
            format!("cache: what was found is not all there, the build begins anew without it: {}", failure.what);
        self.notice(true, text).await;
        if let Some(prepared) = self.prepared.get() {
            prepared.forget();
        }
        self.tried(new_id(), &view.further(self.request)).await
    }

    /// Where the solve pushes and the registry wants to be asked later, it solves again: by then every step is in the
    /// engine's own cache.
    async fn tried(&self, id: String, view: &View) -> Result<Report, Failure> {
        let mut first = Some(id);
        // BuildKit knows no second solve of the same id. What it did the first time is not shown again.
        let operation = || match first.take() {
            Some(id) => self.attempt(id, Some(view)),
            None => self.attempt(new_id(), None),
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

    /// `shown` is what a person sees of it; nothing where there is none.
    async fn attempt(&self, id: String, shown: Option<&View>) -> Result<Report, (Failure, Option<Duration>)> {
        let unseen = (View::of(self.request), mpsc::channel(1).0);
        let (view, events) = shown.map_or((&unseen.0, &unseen.1), |view| (view, self.events));
        let work = Box::pin(async {
            let solver = self.agent.engine.solver(self.lent).await?;
            let work = Box::pin(self.work(&solver, view, &id));
            let report = self.watched(&solver, view, &id, events, work).await?;
            Ok(self.with_provenance(&solver, &id, report).await)
        });
        let failure = match self.agent.engine.while_it_answers(work).await {
            Ok(report) => return Ok(report),
            Err(failure) => failure,
        };
        let retry_after = match self.pushed_to(&failure) {
            Some(tag) => self.pusher().wait_for(tag, &failure.what).await,
            None => None,
        };
        Err((failure, retry_after))
    }

    /// Does this, and passes on what happens in the solve of that id meanwhile.
    pub(super) async fn watched<T>(
        &self,
        solver: &Solver,
        view: &View,
        id: &str,
        events: &mpsc::Sender<Event>,
        work: impl Future<Output = Result<T, Stop>>,
    ) -> Result<T, Failure> {
        let over = CancellationToken::new();
        let work = async {
            let done = work.await;
            over.cancel();
            done
        };
        // A failure wants to know what happened: it is made sense of after the last events.
        let (done, ()) = tokio::join!(work, solver.watch(id, view, events, &over));
        match done {
            Ok(done) => Ok(done),
            Err(Stop::Engine(fault)) => Err(solver.failure(&fault, view).await),
            Err(Stop::Said(failure)) => Err(failure),
        }
    }

    async fn work(&self, solver: &Solver, view: &View, id: &str) -> Result<Report, Stop> {
        if strategy::is_blind(self.facts()) {
            return self.build_blindly(solver, id).await;
        }
        let solve = solver.start(id, &self.outer())?;
        let made = match solve.dockerfile(self.request, &[]).await {
            Ok(made) => made,
            Err(fault) => return self.export(solve, Err(fault)).await,
        };
        let prepared = self.prepared.get_or_try_init(|| self.prepare_to_build(Some(&made))).await?;
        let Some(definition) = &made.definition else {
            let _share = self.agent.solving.read().await;
            let imports = prepared.imports_for(self).await;
            let made = if imports.is_empty() { Ok(made) } else { solve.dockerfile(self.request, imports).await };
            let report = self.export(solve, made).await?;
            return Ok(prepared.explain(report, false, prepared.explanation.retag.why.clone()));
        };
        let context = CancellationToken::new();
        let look = Look { run: self, solver, view, definition, made: &made, prepared, context };
        let main = async {
            // What the ordinary way needs is there by the time the look has failed.
            let mut uniting = pin!(maybe_done(prepared.imports_for(self)));
            let unite = async {
                uniting.as_mut().await;
                pending::<Infallible>().await
            };
            let looked = tokio::select! {
                looked = look.look() => looked,
                never = unite => match never {},
            };
            let why_not = match looked {
                Ok((report, which)) => return Ok(prepared.explain(report, true, which)),
                Err(why) => why,
            };
            uniting.await;
            let imports = prepared.imports();
            let _share = self.agent.solving.read().await;
            match self.with_cache(&solve, &made, definition, imports).await {
                Ok(made) => {
                    let report = self.export(solve, Ok(made)).await?;
                    // What its steps did decides what is written to the cache.
                    if prepared.plan.cache.target.is_some() {
                        view.all_seen().await;
                    }
                    Ok(prepared.explain(report, false, why_not))
                }
                Err(fault) => self.export(solve, Err(fault)).await,
            }
        };
        let chores = Chores::new(self, solver, view, definition, prepared);
        tokio::select! {
            done = chores.beside(main) => done,
            never = look.hold(), if prepared.is_worth_a_look() => match never {},
        }
    }

    /// The result, which takes what it can from the cache.
    async fn with_cache(
        &self,
        solve: &Solve,
        made: &Made,
        definition: &Definition,
        imports: &[(Reference, bool)],
    ) -> Result<Made, Fault> {
        if self.request.attestations.is_empty() && self.request.provenance.is_none() {
            return Ok(made.with(solve.define(definition, None, imports).await?));
        }
        // The provenance of a definition tells of no frontend, and a list of packages hangs on what the frontend made.
        if imports.is_empty() { Ok(made.clone()) } else { solve.dockerfile(self.request, imports).await }
    }

    /// Exports the result as the request has it, with its cache in it.
    pub(super) fn outer(&self) -> Outer<'_> {
        Outer {
            exporter: self.output.exporter.as_ref(),
            cache_exports: self.inline(),
            entitlements: &self.output.entitlements,
            platforms: &self.request.platforms,
            attestations: Some(&self.request.attestations),
            internal: false,
        }
    }

    pub(super) async fn prepare_to_build(&self, made: Option<&Made>) -> Result<Prepared, Failure> {
        let prepared = self.prepare(made).await?;
        if let Some(text) = strategy::reading(&prepared.explanation, SystemTime::now()) {
            self.notice(false, text).await;
        }
        Ok(prepared)
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        self.agent.facts(self.request, self.capabilities)
    }

    /// What makes an image carry the cache of its own steps. One that is nobody's is read by nobody, and has another id
    /// for it from build to build.
    pub(super) fn inline(&self) -> Vec<Exporter> {
        let BuildRequest { cache, tags, push, .. } = self.request;
        let is_nobodys = !push && cache.repository.is_none() && tags.iter().all(Reference::is_official);
        match cache.mode {
            CacheMode::Auto if is_nobodys => Vec::new(),
            _ if matches!(self.request.export, Export::Tar | Export::Local | Export::CacheOnly) => Vec::new(),
            CacheMode::Off => Vec::new(),
            _ => vec![Exporter { kind: "inline", attrs: std::collections::BTreeMap::new() }],
        }
    }

    /// Has the result exported, pushes and tags it.
    pub(super) async fn export(&self, solve: Solve, made: Result<Made, Fault>) -> Result<Report, Stop> {
        let outcome: Outcome = solve.export(made).await?;
        for tag in &self.output.local_tags {
            self.agent.engine.tag(&self.output.groups[0].first, tag).await?;
        }
        let get = |key: &str| outcome.exporter.get(key).cloned().unwrap_or_default();
        let mut digest = get("containerimage.digest");
        let image_id = match self.capabilities.image_store {
            // It gives the config's digest under both names: it knows no manifest before the push.
            Some(ImageStore::Graphdriver) => std::mem::take(&mut digest),
            Some(ImageStore::Containerd) => digest.clone(),
            // It keeps no image to be known by; Docker's client says the config's digest then.
            None => get("containerimage.config.digest"),
        };
        let pusher = self.pusher();
        match self.output.push {
            PushMechanism::None => {}
            PushMechanism::InSolve => pusher.retag(&self.output.groups, &digest).await?,
            PushMechanism::EngineApi => digest = pusher.push(&self.output.groups).await?.unwrap_or_default(),
        }
        Ok(Report { image_id, digest, exporter: outcome.exporter, ..Report::default() })
    }

    pub(super) fn pusher(&self) -> Pusher<'_> {
        Pusher { agent: self.agent, lent: Some(self.lent), events: self.events }
    }

    pub(super) async fn warn_of_secrets(&self) {
        for text in strategy::secret_warnings(self.request) {
            self.notice(true, text).await;
        }
    }

    pub(super) async fn notice(&self, warning: bool, text: String) {
        drop(self.events.send(Event::Notice { warning, text }).await);
    }
}
