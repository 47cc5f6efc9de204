//! One registry cache out of the inline caches of several images, so that a build imports it alone.
//!
//! `BuildKit` asks the imports of a build all at once, and keeps for each cache key what one of them says, whichever
//! answers first. The final image knows the keys of the builder's steps and has no layers for them: where it answers
//! first, the builder's image is not asked any more, and the step runs again. Within one import nothing answers first.
//!
//! The format is that of `BuildKit`'s `type=registry,mode=max` (cache/remotecache/v1/doc.go). The layers are blobs that
//! lie in the images' repository.

mod date;
mod images;
mod whole;

use std::collections::BTreeMap;

use self::{images::Image, whole::Whole};
use crate::model::Capabilities;

/// Names the config of a registry cache.
pub const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";
/// `BuildKit` reads no larger manifest or config of a registry cache, in bytes.
pub const LARGEST_CACHE_CONFIG: u64 = 1 << 20;
/// Names the images in a merged manifest: their digests, separated by commas.
const MERGED: &str = "dev.remora.merged";

/// No build has more stages whose images could be merged.
const MOST_IMAGES: usize = 1000;

/// How a registry cache lies in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As an image manifest, which registries take that refuse an index of blobs. `BuildKit` reads it from 0.12 on
    /// (moby/buildkit#2251), which Docker has from 25.0, API 1.44, on.
    Manifest,
    /// As an index whose entries are blobs, which every `BuildKit` reads.
    Index,
}

/// An image with inline cache.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// Digest of its manifest.
    pub digest: &'a str,
    /// Its config.
    pub config: &'a [u8],
    /// Its layers, from the lowest.
    pub layers: Vec<LayerOf<'a>>,
}

/// Cache that was found in a repository.
#[derive(Debug, Clone)]
pub enum Known<'a> {
    /// An image with inline cache.
    Image(Part<'a>),
    /// A registry cache.
    Whole {
        /// Its config.
        config: &'a [u8],
        /// Its manifest.
        manifest: &'a [u8],
    },
}

/// A layer as a manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerOf<'a> {
    /// Digest of the blob.
    pub digest: &'a str,
    /// Its bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: &'a str,
}

/// A registry cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Its config.
    pub config: Vec<u8>,
    /// Its manifest, which names the config and all layers.
    pub manifest: Vec<u8>,
    /// Media type of the manifest.
    pub media_type: &'static str,
}

/// The form that this engine reads and registries like best.
pub fn form(capabilities: &Capabilities) -> Form {
    if capabilities.cache_manifests { Form::Manifest } else { Form::Index }
}

/// Merges. The first part is the target's, and is preferred where several have a layer for the same step; `None` where
/// it cannot be read, or where what comes of it is larger than `BuildKit` reads. Other parts that cannot be read are left
/// out, and are not named in what comes of it.
///
/// What was `known` gives its layers to steps that the images know without any: Docker 20.10 forgets the layers of a
/// step that came from the cache. The same arguments give the same bytes.
pub fn merge(parts: &[Part<'_>], known: &[Known<'_>], form: Form) -> Option<Merged> {
    let mut whole = Whole::default();
    for (index, part) in parts.iter().enumerate() {
        if Image::read(part).is_some_and(|image| whole.add(&image)) {
            whole.images.push(part.digest.to_owned());
        } else if index == 0 {
            return None;
        }
    }
    for known in known {
        let mut other = Whole::default();
        if known.read().is_some_and(|image| other.add(&image)) {
            whole.adopt(&other);
        }
    }
    written(&whole, form)
}

/// Unites what several builds left in the same repository, the best first: where two know of the same step, the better
/// one's layers are taken. `None` where the best cannot be read or none of the others can, or where what comes of it is
/// larger than `BuildKit` reads. The same arguments give the same bytes.
pub fn unite(several: &[Known<'_>], form: Form) -> Option<Merged> {
    let mut whole = Whole::default();
    let mut taken = several.iter().map(|known| known.read().is_some_and(|image| whole.add(&image)));
    let best = taken.next()?;
    let others = taken.filter(|taken| *taken).count();
    if best && others > 0 { written(&whole, form) } else { None }
}

impl<'a> Known<'a> {
    fn read(&self) -> Option<Image<'a>> {
        match self {
            Self::Image(part) => Image::read(part),
            Self::Whole { config, manifest } => Image::read_whole(config, manifest),
        }
    }
}

fn written(whole: &Whole, form: Form) -> Option<Merged> {
    if whole.is_empty() {
        return None;
    }
    let config = whole.config().to_string().into_bytes();
    let (manifest, media_type) = whole.manifest(&config, form);
    let manifest = manifest.to_string().into_bytes();
    let fits = |bytes: &[u8]| bytes.len() as u64 <= LARGEST_CACHE_CONFIG;
    (fits(&config) && fits(&manifest)).then_some(Merged { config, manifest, media_type })
}

/// Digests of the images that a merged manifest has the caches of; none for any other manifest.
pub fn merged_images(manifest: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Annotated {
        annotations: Option<BTreeMap<String, String>>,
    }
    let read = serde_json::from_slice(manifest).ok();
    let named = read.and_then(|Annotated { annotations }| annotations?.remove(MERGED)).unwrap_or_default();
    named.split(',').filter(|digest| !digest.is_empty()).take(MOST_IMAGES).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
