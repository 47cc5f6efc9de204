//! Looks before layers are loaded: where every step of a build came from the cache of one image in a registry, that
//! image's layers are published as they lie there.
//!
//! A graphdriver store can only push what it holds. So the result is asked for first, without an export; the engine
//! names the layers that it is about to fetch for it, and where these are the very layers of a cached image, it is told
//! to stop. Where they are not, it goes on: they would have had to come anyway.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{build::Run, prepare::Prepared, probe::Probed};
use crate::{
    digest::sha256,
    engine::{Definition, Fault, Made, Part, Solve, Solver},
    model::{Failure, Found, NodeState, Report, Seen},
    registry::{self, CacheImage, Carries, Publication, Published},
    strategy::{CachedImage, Candidate, Plan, Republish, republish, retry::Policy, with_config},
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

/// What came of it. Both have a line for a person: which image, or why not.
pub(super) enum Looked {
    Published(Report, String),
    /// It is for the export to do, once this is known.
    No(String),
}

/// The images with inline cache that the plan imports, best first.
pub(super) fn cached_images<'a>(plan: &Plan, probed: &'a Probed) -> Vec<CachedImage<'a>> {
    let image = |(candidate, found): &(Candidate, Found)| {
        let Found::Cache { digest, .. } = found else { return None };
        let image = Match::of(probed.images.get(digest)?)?;
        Some(CachedImage { reference: candidate.reference.to_string(), config: image.config, layers: image.layers })
    };
    plan.found.iter().filter_map(image).collect()
}

impl<'a> Match<'a> {
    fn of(image: &'a CacheImage) -> Option<Self> {
        match &image.carries {
            Carries::Inline { config, layers, .. } => {
                Some(Self { image, config, layers: layers.iter().map(|layer| layer.digest.clone()).collect() })
            }
            _ => None,
        }
    }
}

impl Look<'_> {
    /// Publishes the result, if that needs no layer.
    pub(super) async fn look(&self, definition: &Definition, result: &Part) -> Result<Looked, Fault> {
        let Prepared { probed, explanation, .. } = self.prepared;
        let last = definition.graph().nodes.last();
        let (true, Some(last)) = (explanation.retag.possible, last) else {
            return Ok(Looked::No(explanation.retag.why.clone()));
        };
        let images: Vec<_> = probed.images.values().filter_map(Match::of).collect();
        let Some(found) = self.same_layers(&last.digest, result, &images).await? else {
            return Ok(Looked::No("not every step came from the cache of one image".to_owned()));
        };
        Ok(match self.publish(found).await {
            Ok(published) => published,
            // The ordinary way will meet the same, and say it, or does better.
            Err(failure) => Looked::No(failure.what),
        })
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

    async fn publish(&self, found: &Match<'_>) -> Result<Looked, Failure> {
        let image = found.image;
        let wanted = self.made.config().unwrap_or_default();
        let (manifest, config) = match republish(wanted, found.config, &found.layers) {
            Republish::Same => (image.manifest.clone(), None),
            Republish::NewConfig(config) => {
                let digest = sha256(&config);
                match with_config(&image.manifest, &digest, config.len() as u64) {
                    Some(manifest) => (manifest.into(), Some(config.into())),
                    None => return Ok(Looked::No(format!("{} has no manifest of an image", image.reference))),
                }
            }
            Republish::No(why) => return Ok(Looked::No(format!("{}: {why}", image.reference))),
        };
        let digest = sha256(&manifest);
        let config_digest = sha256(config.as_deref().unwrap_or(found.config));
        let publication = Publication {
            manifest: &manifest,
            media_type: &image.media_type,
            config: config.as_ref(),
            blobs: &image.blobs(),
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
            if published == Published::NotMountable {
                let (name, from) = (group.first.name(), image.reference.name());
                return Ok(Looked::No(format!("{name} cannot be given the layers of {from}")));
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
        let report = Report { image_id: config_digest, digest, exporter, ..Report::default() };
        Ok(Looked::Published(report, image.reference.to_string()))
    }
}
