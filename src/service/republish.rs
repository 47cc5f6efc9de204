//! Looks before layers are loaded: where every step of a build came from the cache of one image in a registry, that
//! image's layers are published as they lie there.
//!
//! A graphdriver store can only push what it holds. So the result is asked for first, without an export; the engine
//! names the layers that it is about to fetch for it, and where these are the very layers of a cached image, it is told
//! to stop. Where they are not, it goes on: they would have had to come anyway.

use std::collections::BTreeSet;

use super::build::{Prepared, Run};
use crate::{
    digest::sha256,
    engine::{Definition, Fault, Made, Part, Solve, Solver},
    model::{Failure, NodeState, Report, Seen},
    registry::{self, CacheImage, Carries, Publication, Published},
    strategy::{PushMechanism, Republish, republish, retry::Policy, with_config},
};

pub(super) struct Look<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) solver: &'a Solver,
    pub(super) solve: &'a Solve,
    pub(super) made: &'a Made,
    pub(super) prepared: &'a Prepared,
}

/// An image whose layers are the result's.
struct Match<'a> {
    image: &'a CacheImage,
    config: &'a [u8],
    layers: Vec<String>,
}

impl Look<'_> {
    /// Publishes the result, if that needs no layer; else it is for the export to do, once this returns.
    pub(super) async fn look(&self, definition: &Definition, result: &Part) -> Result<Option<Report>, Fault> {
        let Some(last) = definition.graph().nodes.last() else { return Ok(None) };
        let (output, request) = (self.run.output, self.run.request);
        let images = self.images();
        if output.push != PushMechanism::EngineApi || request.load || images.is_empty() {
            return Ok(None);
        }
        let Some(found) = self.same_layers(&last.digest, result, &images).await? else { return Ok(None) };
        match self.publish(found).await {
            Ok(published) => Ok(published),
            Err(failure) => {
                // The ordinary way will meet the same, and say it, or does better.
                tracing::info!(what = failure.what, "the cached image was not published");
                Ok(None)
            }
        }
    }

    /// Images with inline cache.
    fn images(&self) -> Vec<Match<'_>> {
        let carries = |image: &CacheImage| matches!(image.carries, Carries::Inline { .. });
        let images = self.prepared.probed.images.values().filter(|image| carries(image));
        images
            .filter_map(|image| match &image.carries {
                Carries::Inline { config, layers, .. } => {
                    Some(Match { image, config, layers: layers.iter().map(|layer| layer.digest.clone()).collect() })
                }
                _ => None,
            })
            .collect()
    }

    /// The image whose layers the engine is about to fetch for the result; by then it has been told to stop.
    async fn same_layers<'m>(
        &self,
        last: &str,
        result: &Part,
        images: &'m [Match<'m>],
    ) -> Result<Option<&'m Match<'m>>, Fault> {
        let mut seen = self.solver.seen();
        let same = |seen: &Seen| {
            let pulled = seen.pulled(last).filter(|_| seen.state(last) == NodeState::Cached)?;
            images.iter().find(|image| image.layers.iter().collect::<BTreeSet<_>>() == pulled.iter().collect())
        };
        let named = async {
            loop {
                let found = same(&seen.borrow_and_update());
                if found.is_some() || seen.changed().await.is_err() {
                    return found;
                }
            }
        };
        tokio::select! {
            loaded = self.solve.load(result) => loaded.map(|()| None),
            found = named => Ok(found),
        }
    }

    async fn publish(&self, found: &Match<'_>) -> Result<Option<Report>, Failure> {
        let image = found.image;
        let wanted = self.made.config().unwrap_or_default();
        let (manifest, config) = match republish(wanted, found.config, &found.layers) {
            Republish::Same => (image.manifest.clone(), None),
            Republish::NewConfig(config) => {
                let digest = sha256(&config);
                match with_config(&image.manifest, &digest, config.len() as u64) {
                    Some(manifest) => (manifest.into(), Some(config.into())),
                    None => return Ok(None),
                }
            }
            Republish::No(why) => {
                tracing::info!(why, "the cached image is not the result");
                return Ok(None);
            }
        };
        let digest = sha256(&manifest);
        let config_digest = sha256(config.as_deref().unwrap_or(found.config));
        let publication = Publication {
            manifest: &manifest,
            media_type: &image.media_type,
            config: config.as_ref(),
        };
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
                tracing::info!(why, "the cached image was not published");
                return Ok(None);
            }
            for tag in &tags {
                pusher.announce(tag, &digest).await;
            }
        }
        let names: Vec<_> = self.run.request.tags.iter().map(ToString::to_string).collect();
        let exporter = [
            ("containerimage.config.digest", config_digest.clone()),
            ("containerimage.digest", digest.clone()),
            ("image.name", names.join(",")),
        ];
        let exporter = exporter.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok(Some(Report { image_id: config_digest, digest, exporter, ..Report::default() }))
    }
}
