//! What images and registry caches come to, put together.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{CACHE_CONFIG, Form, MERGED, date::is_date, images::Image};
use crate::digest::sha256;

/// A blob upon a layer, as its index, or upon nothing.
type Layer = (String, Option<usize>);

#[derive(Default)]
pub(super) struct Whole {
    /// Digests of the images that are in it.
    pub(super) images: Vec<String>,
    /// Blobs, in the order in which they came.
    order: Vec<String>,
    blobs: HashMap<String, Blob>,
    layers: Vec<Layer>,
    layer_at: HashMap<Layer, usize>,
    records: Vec<Record>,
    /// By the hash over their keys.
    record_at: HashMap<String, usize>,
}

#[derive(Clone)]
struct Blob {
    /// Digest of what is in it, uncompressed.
    diff_id: String,
    descriptor: Value,
}

struct Record {
    /// The hash over its keys.
    key: String,
    digest: String,
    /// For each input of the step the records that may answer it, with their selectors.
    inputs: Vec<BTreeSet<(usize, String)>>,
    /// Layers, and when they were made; the best first.
    results: Vec<(usize, Option<String>)>,
}

impl Whole {
    /// Whether no step has a layer.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Takes it in; unless it says something else of a blob than what came before it.
    pub(super) fn add(&mut self, image: &Image<'_>) -> bool {
        let agrees = |layer: &super::images::Layer<'_>| {
            self.blobs.get(layer.of.digest).is_none_or(|known| known.diff_id == layer.diff_id)
        };
        if !image.layers.iter().all(agrees) {
            return false;
        }
        let mut layers: Vec<usize> = Vec::new();
        for layer in &image.layers {
            let Some(below) = layer.below.map(|below| layers.get(below).copied()).map_or(Some(None), |at| at.map(Some))
            else {
                return false;
            };
            let blob = || Blob { diff_id: layer.diff_id.clone(), descriptor: layer.descriptor() };
            layers.push(self.layer(layer.of.digest, below, blob));
        }
        let keys = image.cache.keys();
        // Inputs come first, so that what a link leads to has its place by then.
        let mut places = vec![0; keys.len()];
        for (index, record) in image.cache.records() {
            let inputs = record
                .inputs()
                .map(|input| input.iter().map(|link| (places[link.link], link.selector.clone())).collect());
            let place = *self.record_at.entry(keys[index].clone()).or_insert_with(|| {
                let (key, digest, inputs) = (keys[index].clone(), record.digest.clone(), inputs.collect());
                self.records.push(Record { key, digest, inputs, results: Vec::new() });
                self.records.len() - 1
            });
            places[index] = place;
            let known = &mut self.records[place].results;
            // BuildKit takes the last one.
            for result in record.results().collect::<Vec<_>>().into_iter().rev() {
                let layer = layers[result.layer];
                if known.iter().all(|(known, _)| *known != layer) {
                    known.push((layer, result.created.clone().filter(|date| is_date(date))));
                }
            }
        }
        true
    }

    /// Takes over the layers of steps that have none here.
    pub(super) fn adopt(&mut self, other: &Self) {
        for index in 0..self.records.len() {
            let record = &self.records[index];
            let there = other.record_at.get(&record.key).filter(|_| record.results.is_empty());
            let Some((top, created)) = there.and_then(|there| other.records[*there].results.first()) else { continue };
            let mut chain = Vec::new();
            let mut next = Some(*top);
            while let Some((blob, below)) = next.map(|layer| &other.layers[layer]) {
                chain.push((blob, &other.blobs[blob]));
                next = *below;
            }
            if chain.iter().any(|(blob, it)| self.blobs.get(*blob).is_some_and(|known| known.diff_id != it.diff_id)) {
                continue;
            }
            let below =
                chain.into_iter().rev().fold(None, |below, (blob, it)| Some(self.layer(blob, below, || it.clone())));
            self.records[index].results.extend(below.map(|layer| (layer, created.clone())));
        }
    }

    fn layer(&mut self, digest: &str, below: Option<usize>, blob: impl FnOnce() -> Blob) -> usize {
        if !self.blobs.contains_key(digest) {
            self.order.push(digest.to_owned());
            self.blobs.insert(digest.to_owned(), blob());
        }
        let key = (digest.to_owned(), below);
        *self.layer_at.entry(key.clone()).or_insert_with(|| {
            self.layers.push(key);
            self.layers.len() - 1
        })
    }

    pub(super) fn config(&self) -> Value {
        let layers = self.layers.iter().map(|(blob, below)| {
            // What is left out means 0.
            let parent = below.map_or(json!(-1), |below| json!(below));
            json!({ "blob": blob, "parent": parent })
        });
        let records = self.records.iter().map(Record::to_json);
        json!({ "layers": layers.collect::<Value>(), "records": records.collect::<Value>() })
    }

    /// A manifest of this config, and its media type.
    pub(super) fn manifest(&self, config: &[u8], form: Form) -> (Value, &'static str) {
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
        let blobs = self.order.iter().map(|blob| self.blobs[blob].descriptor.clone());
        match form {
            Form::Manifest => {
                manifest["config"] = config;
                manifest["layers"] = blobs.collect();
            }
            Form::Index => manifest["manifests"] = blobs.chain([config]).collect(),
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
