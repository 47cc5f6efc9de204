//! What is done beside the steps of a build: layers that come early, and stages that are written to the cache. Nothing of
//! it can make a build fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{OnceCell, OwnedMutexGuard},
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::{
    build::{Run, Stop, new_id},
    prepare::Prepared,
};
use crate::{
    engine::{Definition, Engine, Fault, Outer, Solve, Solver, View},
    model::{ImageStore, Reference, Report, Seen},
    strategy::{self, Exporter, Mode, overlap::Chore, registry_cache, retry::Trouble},
};

/// How long a build that is done waits at least for its cache to be written.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long at most, however long the build took.
const MOST_PATIENCE: Duration = Duration::from_secs(600);

pub(super) struct Chores<'a> {
    pub(super) run: &'a Run<'a>,
    solver: &'a Solver,
    /// What is seen of the build itself.
    view: &'a View,
    pub(super) definition: &'a Definition,
    pub(super) prepared: &'a Prepared,
    /// The gateway through which layers are brought and operations are held.
    gateway: OnceCell<Solve>,
    since: Instant,
}

/// What runs beside the build.
#[derive(Default)]
pub(super) struct Under<'a> {
    way: FuturesUnordered<BoxFuture<'a, Ended<'a>>>,
    /// What holds the results, which nobody waits for.
    holding: FuturesUnordered<BoxFuture<'a, ()>>,
    /// All that was begun.
    begun: Vec<Chore>,
    /// Stages that are being written, by their index.
    busy: BTreeSet<usize>,
    /// Whether the results are held.
    held: bool,
    /// Whether the one cache of all stages is being written, or was.
    pub(super) whole: bool,
    pub(super) written: Vec<Reference>,
    /// Why cache refs are not written, by what was tried last.
    pub(super) failed: BTreeMap<Reference, String>,
}

/// A name that the engine's store has for a cache image until that is pushed: the build cache has its layers, and nobody
/// looks for it there. However the chore ends, it goes.
struct LocalName {
    engine: Engine,
    running: TaskTracker,
    place: Option<Reference>,
    /// Until it is gone, no other build has the name.
    turn: Option<OwnedMutexGuard<()>>,
}

impl LocalName {
    async fn remove(&mut self) {
        if let Some(place) = self.place.take() {
            drop(self.engine.untag(&place).await);
        }
    }
}

impl Drop for LocalName {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let (engine, turn) = (self.engine.clone(), self.turn.take());
            self.running.spawn(async move {
                drop(engine.untag(&place).await);
                drop(turn);
            });
        }
    }
}

/// A chore that ended, and whether it has written a cache ref or why not.
struct Ended<'a>(Option<Chore>, Option<(&'a Reference, Result<(), String>)>);

impl Under<'_> {
    fn end(&mut self, Ended(chore, kept): Ended<'_>) {
        if let Some(Chore::Keep { stage, .. }) = chore {
            self.busy.remove(&stage);
        }
        if let Some((place, kept)) = kept {
            self.note(place, kept);
        }
    }

    /// What failed may be tried again: in the end it is told, once.
    pub(super) fn note(&mut self, place: &Reference, kept: Result<(), String>) {
        match kept {
            Ok(()) => {
                self.failed.remove(place);
                if !self.written.contains(place) {
                    self.written.push(place.clone());
                }
            }
            Err(why) => {
                self.failed.insert(place.clone(), why);
            }
        }
    }
}

impl<'a> Chores<'a> {
    pub(super) fn new(
        run: &'a Run<'a>,
        solver: &'a Solver,
        view: &'a View,
        definition: &'a Definition,
        prepared: &'a Prepared,
    ) -> Self {
        Self { run, solver, view, definition, prepared, gateway: OnceCell::new(), since: Instant::now() }
    }

