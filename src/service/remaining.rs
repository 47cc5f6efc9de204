//! What remains to be written to the cache once a build is done.

use super::{
    build::Stop,
    chores::{Chores, Under},
    prepare::Prepared,
};
use crate::{
    model::{Failure, FailureKind, Found, Reference, Report, Whose},
    registry::{CacheImage, Publication, Published},
    strategy::Mode,
};

impl<'a> Chores<'a> {
    /// What needs no layer: the target's cache is the image that was pushed, what did not change is found in another
    /// scope's cache, and all of it becomes one in the end. `ran` says whether any step did.
    pub(super) async fn remaining(&self, report: &Report, ran: bool, under: &mut Under<'a>) {
        let Prepared { plan, .. } = self.prepared;
        let Some(target) = &plan.cache.target else { return };
        let stages = plan.cache.stages.iter().map(|(_, place)| place);
        let mut places: Vec<&Reference> = stages.filter(|_| plan.cache.mode == Mode::Inline).collect();
        if plan.cache.mode == Mode::Inline && !report.digest.is_empty() {
            let same = self.digest_at(target) == Some(&report.digest);
            if !same {
                under.note(target, self.told(self.name_pushed(&report.digest, target).await));
            }
        } else if plan.cache.mode == Mode::Inline && ran {
            let last = self.definition.graph().last().unwrap_or_default();
            under.note(target, self.told(self.keep(last, target).await));
        } else if !under.whole {
            places.push(target);
        }
        for place in places {
            if under.written.contains(place) || self.digest_at(place).is_some() {
                continue;
            }
            let kept = match self.elsewhere(place) {
                Some(image) => self.copy(image, place).await.and_then(|published| match published {
                    Published::Done { .. } => Ok(()),
                    Published::NotMountable(why) => Err(Failure::new(FailureKind::Registry, why).into()),
                }),
                // A warm engine's cache is nowhere yet: what it has of it is written, and nothing has to run for that.
                None if plan.cache.mode == Mode::Registry => self.keep_all(place).await,
                None => match self.last_of(place).filter(|_| self.is_alone()) {
                    Some(last) => self.keep(last, place).await,
                    None => continue,
                },
            };
            under.note(place, self.told(kept));
        }
        if plan.cache.mode == Mode::Registry {
            return self.name_all(target, under).await;
        }
        if let Some(place) = &plan.cache.merged
            && self.is_behind(target, &under.written, place)
        {
            match self.merge(target, &under.written, place).await {
                Ok(true) => under.note(place, Ok(())),
                Ok(false) => {}
                Err(failure) => under.note(place, Err(failure.what)),
            }
        }
    }

    /// Gives the one cache of all stages its other names: where builds of other targets look, and where a stage has less.
    async fn name_all(&self, target: &Reference, under: &mut Under<'a>) {
        let cache = &self.prepared.plan.cache;
        let is_new = under.written.contains(target);
        if !is_new && self.digest_at(target).is_none() {
            // What became of the stages' is no further news.
            return under.failed.retain(|place, _| place == target);
        }
        let tried = |place: &&Reference| under.written.contains(place) || under.failed.contains_key(*place);
        let stages = cache.stages.iter().map(|(_, place)| place);
        let stages = stages.filter(|place| tried(place) || self.digest_at(place).is_some());
        let is_other = |place: &&Reference| is_new || self.digest_at(place) != self.digest_at(target);
        let others: Vec<_> = cache.merged.iter().chain(stages).filter(is_other).cloned().collect();
        if others.is_empty() {
            return;
        }
        let done = async {
            let credential = self.run.pusher().credential(target).await?;
            self.run.agent.registry.retag(target, &others, &credential).await?;
            Ok::<_, Failure>(())
        };
        let done = done.await.map_err(|failure| failure.what);
        for place in &others {
            if done.is_ok() || !under.written.contains(place) {
                under.note(place, done.clone());
            }
        }
    }

    /// The last step of the stage whose cache lies here.
    fn last_of(&self, place: &Reference) -> Option<usize> {
        let Prepared { plan, .. } = self.prepared;
        let (name, _) = plan.cache.stages.iter().find(|(_, at)| at == place)?;
        plan.stages.iter().find(|stage| stage.name == *name).map(|stage| stage.last)
    }

    /// The digest of the cache that was found here.
    pub(super) fn digest_at(&self, place: &Reference) -> Option<&String> {
        self.prepared.plan.found.iter().find_map(|(candidate, found)| match found {
            Found::Cache { digest, .. } if candidate.reference == *place => Some(digest),
            _ => None,
        })
    }

    /// The same stage's cache of another scope.
    fn elsewhere(&self, place: &Reference) -> Option<&CacheImage> {
        let Prepared { plan, probed, .. } = self.prepared;
        let stage = &plan.found.iter().find(|(candidate, _)| candidate.reference == *place)?.0.stage;
        plan.found.iter().find_map(|(candidate, found)| match found {
            Found::Cache { digest, .. }
                if candidate.stage == *stage && matches!(candidate.whose, Whose::Fallback(_)) =>
            {
                probed.images.get(digest)
            }
            _ => None,
        })
    }

    /// Gives the pushed image, which carries the target's cache, that name as well.
    async fn name_pushed(&self, digest: &str, place: &Reference) -> Result<(), Stop> {
        let (agent, pusher) = (self.run.agent, self.run.pusher());
        let groups = &self.run.output.groups;
        let credential = pusher.credential(place).await?;
        if let Some(group) = groups.iter().find(|group| group.first.name() == place.name()) {
            let image = group.first.with_digest(digest);
            agent.registry.retag(&image, std::slice::from_ref(place), &credential).await.map_err(Failure::from)?;
            return Ok(());
        }
        for group in groups.iter().filter(|group| group.first.registry() == place.registry()) {
            let image = group.first.with_digest(digest);
            let image = agent.registry.cache_image(&image, &credential, "").await.map_err(Failure::from)?;
            if let Some(image) = image
                && let Published::Done { .. } = self.copy(&image, place).await?
            {
                return Ok(());
            }
        }
        let last = self.definition.graph().last().unwrap_or_default();
        self.keep(last, place).await
    }

    /// Gives what lies in a registry another name there.
    async fn copy(&self, image: &CacheImage, place: &Reference) -> Result<Published, Stop> {
        let credential = self.run.pusher().credential(place).await?;
        let publication = Publication { manifest: &image.manifest, media_type: &image.media_type, config: None };
        let to = std::slice::from_ref(place);
        let published = self.run.agent.registry.publish(&publication, &image.reference, to, &credential).await;
        Ok(published.map_err(Failure::from)?)
    }
}
