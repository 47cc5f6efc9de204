//! Looks before layers are loaded: where every step of a build came from the cache of one image in a registry, that
//! image's layers are published as they lie there.
//!
//! A graphdriver store can only push what it holds. So the result is asked for first, without an export, and the engine
//! is given a cache that stands in for the image's: the same keys, which lead to blobs that are no layers. The one that it
//! sets out to fetch tells which of the image's layers the result would be; then it is told to stop.
//!
//! Operations of one key are shared by all solves of an engine, and none but this one must ever wait for such a blob. So
//! no other build of this agent solves anything meanwhile. Where one does already, the engine is given the image's own
//! cache, and is told to stop where the layers that it begins to fetch are the very ones of the image.

use std::{collections::BTreeSet, future::pending, ops::ControlFlow, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tokio::sync::{MutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    build::{Run, new_id},
    prepare::Prepared,
    probe::Probed,
};
use crate::{
    digest::sha256,
    engine::{Definition, Fault, Made, Outer, Part, Solve, Solver, View},
    model::{Event, Failure, Found, Graph, Node, NodeKind, NodeState, Report, Seen, StepId},
    registry::{self, CacheImage, Carries, Publication, Published},
    strategy::{CachedImage, Candidate, Plan, Republish, StandIn, republish, retry::Policy, stand_in, with_config},
};

/// Events of a look that are kept until it is known whether anybody wants them.
const MOST_EVENTS: usize = 100_000;

/// How long a look may take, and how long one build waits for another's.
const LONGEST: Duration = Duration::from_secs(3);

pub(super) struct Look<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) solver: &'a Solver,
    /// What is seen of the build itself.
    pub(super) view: &'a View,
    pub(super) definition: &'a Definition,
    pub(super) made: &'a Made,
    pub(super) prepared: &'a Prepared,
    /// Cancelled once the engine has the build context, which may take as long as it likes.
    pub(super) context: CancellationToken,
}

/// An image whose layers may be the result's.
struct Image<'a> {
    image: &'a CacheImage,
    cached: CachedImage<'a>,
}

/// What the engine names when it sets out to fetch the layers of an image, and nothing else.
struct Sign<'m> {
    blobs: BTreeSet<String>,
    image: &'m Image<'m>,
}

impl Image<'_> {
    fn stand_in(&self, solve: &str) -> Option<StandIn> {
        stand_in(self.cached.config, self.cached.layers.len(), &format!("{} for {solve}", self.image.digest))
    }
}

/// Blobs that are lent when a look is over, however it ends.
struct LentInTheEnd<'a> {
    solver: &'a Solver,
    blobs: Vec<(String, Bytes)>,
}

impl Drop for LentInTheEnd<'_> {
    fn drop(&mut self) {
        self.solver.lend(std::mem::take(&mut self.blobs));
    }
}

/// With their digests.
fn blobs(blobs: impl Iterator<Item = Vec<u8>>) -> impl Iterator<Item = (String, Bytes)> {
    blobs.map(|blob| (sha256(&blob), blob.into()))
}

/// The images with inline cache of the target, best first.
pub(super) fn cached_images<'a>(plan: &Plan, probed: &'a Probed) -> Vec<CachedImage<'a>> {
    images(plan, probed).into_iter().map(|image| image.cached).collect()
}

fn images<'a>(plan: &Plan, probed: &'a Probed) -> Vec<Image<'a>> {
    // A person knows it by its tag.
    let asked = |image: &CacheImage| {
        let by = |(candidate, found): &(Candidate, Found)| match found {
            Found::Cache { digest, .. } if *digest == image.digest => Some(candidate.reference.to_string()),
            _ => None,
        };
        plan.found.iter().find_map(by).unwrap_or_else(|| image.reference.to_string())
    };
    let of_target = plan.cache.of_target.iter().filter_map(|(reference, _)| reference.digest());
    let images = of_target.filter_map(|digest| probed.images.get(digest));
    images
        .filter_map(|image| match &image.carries {
            Carries::Inline { config, layers, .. } => {
                let layers = layers.iter().map(|layer| layer.digest.clone()).collect();
                Some(Image { image, cached: CachedImage { reference: asked(image), config, layers } })
            }
            _ => None,
        })
        .collect()
}