    /// Does what is worth it while `build` runs, and what remains after it. A build that fails ends it all.
    pub(super) async fn beside(&self, build: impl Future<Output = Result<Report, Stop>>) -> Result<Report, Stop> {
        let mut build = pin!(build);
        let mut seen = self.view.seen();
        let mut under = Under::default();
        let mut report = loop {
            self.begin(&seen.borrow_and_update(), &mut under);
            tokio::select! {
                report = &mut build => break report?,
                Some(ended) = under.way.next() => under.end(ended),
                Some(()) = under.holding.next() => {}
                _ = seen.changed() => {}
            }
        };
        let rest = async {
            loop {
                {
                    let now = seen.borrow();
                    self.begin_writing(&now, &mut under);
                    self.begin_whole(&now, &mut under);
                }
                tokio::select! {
                    ended = under.way.next() => match ended {
                        Some(ended) => under.end(ended),
                        None => break,
                    },
                    Some(()) = under.holding.next() => {}
                }
            }
            let ran = seen.borrow().something_ran(self.definition.graph());
            self.remaining(&report, ran, &mut under).await;
        };
        if tokio::time::timeout(self.since.elapsed().clamp(PATIENCE, MOST_PATIENCE), rest).await.is_err() {
            self.warn("it takes too long: the next build may find less of it".to_owned()).await;
        }
        for (place, why) in &under.failed {
            self.warn(format!("{place} was not written: {why}")).await;
        }
        if let Some(explanation) = &mut report.explanation {
            if let (true, Some(why)) = (under.written.is_empty(), under.failed.values().next()) {
                explanation.no_write_why.clone_from(why);
            }
            if let Some(outcome) = &mut explanation.outcome {
                outcome.written = under.written.iter().map(ToString::to_string).collect();
            }
        }
        Ok(report)
    }

    fn begin(&'a self, seen: &Seen, under: &mut Under<'a>) {
        if let Some(chore @ Chore::Bring(node)) = strategy::overlap::bring(self.definition.graph(), seen, &under.begun)
        {
            under.begun.push(chore);
            let bring = async move {
                if let Err(fault) = self.bring(node).await {
                    tracing::debug!(?fault, node, "layers could not be brought early");
                }
                Ended(Some(chore), None)
            };
            under.way.push(bring.boxed());
        }
        let writes = self.prepared.plan.cache.target.is_some();
        if !under.held && writes && (self.is_alone() || seen.something_ran(self.definition.graph())) {
            under.held = true;
            let hold = async move {
                if let Err(fault) = self.hold().await {
                    tracing::debug!(?fault, "the results could not be held");
                }
            };
            under.holding.push(hold.boxed());
        }
        self.begin_writing(seen, under);
    }

    fn begin_writing(&'a self, seen: &Seen, under: &mut Under<'a>) {
        let Prepared { plan, .. } = self.prepared;
        let Some(target) = &plan.cache.target else { return };
        for chore in strategy::overlap::keep(self.definition.graph(), &plan.stages, seen, &under.begun) {
            let Chore::Keep { node, stage } = chore else { continue };
            // One after the other: the last one has all.
            if under.busy.contains(&stage) {
                continue;
            }
            let name = &plan.stages[stage].name;
            let place = plan.cache.stages.iter().find(|(of, _)| of == name).map_or(target, |(_, place)| place);
            under.begun.push(chore);
            under.busy.insert(stage);
            let keep = async move {
                let whole = node == plan.stages[stage].last && (plan.cache.mode == Mode::Inline || place != target);
                let kept = self.told(self.keep(node, place).await);
                // There is more to come where these are but layers that go ahead.
                Ended(Some(chore), Some((place, kept)).filter(|(_, kept)| whole || kept.is_err()))
            };
            under.way.push(keep.boxed());
        }
    }

    /// Writes the one cache of all stages, if anything of it is new. It comes last, when most of its layers are in the
    /// registry: two that push the same layer at once push it twice.
    fn begin_whole(&'a self, seen: &Seen, under: &mut Under<'a>) {
        let cache = &self.prepared.plan.cache;
        let Some(target) = cache.target.as_ref().filter(|_| cache.mode == Mode::Registry && !under.whole) else {
            return;
        };
        if under.way.is_empty() && seen.something_ran(self.definition.graph()) {
            under.whole = true;
            let keep = async move {
                let kept = self.told(self.keep_all(target).await);
                Ended(None, Some((target, kept)))
            };
            under.way.push(keep.boxed());
        }
    }

