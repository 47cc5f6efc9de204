//! The inline cache record of an image, `moby.buildkit.cache.v0` of its config: which cache keys lead to which layers.
//!
//! The value is base64 of a JSON list of records and nothing else: BuildKit writes no layer digests into it. A record
//! means layers by their position in the image's manifest, each with all those below it, so that a record fits every
//! image with as many layers. `chains` name layers one by one instead, which images of merged trees need.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::digest::sha256;

/// The key of the record in an image config.
pub(super) const KEY: &str = "moby.buildkit.cache.v0";

/// An image's inline cache. All its links lead to records of it, and none in a circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineCache {
    records: Vec<Record>,
    /// Indices of all records, inputs before those that use them.
    order: Vec<usize>,
}

/// A step's cache key, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Record {
    #[serde(default)]
    pub(super) digest: String,
    #[serde(default)]
    layers: Option<Vec<Layer>>,
    #[serde(default)]
    chains: Option<Vec<Chain>>,
    /// For each input of the step the records that may answer it.
    #[serde(default)]
    inputs: Option<Vec<Vec<Link>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Layer {
    /// From 0, the lowest one.
    pub(super) layer: usize,
    /// When, by RFC 3339.
    #[serde(rename = "createdAt", default)]
    pub(super) created: Option<String>,
}

/// What it says does not matter here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Chain {}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    pub(super) selector: String,
    pub(super) link: usize,
}

impl Record {
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Vec<Link>> {
        self.inputs.iter().flatten()
    }

    pub(super) fn results(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().flatten()
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.inputs().flatten()
    }

    fn layers(&self) -> impl Iterator<Item = usize> {
        self.results().map(|layer| layer.layer)
    }
}

/// The inline cache of an image by its config; `None` where there is none, or one that BuildKit would not take.
pub fn inline_cache(config: &[u8]) -> Option<InlineCache> {
    InlineCache::parse(&list(config)?)
}

/// The list of records that a config has, as JSON; `None` where there is none.
pub(super) fn list(config: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "moby.buildkit.cache.v0")]
        cache: Option<String>,
    }
    let Config { cache } = serde_json::from_slice(config).ok()?;
    STANDARD.decode(cache?).ok()
}

impl InlineCache {
    /// Reads the list of records.
    fn parse(json: &[u8]) -> Option<Self> {
        Self::of(serde_json::from_slice(json).ok()?)
    }

    /// Of these records; `None` where `BuildKit` would not take them.
    pub(super) fn of(records: Vec<Record>) -> Option<Self> {
        // BuildKit takes no input that nothing can answer.
        let empty = records.iter().any(|record| record.inputs.iter().flatten().any(Vec::is_empty));
        let order = (!empty).then(|| order(&records))??;
        Some(Self { records, order })
    }

    /// The highest layer that a record leads to, from 0; `None` where no record leads to a layer.
    pub fn top_layer(&self) -> Option<usize> {
        self.records.iter().flat_map(Record::layers).max()
    }

    /// Whether each record means layers that lie upon one another. Else the image was put together from several trees.
    pub fn is_linear(&self) -> bool {
        self.records.iter().all(|record| record.chains.iter().flatten().next().is_none())
    }

    /// One hash over the cache keys that lead to the top layer, whatever the order of the records is: two images with
    /// the same one answer the same build. `None` where no record leads to a layer.
    pub fn key_of_top(&self) -> Option<String> {
        let top = self.top_layer()?;
        let keys = self.keys();
        let tops = (0..keys.len()).filter(|&index| self.records[index].layers().any(|layer| layer == top));
        let tops: BTreeSet<&str> = tops.map(|index| keys[index].as_str()).collect();
        Some(sha256(tops.into_iter().collect::<Vec<_>>().join("\n").as_bytes()))
    }

    /// A hash for each record, by its index: equal where digest and inputs are, all the way down, whatever the order of
    /// the records is.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys = vec![String::new(); self.records.len()];
        for (index, record) in self.records() {
            let mut text = format!("{:?}", record.digest);
            for input in record.inputs() {
                let mut answers: Vec<_> =
                    input.iter().map(|link| format!("{:?} {}", link.selector, keys[link.link])).collect();
                answers.sort_unstable();
                answers.dedup();
                text.push('\n');
                text.push_str(&answers.join(" "));
            }
            keys[index] = sha256(text.as_bytes());
        }
        keys
    }

    /// All records with their indices, inputs before those that use them.
    pub(super) fn records(&self) -> impl Iterator<Item = (usize, &Record)> {
        self.order.iter().map(|&index| (index, &self.records[index]))
    }
}

/// Inputs before those that use them; `None` where a link leads nowhere or in a circle. No recursion: a chain of steps
/// may be as long as a stranger wants it.
fn order(records: &[Record]) -> Option<Vec<usize>> {
    let mut users = vec![Vec::new(); records.len()];
    let mut missing = vec![0_usize; records.len()];
    for (index, record) in records.iter().enumerate() {
        for link in record.links() {
            users.get_mut(link.link)?.push(index);
            missing[index] += 1;
        }
    }
    let mut order: Vec<usize> = (0..records.len()).filter(|&index| missing[index] == 0).collect();
    let mut next = 0;
    while let Some(&done) = order.get(next) {
        next += 1;
        for &user in &users[done] {
            missing[user] -= 1;
            if missing[user] == 0 {
                order.push(user);
            }
        }
    }
    (order.len() == records.len()).then_some(order)
}
