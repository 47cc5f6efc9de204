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

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

pub use self::images::Earlier;
use self::images::{Image, Layer};
use crate::{digest::sha256, model::Capabilities};

/// Names the config of a registry cache.
pub const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";
/// `BuildKit` reads no larger manifest or config of a registry cache, in bytes.
pub const LARGEST_CACHE_CONFIG: u64 = 1 << 20;
/// Names the images in a merged manifest: their digests, separated by commas.
const MERGED: &str = "dev.remora.merged";

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
/// out, and are not named in what comes of it. The same arguments give the same bytes.
///
/// A step for which no part has a layer takes that of the `earlier` caches, best first, if they know the very same key.
/// Docker's engines up to 26 at least need that: what a build took from a cache they leave out of the inline cache that
/// they export, so that the build after the next would find nothing.
pub fn merge(parts: &[Part<'_>], earlier: &[Earlier<'_>], form: Form) -> Option<Merged> {
    let mut whole = Whole::default();
    for (index, part) in parts.iter().enumerate() {
        match Image::read(part) {
            Some(image) if whole.agrees(&image) => whole.add(part.digest, &image),
            _ if index == 0 => return None,
            _ => {}
        }
    }
    for image in earlier.iter().filter_map(Image::read_earlier) {
        if whole.agrees(&image) {
            whole.heal(&image);
        }
    }
    if whole.blobs.is_empty() {
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
    named.split(',').filter(|digest| !digest.is_empty()).map(str::to_owned).collect()
}

/// What the parts come to.
#[derive(Default)]
struct Whole {
    images: Vec<String>,
    /// Descriptors of blobs, in the order in which they came.
    blobs: Vec<Value>,
    /// What is uncompressed in each.
    diff_ids: HashMap<String, String>,
    /// A blob upon a layer, as its index, or upon nothing.
    layers: Vec<(String, Option<usize>)>,
    layer_at: HashMap<(String, Option<usize>), usize>,
    records: Vec<Record>,
    /// By the hash over their keys.
    record_at: HashMap<String, usize>,
}

struct Record {
    digest: String,
    /// For each input of the step the records that may answer it, with their selectors.
    inputs: Vec<BTreeSet<(usize, String)>>,
    /// Layers, and when they were made.
    results: Vec<(usize, Option<String>)>,
}

impl Whole {
    /// Whether the image says the same of its blobs as those before it.
    fn agrees(&self, image: &Image<'_>) -> bool {
        image.layers.iter().all(|layer| self.diff_ids.get(layer.of.digest).is_none_or(|known| *known == layer.diff_id))
    }

    fn add(&mut self, digest: &str, image: &Image<'_>) {
        self.images.push(digest.to_owned());
        let mut below = None;
        let layers: Vec<_> = image
            .layers
            .iter()
            .map(|layer| {
                let index = self.layer(layer, below);
                below = Some(index);
                index
            })
            .collect();
        let keys = image.cache.keys();
        // Inputs come first, so that what a link leads to has its place by then.
        let mut places = vec![0; keys.len()];
        for (index, record) in image.cache.records() {
            let inputs = record
                .inputs()
                .map(|input| input.iter().map(|link| (places[link.link], link.selector.clone())).collect());
            let place = *self.record_at.entry(keys[index].clone()).or_insert_with(|| {
                let (digest, inputs) = (record.digest.clone(), inputs.collect());
                self.records.push(Record { digest, inputs, results: Vec::new() });
                self.records.len() - 1
            });
            places[index] = place;
            let results = &mut self.records[place].results;
            for result in record.results() {
                let layer = layers[result.layer];
                if results.iter().all(|(known, _)| *known != layer) {
                    results.push((layer, result.created.clone().filter(|date| date::is_date(date))));
                }
            }
        }
    }

    /// The place of this layer upon that.
    fn layer(&mut self, layer: &Layer<'_>, below: Option<usize>) -> usize {
        let blob = layer.of.digest.to_owned();
        if self.diff_ids.insert(blob.clone(), layer.diff_id.clone()).is_none() {
            self.blobs.push(layer.descriptor());
        }
        let key = (blob, below);
        *self.layer_at.entry(key.clone()).or_insert_with(|| {
            self.layers.push(key);
            self.layers.len() - 1
        })
    }

    /// Gives the steps that have no layer those that an earlier cache has for them.
    fn heal(&mut self, earlier: &Image<'_>) {
        let keys = earlier.cache.keys();
        for (index, record) in earlier.cache.records() {
            let Some(&place) = self.record_at.get(&keys[index]).filter(|place| self.records[**place].results.is_empty())
            else {
                continue;
            };
            for result in record.results() {
                let Some(chain) = earlier.chain(result.layer) else { continue };
                let top = chain.into_iter().fold(None, |below, layer| Some(self.layer(layer, below)));
                let created = result.created.clone().filter(|date| date::is_date(date));
                self.records[place].results.extend(top.map(|top| (top, created)));
            }
        }
    }

    fn config(&self) -> Value {
        let layers = self.layers.iter().map(|(blob, below)| {
            // What is left out means 0.
            let parent = below.map_or(json!(-1), |below| json!(below));
            json!({ "blob": blob, "parent": parent })
        });
        let records = self.records.iter().map(Record::to_json);
        json!({ "layers": layers.collect::<Value>(), "records": records.collect::<Value>() })
    }

    fn manifest(&self, config: &[u8], form: Form) -> (Value, &'static str) {
        let config = json!({ "mediaType": CACHE_CONFIG, "digest": sha256(config), "size": config.len() });
        let media_type = match form {
            Form::Manifest => "application/vnd.oci.image.manifest.v1+json",
            Form::Index => "application/vnd.oci.image.index.v1+json",
        };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "annotations": { MERGED: self.images.join(",") },
        });
        match form {
            Form::Manifest => {
                manifest["config"] = config;
                manifest["layers"] = self.blobs.iter().cloned().collect();
            }
            Form::Index => manifest["manifests"] = self.blobs.iter().cloned().chain([config]).collect(),
        }
        (manifest, media_type)
    }
}

impl Record {
    fn to_json(&self) -> Value {
        let link = |(link, selector): &(usize, String)| match selector.as_str() {
            "" => json!({ "link": link }),
            selector => json!({ "link": link, "selector": selector }),
        };
        let result = |(layer, created): &(usize, Option<String>)| match created {
            Some(created) => json!({ "layer": layer, "createdAt": created }),
            None => json!({ "layer": layer }),
        };
        let mut record = json!({ "digest": self.digest });
        if !self.inputs.is_empty() {
            record["inputs"] = self.inputs.iter().map(|input| input.iter().map(link).collect::<Value>()).collect();
        }
        if !self.results.is_empty() {
            // BuildKit takes the last one.
            record["layers"] = self.results.iter().rev().map(result).collect();
        }
        record
    }
}

#[cfg(test)]
mod tests;
