//! Whether an image that lies in a registry already is what a build would make, so that no layer has to move.
//!
//! It is known then that every step of the build came from the cache of that one image. BuildKit would make its result
//! of that image's own layer blobs: a cache record means layers by their position in the manifest, each with all those
//! below it. So the result is the image's lowest layers, as many as the build's history has entries with a layer, and
//! where that is all of them, the build's image has the image's layers in their order. What is left is the config,
//! which the frontend has returned.
//!
//! What BuildKit's importer takes from a cached config besides the record, by position for the entries of the history
//! that have a layer: `created`, the date of the layer from then on, and `created_by`, its description. A new config
//! therefore keeps those dates. Entries without a layer and the config's own `created` are not read again.

mod history;
mod stand_in;

use serde_json::{Map, Value};

use super::record::{self, inline_cache};
use history::Entry;
pub use stand_in::{StandIn, stand_in};

/// Keys of a config that may differ, and what is done about each is said below. All others must be equal: the
/// platform, and those that nobody here knows.
const MAY_DIFFER: &[&str] = &["author", "config", CREATED, "history", "rootfs", record::KEY];
const CREATED: &str = "created";

/// What may be published instead of a build's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Republish {
    /// The cached image as it is: it differs in nothing but dates, the base image's list of layers, and the record.
    Same,
    /// The cached image's layers under this config.
    NewConfig(Vec<u8>),
    /// It is not certain: why, in one line for a person.
    No(String),
}

/// What may be published for a build whose steps all came from the cache of one image.
///
/// `wanted` is the config that the frontend returned, `cached` that of the image, and `layers` the digests of the
/// image's manifest, from the lowest. The same arguments give the same bytes.
pub fn republish(wanted: &[u8], cached: &[u8], layers: &[String]) -> Republish {
    judge(wanted, cached, layers).unwrap_or_else(Republish::No)
}

fn judge(wanted: &[u8], cached: &[u8], layers: &[String]) -> Result<Republish, String> {
    let wanted = object(wanted).ok_or("the frontend's config is no JSON object")?;
    let old = object(cached).ok_or("the cached image's config is no JSON object")?;
    platform(&wanted, &old)?;
    blobs(&wanted, &old, layers)?;
    let record = inline_cache(cached).ok_or("the cached image has no cache record that can be read")?;
    if !record.is_linear() {
        return Err("the cached image was put together from several trees".into());
    }
    if record.top_layer().map(|top| top + 1) != Some(layers.len()) {
        return Err(format!(
            "the cached image's record leads to {} of its {} layers",
            record.top_layer().map_or(0, |top| top + 1),
            layers.len()
        ));
    }
    let entries = |config, whose| history::entries(config).ok_or(format!("the history of {whose} cannot be read"));
    let (new_history, old_history) = (entries(&wanted, "the frontend's config")?, entries(&old, "the cached image")?);
    steps(&new_history, &old_history, layers.len())?;

    let same_history = new_history.len() == old_history.len()
        && new_history.iter().zip(&old_history).all(|(new, old)| new.says_the_same(old));
    let same_date = present(&wanted, CREATED).is_none_or(|date| Some(date) == present(&old, CREATED));
    let same = |key| present(&wanted, key).map(bare) == present(&old, key).map(bare);
    if same_history && same_date && same("config") && same("author") {
        return Ok(Republish::Same);
    }
    Ok(Republish::NewConfig(new_config(wanted, &old, &history::dated(new_history, &old_history))))
}

/// Whether a cached image of the target lies upon the base image that the build has now. One that does not answers none
/// of its steps; and if its record says that it does, the record was made for another image.
pub fn same_base(wanted: &[u8], cached: &[u8]) -> bool {
    let (Some(wanted), Some(cached)) = (object(wanted), object(cached)) else { return false };
    diff_ids(&cached).unwrap_or_default().starts_with(&diff_ids(&wanted).unwrap_or_default())
}