impl Look<'_> {
    /// Publishes the result, if that needs no layer, and says which image it is; else it is for the export to do, and it
    /// says why.
    pub(super) async fn look(&self) -> Result<(Report, String), String> {
        let Prepared { plan, probed, explanation, .. } = self.prepared;
        if !self.prepared.is_worth_a_look() {
            return Err(explanation.retag.why.clone());
        }
        let images = images(plan, probed);
        let (id, view, never) = (new_id(), View::of(self.run.request), CancellationToken::new());
        let (sender, mut receiver) = mpsc::channel(MOST_EVENTS);
        self.context.cancelled().await;
        // Before anybody watches: an engine that is asked for a solve which does not begin soon tells nothing of it.
        let turn = tokio::time::timeout(LONGEST, self.run.agent.looking.lock()).await;
        let found = tokio::select! {
            found = self.found(turn.ok(), &id, &view, &images) => found,
            // It ends when the solve does, which says why.
            () = async { self.solver.watch(&id, &view, &sender, &never).await; pending().await } => None,
        };
        let found = found.ok_or("not every step came from the cache of one image")?;
        // Where it cannot be, the ordinary way will meet the same, and say it, or does better.
        let report = self.publish(found).await.unwrap_or_else(|failure| Err(failure.what))?;
        let mut events: Vec<Event> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
        conclude(&mut events, self.view.steps());
        for event in events {
            drop(self.run.events.send(event).await);
        }
        Ok((report, found.cached.reference.clone()))
    }

    /// Keeps the build context in the engine until this is dropped: what a look has fetched need not come again.
    pub(super) async fn hold(&self) -> std::convert::Infallible {
        let local = self.definition.graph().nodes.iter().position(|node| node.kind == NodeKind::Local);
        let held = async {
            let _told = self.context.clone().drop_guard();
            let solve = self.solver.start(&new_id(), &Outer { internal: true, ..Outer::default() }).ok()?;
            let part = solve.define(self.definition, Some(local?), &[]).await.ok()?;
            solve.load(&part).await.ok()?;
            Some(solve)
        };
        let _held = held.await;
        pending().await
    }

    /// The image whose layers the result would be. By then the engine has let go of all that was asked of it here.
    async fn found<'m>(
        &self,
        turn: Option<MutexGuard<'_, ()>>,
        id: &str,
        view: &View,
        images: &'m [Image<'m>],
    ) -> Option<&'m Image<'m>> {
        let outer = Outer { entitlements: &self.run.output.entitlements, internal: true, ..Outer::default() };
        let (solving, imports) = (&self.run.agent.solving, &self.prepared.plan.cache.of_target);
        let stand_ins: Vec<_> = images.iter().filter_map(|image| Some((image, image.stand_in(id)?))).collect();
        if stand_ins.len() == imports.len()
            && let Ok(_alone) = solving.try_write()
        {
            // Only somebody else's solve can still want them then.
            let layers = stand_ins.iter().flat_map(|(_, stand_in)| stand_in.layers.clone());
            let _lent = LentInTheEnd { solver: self.solver, blobs: blobs(layers).collect() };
            let solve = self.solver.start(id, &outer).ok()?;
            let found = tokio::time::timeout(LONGEST, self.with_stand_ins(&solve, view, &stand_ins)).await;
            let stopped = tokio::time::timeout(LONGEST, solve.stop()).await;
            return stopped.ok().and(found.ok().flatten());
        }
        drop(turn);
        let _beside = solving.read().await;
        let solve = self.solver.start(id, &outer).ok()?;
        let sign = |image: &'m Image<'m>| Sign { blobs: image.cached.layers.iter().cloned().collect(), image };
        let signs: Vec<_> = images.iter().map(sign).collect();
        // It is given the target's own cache alone. With those of other stages at hand it may fetch these first, to
        // compare what the target takes from them, where the target's would have said that nothing changed.
        let part = solve.define(self.definition, None, imports).await;
        let found = self.same_layers(&solve, part, view, &signs).await;
        tokio::time::timeout(LONGEST, solve.stop()).await.ok().and(found)
    }

    async fn with_stand_ins<'m>(
        &self,
        solve: &Solve,
        view: &View,
        stand_ins: &[(&'m Image<'m>, StandIn)],
    ) -> Option<&'m Image<'m>> {
        let sign = |(image, stand_in): &(&'m Image<'m>, StandIn)| {
            let top = stand_in.layers.last().map(|top| sha256(top));
            Sign { blobs: top.into_iter().collect(), image }
        };
        let signs: Vec<_> = stand_ins.iter().map(sign).collect();
        let own = |(_, it): &(_, StandIn)| [it.index.clone(), it.config.clone()];
        self.solver.lend(blobs(stand_ins.iter().flat_map(own)));
        let indices: Vec<_> = stand_ins.iter().map(|(_, stand_in)| sha256(&stand_in.index)).collect();
        let part = solve.define_with_lent(self.definition, indices.iter().map(String::as_str)).await;
        self.same_layers(solve, part, view, &signs).await
    }

    async fn same_layers<'m>(
        &self,
        solve: &Solve,
        part: Result<Part, Fault>,
        view: &View,
        signs: &[Sign<'m>],
    ) -> Option<&'m Image<'m>> {
        let part = part.ok()?;
        let mut seen = view.seen();
        let decided = async {
            loop {
                if let ControlFlow::Break(verdict) = verdict(&seen.borrow_and_update(), self.definition.graph(), signs)
                {
                    return verdict;
                }
                if seen.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::select! {
            _ = solve.load(&part) => None,
            verdict = decided => verdict,
        }
    }

    /// Gives the image's layers the tags of the result; or says why not.
    async fn publish(&self, found: &Image<'_>) -> Result<Result<Report, String>, Failure> {
        let Image { image, cached } = found;
        let wanted = self.made.config().unwrap_or_default();
        let (manifest, config) = match republish(wanted, cached.config, &cached.layers) {
            Republish::Same => (image.manifest.clone(), None),
            Republish::NewConfig(config) => {
                let digest = sha256(&config);
                match with_config(&image.manifest, &digest, config.len() as u64) {
                    Some(manifest) => (manifest.into(), Some(config.into())),
                    None => return Ok(Err(format!("{}: its manifest is none of an image", cached.reference))),
                }
            }
            Republish::No(why) => return Ok(Err(format!("{}: {why}", cached.reference))),
        };
        let digest = sha256(&manifest);
        let config_digest = sha256(config.as_deref().unwrap_or(cached.config));
        let publication = Publication { manifest: &manifest, media_type: &image.media_type, config: config.as_ref() };
        let pusher = self.run.pusher();
        for group in &self.run.output.groups {
            let credential = pusher.credential(&group.first).await?;
            let tags: Vec<_> = std::iter::once(&group.first).chain(&group.rest).cloned().collect();
            let operation = || self.run.agent.registry.publish(&publication, &image.reference, &tags, &credential);
            let what = format!("publishing {}", group.first.name());
            let published = registry::retrying(&Policy::default(), operation, registry::Error::trouble, |attempt| {
                pusher.notice(attempt.notice(&what, &attempt.error.reason()))
            })
            .await?;
            if let Published::NotMountable(why) = published {
                return Ok(Err(format!("{} cannot be given the layers: {why}", group.first.name())));
            }
            for tag in &tags {
                pusher.announce(tag, &digest).await;
            }
        }
        let names: Vec<_> = self.run.request.tags.iter().map(ToString::to_string).collect();
        let descriptor = serde_json::json!({ "mediaType": image.media_type, "digest": digest, "size": manifest.len() });
        let exporter = [
            ("containerimage.config.digest", config_digest.clone()),
            // As engines answer it.
            ("containerimage.descriptor", STANDARD.encode(descriptor.to_string())),
            ("containerimage.digest", digest.clone()),
            ("image.name", names.join(",")),
        ];
        let exporter = exporter.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok(Ok(Report { image_id: config_digest, digest, exporter, ..Report::default() }))
    }
}

/// What the engine sets out to do, once that is known: the image whose layers it fetches, or none for anything else.
fn verdict<'m>(seen: &Seen, graph: &Graph, signs: &[Sign<'m>]) -> ControlFlow<Option<&'m Image<'m>>> {
    let Some((last, others)) = graph.nodes.split_last() else { return ControlFlow::Break(None) };
    let works = |node: &Node| match (node.kind, seen.state(&node.digest)) {
        (NodeKind::Run | NodeKind::File, NodeState::Running | NodeState::Done { .. } | NodeState::Failed) => true,
        (NodeKind::Local, _) => false,
        _ => seen.fetches(&node.digest),
    };
    if others.iter().any(works) {
        return ControlFlow::Break(None);
    }
    match seen.state(&last.digest) {
        NodeState::Waiting => ControlFlow::Continue(()),
        NodeState::Cached => {
            let Some(pulled) = seen.pulled(&last.digest) else { return ControlFlow::Continue(()) };
            match signs.iter().find(|sign| sign.blobs.is_superset(pulled)) {
                Some(sign) if sign.blobs.len() > pulled.len() => ControlFlow::Continue(()),
                sign => ControlFlow::Break(sign.map(|sign| sign.image)),
            }
        }
        NodeState::Running | NodeState::Done { .. } | NodeState::Failed => ControlFlow::Break(None),
    }
}

/// Numbers the steps on from those that were `shown`, and ends the ones that were told to stop: they came from the
/// cache.
fn conclude(events: &mut Vec<Event>, shown: StepId) {
    let mut open = BTreeSet::new();
    for event in events.iter_mut() {
        match event {
            Event::StepStarted { step, .. } => {
                *step += shown;
                open.insert(*step);
            }
            Event::StepLog { step, .. } | Event::StepProgress { step, .. } => *step += shown,
            Event::StepDone { step, cached, error, .. } => {
                *step += shown;
                open.remove(step);
                *cached |= error.take().is_some();
            }
            _ => {}
        }
    }
    let done = |step| Event::StepDone { step, cached: true, error: None, elapsed_ms: 0 };
    events.extend(open.into_iter().map(done));
}