    async fn gateway(&self) -> Result<&Solve, Fault> {
        let start = || async { self.solver.start(&new_id(), &self.outer(None, Vec::new())) };
        self.gateway.get_or_try_init(start).await
    }

    async fn bring(&self, node: usize) -> Result<(), Fault> {
        let _share = self.run.agent.solving.read().await;
        let solve = self.gateway().await?;
        let part = solve.define(self.definition, Some(node), self.prepared.imports()).await?;
        solve.load(&part).await
    }

    /// Keeps the engine from forgetting how the results of this build came about, for as long as the chores go on. A
    /// solve of this session that began afresh would find them by their names alone, and write cache that no build with
    /// another context directory finds.
    async fn hold(&self) -> Result<(), Fault> {
        let _share = self.run.agent.solving.read().await;
        let solve = self.gateway().await?;
        let part = solve.define(self.definition, None, self.prepared.imports()).await?;
        solve.evaluate(&part).await
    }

    /// Has the engine write what comes up to this operation; once more where another push of the same blobs got in the
    /// way.
    async fn write(&self, outer: &Outer<'_>, until: Option<usize>) -> Result<(), Fault> {
        let write = || self.solver.run(outer, self.definition, until, self.prepared.imports());
        let raced = |fault: &Fault| Trouble::of_text(&self.solver.words(fault)) == Trouble::Raced;
        match write().await {
            Err(fault) if raced(&fault) => write().await,
            done => done,
        }
        .map(drop)
    }

    /// Writes one result's layers to the cache.
    pub(super) async fn keep(&self, node: usize, place: &Reference) -> Result<(), Stop> {
        let _share = self.run.agent.solving.read().await;
        let graphdriver = self.run.capabilities.image_store == Some(ImageStore::Graphdriver);
        let (cache, facts) = (&self.prepared.plan.cache, self.run.facts());
        let (exporter, caches) = match cache.mode {
            _ if graphdriver => (Some(strategy::local_image(place)), self.run.inline()),
            // What lies there has all steps: it is not replaced by less.
            Mode::Registry if cache.target.as_ref() == Some(place) => {
                (Some(strategy::pushed_blobs(facts, place)), self.run.inline())
            }
            Mode::Registry => (None, vec![registry_cache(facts, place)]),
            Mode::Inline | Mode::Off => (Some(strategy::pushed_image(facts, place)), self.run.inline()),
        };
        let outer = self.outer(exporter.as_ref(), caches);
        let agent = self.run.agent;
        let (engine, running) = (agent.engine.clone(), agent.running.clone());
        let mut name = None;
        if graphdriver {
            let turn = Some(agent.places.alone_at(place).await);
            name = Some(LocalName { engine, running, place: Some(place.clone()), turn });
        }
        self.write(&outer, Some(node)).await?;
        if let Some(name) = &mut name {
            let pushed = self.run.pusher().push_cache(place).await;
            name.remove().await;
            pushed?;
        }
        Ok(())
    }

    /// Writes the layers of all stages to one cache.
    pub(super) async fn keep_all(&self, place: &Reference) -> Result<(), Stop> {
        let _share = self.run.agent.solving.read().await;
        let export = registry_cache(self.run.facts(), place);
        let outer = self.outer(None, vec![export]);
        Ok(self.write(&outer, None).await?)
    }

    fn outer<'o>(&'o self, exporter: Option<&'o Exporter>, cache_exports: Vec<Exporter>) -> Outer<'o> {
        let entitlements = &self.run.output.entitlements;
        Outer { exporter, cache_exports, entitlements, internal: true, ..Outer::default() }
    }

    /// Whether the engine has only what it did itself: there is nothing to import.
    pub(super) fn is_alone(&self) -> bool {
        self.prepared.imports().is_empty()
    }

    /// Says for a person why a cache ref was not written, if it was not.
    pub(super) fn told(&self, kept: Result<(), Stop>) -> Result<(), String> {
        kept.map_err(|stop| match stop {
            Stop::Engine(fault) => self.solver.words(&fault),
            Stop::Said(failure) => failure.what,
        })
    }

    async fn warn(&self, text: String) {
        self.run.notice(true, format!("cache: {text}")).await;
    }
}
