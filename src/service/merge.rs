//! Makes one registry cache out of the images that hold a scope's caches: the next build imports that alone.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::future;

use super::{build::Run, chores::Chores, prepare::Prepared};
use crate::{
    model::{Failure, Reference},
    registry::{CacheImage, Carries, Publication, Published},
    strategy::{self, Known, LayerOf, Merged, Part},
};

impl Chores<'_> {
    /// Whether the merged cache has not all that lies there now.
    pub(super) fn is_behind(&self, target: &Reference, written: &[Reference], place: &Reference) -> bool {
        let merged = &self.prepared.probed.merged;
        let mut digests = self.places(target).filter_map(|place| self.digest_at(place));
        !written.is_empty() || self.digest_at(place).is_none() || digests.any(|digest| !merged.contains(digest))
    }

    /// Where images with cache lie, the target's first.
    fn places<'p>(&'p self, target: &'p Reference) -> impl Iterator<Item = &'p Reference> {
        let stages = self.prepared.plan.cache.stages.iter().map(|(_, place)| place);
        std::iter::once(target).chain(stages)
    }

    /// Writes to `place` what the images of the target and of the stages hold by now, of which this build wrote
    /// `written`; whether it did, for there may be nothing to write.
    pub(super) async fn merge(
        &self,
        target: &Reference,
        written: &[Reference],
        place: &Reference,
    ) -> Result<bool, Failure> {
        let images = self.places(target).map(|place| self.image_at(place, written));
        let images = future::try_join_all(images).await?;
        let mut parts = images.iter().map(|image| part(image.as_ref()?));
        // Without the target's there would be no cache of its steps: where the merged one lies, its image is not read.
        let Some(Some(first)) = parts.next() else { return Ok(false) };
        let parts: Vec<_> = std::iter::once(first).chain(parts.flatten()).collect();
        let read = self.imported(place).await?;
        let known: Vec<_> = read.iter().filter_map(of_known).collect();
        let Some(merged) = strategy::merge(&parts, &known, strategy::form(self.run.capabilities)) else {
            tracing::debug!(build = self.run.id, %place, "the caches of the stages cannot be one");
            return Ok(false);
        };
        self.run.publish_cache(merged, place).await
    }

    /// What this build imported from the repository, with the configs of registry caches.
    async fn imported(&self, place: &Reference) -> Result<Vec<(&CacheImage, Option<Bytes>)>, Failure> {
        let cache = &self.prepared.plan.cache;
        let imports = cache.several.iter().chain(&cache.imports).map(|(reference, _)| reference);
        let here: BTreeSet<_> = imports.filter(|it| it.name() == place.name()).filter_map(Reference::digest).collect();
        self.run.with_configs(self.prepared, here.into_iter(), place).await
    }

    /// What lies at a cache ref now: what was found there before the build, if that did not write it.
    async fn image_at(&self, place: &Reference, written: &[Reference]) -> Result<Option<CacheImage>, Failure> {
        if !written.contains(place) {
            let found = self.digest_at(place).and_then(|digest| self.prepared.probed.images.get(digest));
            return Ok(found.cloned());
        }
        let credential = self.run.pusher().credential(place).await?;
        Ok(self.run.agent.registry.cache_image(place, &credential, self.run.platform()).await?)
    }
}

impl Run<'_> {
    /// Puts a registry cache there, over layers that lie in that repository; whether it did.
    pub(super) async fn publish_cache(&self, cache: Merged, place: &Reference) -> Result<bool, Failure> {
        let (manifest, config) = (Bytes::from(cache.manifest), Bytes::from(cache.config));
        let publication = Publication { manifest: &manifest, media_type: cache.media_type, config: Some(&config) };
        let credential = self.pusher().credential(place).await?;
        let to = std::slice::from_ref(place);
        let published = self.agent.registry.publish(&publication, place, to, &credential).await?;
        Ok(matches!(published, Published::Done { .. }))
    }

    /// What was found under these digests in the repository of `place`, with the configs of registry caches.
    pub(super) async fn with_configs<'p>(
        &self,
        prepared: &'p Prepared,
        digests: impl Iterator<Item = &str>,
        place: &Reference,
    ) -> Result<Vec<(&'p CacheImage, Option<Bytes>)>, Failure> {
        let credential = self.pusher().credential(place).await?;
        let images = digests.filter_map(|digest| prepared.probed.images.get(digest));
        let with_config = async |image| {
            let config = self.agent.registry.cache_config(image, &credential).await?;
            Ok::<_, Failure>((image, config))
        };
        future::try_join_all(images.map(with_config)).await
    }
}

fn part(image: &CacheImage) -> Option<Part<'_>> {
    let Carries::Inline { config, layers } = &image.carries else { return None };
    let layers =
        layers.iter().map(|layer| LayerOf { digest: &layer.digest, size: layer.size, media_type: &layer.media_type });
    Some(Part { digest: &image.digest, config, layers: layers.collect() })
}

pub(super) fn of_known<'i>((image, config): &'i (&CacheImage, Option<Bytes>)) -> Option<Known<'i>> {
    match config {
        Some(config) => Some(Known::Whole { config, manifest: &image.manifest }),
        None => part(image).map(Known::Image),
    }
}
