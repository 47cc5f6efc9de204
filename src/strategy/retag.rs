//! Whether a cached image may be published as a build's result without loading a layer: what can be said of it before
//! anything is done.

use super::{Facts, Output, PushMechanism, Republish, republish};
use crate::model::{CacheMode, Retag};

/// An image with inline cache that lies in a registry.
#[derive(Debug, Clone)]
pub struct CachedImage<'a> {
    /// Where.
    pub reference: String,
    /// Its config.
    pub config: &'a [u8],
    /// Digests of its layers, from the lowest.
    pub layers: Vec<String>,
}

/// Judges. `wanted` is the config that the frontend returned; `None` where it made no single image. `images` are the
/// target's that are imported, best first.
pub fn retag(facts: Facts<'_>, output: &Output, wanted: Option<&[u8]>, images: &[CachedImage<'_>]) -> Retag {
    match possible(facts, output, wanted, images) {
        Ok(why) => Retag { possible: true, why },
        Err(why) => Retag { possible: false, why },
    }
}

fn possible(
    facts: Facts<'_>,
    output: &Output,
    wanted: Option<&[u8]>,
    images: &[CachedImage<'_>],
) -> Result<String, String> {
    match output.push {
        PushMechanism::None => return Err("without --push nothing is published".to_owned()),
        _ if facts.request.load => return Err("--load wants the layers in the engine".to_owned()),
        // Nor safe: a look is given blobs that are no layers, and such an engine would push them unread.
        PushMechanism::InSolve => {
            return Err("not needed, for this engine pushes without loading layers".to_owned());
        }
        PushMechanism::EngineApi if facts.request.no_cache => return Err("--no-cache runs every step".to_owned()),
        PushMechanism::EngineApi => {}
    }
    let wanted = wanted.ok_or("the engine does not tell what this build is made of")?;
    let mut why_not = None;
    for image in images {
        let reference = &image.reference;
        match republish(wanted, image.config, &image.layers) {
            Republish::Same => {
                return Ok(format!("{reference} gets the new tags as it is, and no layer is downloaded"));
            }
            Republish::NewConfig(_) => {
                return Ok(format!("the layers of {reference} get a new config and the tags, and none is downloaded"));
            }
            Republish::No(why) => why_not = why_not.or_else(|| Some(format!("{reference}: {why}"))),
        }
    }
    let off = facts.request.cache.mode == CacheMode::Off;
    let none = || if off { "--cache off" } else { "no image with inline cache of the target was found" }.to_owned();
    Err(why_not.unwrap_or_else(none))
}

#[cfg(test)]
mod tests;
