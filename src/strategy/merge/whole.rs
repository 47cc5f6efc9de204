//! What images and registry caches come to, put together.

use std::{
    collections::{BTreeSet, HashMap},
    iter::successors,
};

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
    /// Its layer, and when that was made.
    result: Option<(usize, Option<String>)>,
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
        let mut layers = vec![None; image.layers.len()];
        let keys = image.cache.keys();
        // Inputs come first, so that what a link leads to has its place by then.
        let mut places = vec![0; keys.len()];
        for (index, record) in image.cache.records() {
            let inputs = record
                .inputs()
                .map(|input| input.iter().map(|link| (places[link.link], link.selector.clone())).collect());
            let place = *self.record_at.entry(keys[index].clone()).or_insert_with(|| {
                let (key, digest, inputs) = (keys[index].clone(), record.digest.clone(), inputs.collect());
                self.records.push(Record { key, digest, inputs, result: None });
                self.records.len() - 1
            });
            places[index] = place;
            // BuildKit takes the last one.
            if let (None, Some(result)) = (&self.records[place].result, record.results().last()) {
                let layer = self.chain(image, result.layer, &mut layers);
                let created = result.created.clone().filter(|date| is_date(date));
                self.records[place].result = layer.map(|layer| (layer, created));
            }
        }
        true
    }

    /// Takes over the layers of steps that have none here.
    pub(super) fn adopt(&mut self, other: &Self) {
        for index in 0..self.records.len() {
            let record = &self.records[index];
            let there = other.record_at.get(&record.key).filter(|_| record.result.is_none());
            let Some((top, created)) = there.and_then(|there| other.records[*there].result.as_ref()) else { continue };
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
            self.records[index].result = below.map(|layer| (layer, created.clone()));
        }
    }

    /// Takes a layer in with all those below it. `places` has those of the image that are in already.
    fn chain(&mut self, image: &Image<'_>, top: usize, places: &mut [Option<usize>]) -> Option<usize> {
        let unknown = |index: &usize| places[*index].is_none();
        let mut chain: Vec<_> =
            successors(Some(top).filter(unknown), |index| image.layers[*index].below.filter(unknown)).collect();
        while let Some(index) = chain.pop() {
            let layer = &image.layers[index];
            let blob = || Blob { diff_id: layer.diff_id.clone(), descriptor: layer.descriptor() };
            places[index] = Some(self.layer(layer.of.digest, layer.below.and_then(|below| places[below]), blob));
        }
        places[top]
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
        if let Some(result) = self.result.as_ref().map(result) {
            record["layers"] = json!([result]);
        }
        record
    }
}