fn platform(wanted: &Map<String, Value>, old: &Map<String, Value>) -> Result<(), String> {
    for key in ["os", "architecture"] {
        if wanted.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(format!("the frontend's config has no {key}"));
        }
    }
    for key in wanted.keys().chain(old.keys()).filter(|key| !MAY_DIFFER.contains(&key.as_str())) {
        if present(wanted, key).map(bare) != present(old, key).map(bare) {
            return Err(format!("the cached image has another {key:?}"));
        }
    }
    Ok(())
}

/// The layers that both configs name, against those of the manifest.
fn blobs(wanted: &Map<String, Value>, old: &Map<String, Value>, layers: &[String]) -> Result<(), String> {
    let old = diff_ids(old).ok_or("the cached image's config names no layers")?;
    if layers.is_empty() || old.len() != layers.len() {
        return Err(format!("the cached image's config names {} layers, its manifest {}", old.len(), layers.len()));
    }
    // Those of the base image; an image from scratch has none.
    let base = diff_ids(wanted).unwrap_or_default();
    if !old.starts_with(&base) {
        return Err("the cached image has another base image".into());
    }
    Ok(())
}

/// What the steps say that made the layers.
fn steps(new: &[Entry], old: &[Entry], layers: usize) -> Result<(), String> {
    let with_layer = |entries: &[Entry]| entries.iter().filter(|entry| entry.has_layer()).count();
    if with_layer(old) != layers {
        return Err(format!("the cached image's history tells of {} layers, it has {layers}", with_layer(old)));
    }
    if with_layer(new) != layers {
        return Err(format!("the build has {} layers, the cached image {layers}", with_layer(new)));
    }
    let pairs = new.iter().filter(|e| e.has_layer()).zip(old.iter().filter(|e| e.has_layer()));
    match pairs.into_iter().position(|(new, old)| !new.says_the_same_step(old)) {
        Some(layer) => Err(format!("layer {} of the cached image was made by another step", layer + 1)),
        None => Ok(()),
    }
}

/// The config that BuildKit would write: the wanted one, with the layers, their dates and their cache.
fn new_config(mut wanted: Map<String, Value>, old: &Map<String, Value>, history: &[Entry]) -> Vec<u8> {
    for key in ["rootfs", record::KEY] {
        if let Some(value) = old.get(key) {
            wanted.insert(key.to_owned(), value.clone());
        }
    }
    if present(&wanted, CREATED).is_none() {
        let last = history.iter().rev().find_map(Entry::created).or_else(|| present(old, CREATED));
        wanted.insert(CREATED.to_owned(), last.cloned().unwrap_or_default());
    }
    wanted.insert("history".to_owned(), history.iter().map(Entry::to_json).collect());
    Value::Object(wanted).to_string().into_bytes()
}

/// A manifest with another config: its digest, and its size in bytes. `None` if it is no manifest of an image.
pub fn with_config(manifest: &[u8], config_digest: &str, config_size: u64) -> Option<Vec<u8>> {
    let mut manifest = object(manifest)?;
    manifest.get("layers")?.as_array()?;
    let config = manifest.get_mut("config")?.as_object_mut()?;
    // A descriptor may carry its content, which is the old one.
    config.remove("data");
    config.insert("digest".to_owned(), config_digest.into());
    config.insert("size".to_owned(), config_size.into());
    Some(Value::Object(manifest).to_string().into_bytes())
}

fn object(json: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(json).ok()
}

/// A value that says something: to engines null is the same as nothing.
fn present<'a>(config: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    config.get(key).filter(|value| !value.is_null())
}

/// Without what says nothing: engines write `"OnBuild": null`, or leave it out, depending on their version.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().filter(|(_, v)| !v.is_null()).map(|(key, v)| (key.clone(), bare(v))).collect(),
        other => other.clone(),
    }
}

fn diff_ids(config: &Map<String, Value>) -> Option<Vec<&str>> {
    present(present(config, "rootfs")?.as_object()?, "diff_ids")?.as_array()?.iter().map(Value::as_str).collect()
}

#[cfg(test)]
mod tests;
