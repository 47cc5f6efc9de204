//! A cache that stands in for that of an image, to see what the engine would take of it: the same keys, but each of the
//! image's layers is a blob that is none.
//!
//! What the engine sets out to fetch then tells which record it chose, as each names one blob alone; and no byte of a
//! layer moves, and none can ever become part of a result. The dates are the image's: with them the engine chooses
//! between several results of a step.

use serde_json::{Value, json};

use super::record;
use crate::{
    digest::sha256,
    strategy::{CACHE_CONFIG, LARGEST_CACHE_CONFIG},
};

/// Bytes of a blob that stands for a layer.
const BLOB: usize = 1024;

/// A cache of blobs that are no layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// Its index, which names all else by digest.
    pub index: Vec<u8>,
    /// Its config.
    pub config: Vec<u8>,
    /// What stands for the image's layers, from the lowest: each means it and all below it. It is text, and no archive:
    /// an engine that is given it fails to unpack it, while one that is refused it asks again for a minute.
    pub layers: Vec<Vec<u8>>,
}

/// Stands in for an image of so many layers, by its config. `nonce` keeps the stand-ins of several builds apart. `None`
/// where `BuildKit` would not take it.
pub fn stand_in(config: &[u8], layers: usize, nonce: &str) -> Option<StandIn> {
    let records: Value = serde_json::from_slice(&record::list(config)?).ok()?;
    let layer = |layer| format!("{:x>BLOB$}", format!(" layer {layer} of {nonce}")).into_bytes();
    let layers: Vec<_> = (0..layers).map(layer).collect();
    // What is left out as the one below means 0.
    let chain = layers.iter().map(|blob| json!({ "blob": sha256(blob), "parent": -1 }));
    let config = json!({ "layers": chain.collect::<Value>(), "records": records }).to_string().into_bytes();
    let blob = |blob: &Vec<u8>| {
        json!({
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": sha256(blob), "size": blob.len(),
            "annotations": { "containerd.io/uncompressed": sha256(blob) },
        })
    };
    let of_config = json!({ "mediaType": CACHE_CONFIG, "digest": sha256(&config), "size": config.len() });
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": layers.iter().map(blob).chain([of_config]).collect::<Value>(),
    });
    let index = index.to_string().into_bytes();
    let fits = |bytes: &[u8]| bytes.len() as u64 <= LARGEST_CACHE_CONFIG;
    (fits(&config) && fits(&index)).then_some(StandIn { index, config, layers })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const IMAGE: &str = include_str!("fixtures/28-one-pushed.json");

    #[test]
    fn it_has_the_keys_of_the_image_and_none_of_its_layers() {
        let stand_in = stand_in(IMAGE.as_bytes(), 3, "a").unwrap();
        let config: Value = serde_json::from_slice(&stand_in.config).unwrap();
        let records: Value = serde_json::from_slice(&record::list(IMAGE.as_bytes()).unwrap()).unwrap();
        assert_eq!(config["records"], records);
        let index: Value = serde_json::from_slice(&stand_in.index).unwrap();
        let named: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|blob| blob["digest"].clone()).collect();
        let blobs = stand_in.layers.iter().chain([&stand_in.config]);
        assert_eq!(named, blobs.map(|blob| Value::from(sha256(blob))).collect::<Vec<_>>());
        for (layer, blob) in config["layers"].as_array().unwrap().iter().zip(&stand_in.layers) {
            // Each by itself: what is fetched tells the layer.
            assert_eq!(*layer, json!({ "blob": sha256(blob), "parent": -1 }));
            // The first block of an archive has an octal checksum there.
            assert_eq!((blob.len(), &blob[148..156]), (BLOB, &b"xxxxxxxx"[..]));
        }
    }

    #[test]
    fn no_two_builds_wait_for_the_same_blob() {
        let blobs = |nonce| stand_in(IMAGE.as_bytes(), 2, nonce).unwrap().layers;
        assert!(blobs("a").iter().all(|blob| !blobs("b").contains(blob)));
        assert_ne!(blobs("a")[0], blobs("a")[1]);
    }

    #[test]
    fn what_buildkit_would_not_read_is_not_made() {
        assert_eq!(stand_in(b"{}", 1, "a"), None);
        assert_eq!(stand_in(IMAGE.as_bytes(), 10_000, "a"), None, "an index larger than 1 MiB");
    }
}
