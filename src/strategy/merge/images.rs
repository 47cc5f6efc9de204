//! What an image brings along: its record, and what its config says of its layers.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{LayerOf, Part, date::is_date};
use crate::strategy::{InlineCache, inline_cache};

/// Media types of layers, in Docker's words and in those of OCI manifests.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
];

pub(super) struct Image<'a> {
    pub(super) cache: InlineCache,
    /// From the lowest, as many as its record leads to.
    pub(super) layers: Vec<Layer<'a>>,
}

pub(super) struct Layer<'a> {
    pub(super) of: LayerOf<'a>,
    pub(super) diff_id: String,
    /// When it was made, by RFC 3339.
    created: Option<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
    history: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Entry {
    created: Option<String>,
    empty_layer: Option<bool>,
}

impl<'a> Image<'a> {
    /// `None` where `BuildKit` would find no inline cache in it, or its layers do not lie upon one another.
    pub(super) fn read(part: &Part<'a>) -> Option<Self> {
        let cache = inline_cache(part.config)?;
        let Config { rootfs, history } = serde_json::from_slice(part.config).ok()?;
        if !cache.is_linear() || rootfs.diff_ids.len() != part.layers.len() {
            return None;
        }
        let top = cache.top_layer().map_or(0, |top| top.saturating_add(1));
        let in_order = rootfs.diff_ids.iter().all(|id| is_sha256(id))
            && part.layers.iter().all(|layer| is_sha256(layer.digest) && i64::try_from(layer.size).is_ok());
        if top > part.layers.len() || !in_order {
            return None;
        }
        let entries = history.into_iter().flatten().filter(|entry| entry.empty_layer != Some(true));
        let dates = entries.map(|entry| entry.created.filter(|date| is_date(date))).chain(std::iter::repeat(None));
        let layers = part.layers.iter().zip(rootfs.diff_ids).zip(dates).take(top);
        let layers = layers.map(|((of, diff_id), created)| Layer { of: *of, diff_id, created }).collect();
        Some(Self { cache, layers })
    }
}

impl Layer<'_> {
    /// As `BuildKit` writes it into the manifest of a registry cache.
    pub(super) fn descriptor(&self) -> Value {
        let LayerOf { digest, size, media_type } = self.of;
        let oci = MEDIA_TYPES.iter().find(|(docker, _)| *docker == media_type).map_or(media_type, |(_, oci)| oci);
        let mut annotations = json!({ "containerd.io/uncompressed": self.diff_id });
        if let Some(created) = &self.created {
            annotations["buildkit/createdat"] = created.as_str().into();
        }
        json!({ "mediaType": oci, "digest": digest, "size": size, "annotations": annotations })
    }
}

fn is_sha256(digest: &str) -> bool {
    let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    digest.strip_prefix("sha256:").is_some_and(is_hex)
}
