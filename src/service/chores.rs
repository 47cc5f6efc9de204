//! What is done beside the steps of a build: layers that come early, stages that are written to the cache, and what
//! remains to be written once the build is done. Nothing of it can make a build fail.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::OnceCell, time::Instant};

use super::build::{Prepared, Run, Stop, new_id};
use crate::{
    engine::{Definition, Fault, Outer, Solve, Solver},
    model::{ImageStore, Reference, Report, Seen},
    registry::{CacheImage, Publication, Published},
    strategy::{self, Exporter, Found, Mode, Whose, overlap::Chore, registry_cache},
};

/// How long a build that is done waits at least for its cache to be written.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Chores<'a> {
    run: &'a Run<'a>,
    solver: &'a Solver,
    definition: &'a Definition,
    prepared: &'a Prepared,
    /// The gateway through which layers are brought.
    bringing: OnceCell<Solve>,
    since: Instant,
}

/// What runs beside the build.
#[derive(Default)]
struct Under<'a> {
    way: FuturesUnordered<BoxFuture<'a, Ended>>,
    /// All that was begun.
    begun: Vec<Chore>,
    /// Stages that are being written, by their index.
    busy: BTreeSet<usize>,
    /// Whether the one cache of all stages is being written, or was.
    whole: bool,
    written: Vec<Reference>,
}

/// A chore that ended, and the cache ref that it wrote.
struct Ended(Option<Chore>, Option<Reference>);

impl<'a> Chores<'a> {
    pub(super) fn new(
        run: &'a Run<'a>,
        solver: &'a Solver,
        definition: &'a Definition,
        prepared: &'a Prepared,
    ) -> Self {
        Self { run, solver, definition, prepared, bringing: OnceCell::new(), since: Instant::now() }
    }

    /// Does what is worth it while `build` runs, and what remains after it. A build that fails ends it all.
    pub(super) async fn beside(&self, build: impl Future<Output = Result<Report, Stop>>) -> Result<Report, Stop> {
        let mut build = pin!(build);
        let mut seen = self.solver.seen();
        let mut under = Under::default();
        let report = loop {
            self.begin(&seen.borrow_and_update().clone(), &mut under);
            tokio::select! {
                report = &mut build => break report?,
                Some(ended) = under.way.next() => under.end(ended),
                _ = seen.changed() => {}
            }
        };
        let rest = async {
            loop {
                self.begin_writing(&seen.borrow_and_update().clone(), &mut under);
                match under.way.next().await {
                    Some(ended) => under.end(ended),
                    None => break,
                }
            }
            self.remaining(&report, &mut under).await;
        };
        if tokio::time::timeout(PATIENCE.max(self.since.elapsed()), rest).await.is_err() {
            self.warn("it takes too long: the next build may find less of it".to_owned()).await;
        }
        let written: Vec<_> = under.written.iter().map(ToString::to_string).collect();
        Ok(Report { cache_written: written, ..report })
    }

    fn begin(&'a self, seen: &Seen, under: &mut Under<'a>) {
        if let Some(chore @ Chore::Bring(node)) = strategy::overlap::bring(self.definition.graph(), seen, &under.begun) {
            under.begun.push(chore);
            let bring = async move {
                if let Err(fault) = self.bring(node).await {
                    tracing::debug!(?fault, node, "layers could not be brought early");
                }
                Ended(Some(chore), None)
            };
            under.way.push(bring.boxed());
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
                let kept = self.keep(node, place).await;
                let whole = node == plan.stages[stage].last;
                let kept = self.told(place, kept).await.filter(|_| whole && plan.cache.mode == Mode::Inline);
                Ended(Some(chore), kept)
            };
            under.way.push(keep.boxed());
        }
        if plan.cache.mode == Mode::Registry && !under.whole && seen.something_ran(self.definition.graph()) {
            under.whole = true;
            let keep = async move {
                let kept = self.keep_all(target).await;
                Ended(None, self.told(target, kept).await)
            };
            under.way.push(keep.boxed());
        }
    }

    async fn bring(&self, node: usize) -> Result<(), Fault> {
        let start = || async { self.solver.start(&new_id(), &self.outer(None, Vec::new())) };
        let solve = self.bringing.get_or_try_init(start).await?;
        let part = solve.define(self.definition, Some(node), &self.prepared.plan.cache.imports).await?;
        solve.load(&part).await
    }

    /// Writes one result's layers to the cache.
    async fn keep(&self, node: usize, place: &Reference) -> Result<(), Stop> {
        let graphdriver = self.run.capabilities.image_store == Some(ImageStore::Graphdriver);
        let exporter = match self.prepared.plan.cache.mode {
            _ if graphdriver => strategy::image(place),
            Mode::Registry => strategy::pushed_blobs(self.run.facts(), place),
            Mode::Inline | Mode::Off => strategy::pushed_image(self.run.facts(), place),
        };
        let solve = self.solver.start(&new_id(), &self.outer(Some(&exporter), self.run.inline()))?;
        let part = solve.define(self.definition, Some(node), &self.prepared.plan.cache.imports).await?;
        solve.export(Ok(part.into())).await?;
        if graphdriver {
            let engine = &self.run.agent.engine;
            let pushed = self.run.pusher().push_cache(place).await;
            // The build cache has its layers, and nobody looks for this name here.
            engine.untag(place).await;
            pushed?;
        }
        Ok(())
    }

    /// Writes the layers of all stages to one cache.
    async fn keep_all(&self, place: &Reference) -> Result<(), Stop> {
        let export = registry_cache(self.run.facts(), place);
        let solve = self.solver.start(&new_id(), &self.outer(None, vec![export]))?;
        let part = solve.define(self.definition, None, &self.prepared.plan.cache.imports).await?;
        solve.export(Ok(part.into())).await?;
        Ok(())
    }

    fn outer<'o>(&'o self, exporter: Option<&'o Exporter>, cache_exports: Vec<Exporter>) -> Outer<'o> {
        let entitlements = &self.run.output.entitlements;
        Outer { exporter, cache_exports, entitlements, platforms: &[], internal: true }
    }

    /// What is written without any layer: the target's cache, which is the image that was pushed, and what is found in
    /// another scope's cache as it is.
    async fn remaining(&self, report: &Report, under: &mut Under<'a>) {
        let Prepared { plan, .. } = self.prepared;
        let Some(target) = &plan.cache.target else { return };
        if plan.cache.mode == Mode::Inline {
            let kept = match (report.digest.is_empty(), self.run.output.groups.first()) {
                (false, Some(group)) if self.own_digest(target) == Some(&report.digest) && group.first == *target => Ok(false),
                (false, Some(_)) if self.own_digest(target) == Some(&report.digest) => Ok(false),
                (false, Some(group)) => self.retag(&group.first.with_digest(&report.digest), target).await,
                _ => Ok(false),
            };
            let _ = kept;
        }
    }

    fn own_digest(&self, _: &Reference) -> Option<&String> {
        None
    }

    async fn told(&self, place: &Reference, kept: Result<(), Stop>) -> Option<Reference> {
        let why = match kept {
            Ok(()) => return Some(place.clone()),
            Err(Stop::Engine(fault)) => self.solver.failure(&fault).what,
            Err(Stop::Said(failure)) => failure.what,
        };
        self.warn(format!("{place} was not written: {why}")).await;
        None
    }

    async fn warn(&self, text: String) {
        self.run.notice(true, format!("cache: {text}")).await;
    }
}
