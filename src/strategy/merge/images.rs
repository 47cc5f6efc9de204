//! What an image brings along: its record, and what its config says of its layers.

use std::collections::BTreeMap;

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

/// Annotations of a layer: the digest of what is uncompressed in it, and when it was made.
const DIFF_ID: &str = "containerd.io/uncompressed";
const CREATED: &str = "buildkit/createdat";

pub(super) struct Image<'a> {
    pub(super) cache: InlineCache,
    /// Those that its record leads to.
    pub(super) layers: Vec<Layer<'a>>,
}

/// A cache that was there before.
#[derive(Debug, Clone)]
pub enum Earlier<'a> {
    /// Within an image.
    Image(Part<'a>),
    /// A registry cache.
    Registry {
        /// Its config.
        config: &'a [u8],
        /// Its manifest, in either form.
        manifest: &'a [u8],
    },
}

pub(super) struct Layer<'a> {
    pub(super) of: LayerOf<'a>,
    /// The one that it lies upon, by its place in the list.
    pub(super) below: Option<usize>,
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
        let layers = layers.enumerate().map(|(index, ((of, diff_id), created))| {
            let below = index.checked_sub(1);
            Layer { of: *of, below, diff_id, created }
        });
        Some(Self { cache, layers: layers.collect() })
    }

    /// The same of a cache that was there before.
    pub(super) fn read_earlier(earlier: &Earlier<'a>) -> Option<Self> {
        match earlier {
            Earlier::Image(part) => Self::read(part),
            Earlier::Registry { config, manifest } => Self::read_registry(config, manifest),
        }
    }

    fn read_registry(config: &[u8], manifest: &'a [u8]) -> Option<Self> {
        let CacheConfig { layers, records } = serde_json::from_slice(config).ok()?;
        let cache = InlineCache::parse(&serde_json::to_vec(&records).ok()?)?;
        let Blobs { layers: listed, manifests } = serde_json::from_slice(manifest).ok()?;
        let listed = listed.or(manifests)?;
        let known = layers.len();
        let top = cache.top_layer().map_or(0, |top| top.saturating_add(1));
        let read = |CacheLayer { blob, parent }: CacheLayer| {
            let Blob { digest, size, media_type, annotations } = listed.iter().find(|listed| listed.digest == blob)?;
            let of = LayerOf { digest, size: *size, media_type };
            let below = usize::try_from(parent).ok();
            let diff_id = annotations.get(DIFF_ID).filter(|id| is_sha256(id))?.clone();
            let created = annotations.get(CREATED).filter(|date| is_date(date)).cloned();
            let in_order = is_sha256(digest) && below.is_none_or(|below| below < known);
            in_order.then_some(Layer { of, below, diff_id, created })
        };
        let layers: Option<Vec<_>> = layers.into_iter().map(read).collect();
        layers.filter(|layers| top <= layers.len()).map(|layers| Self { cache, layers })
    }

    /// This layer and those below it, from the lowest; `None` where they lie in a circle.
    pub(super) fn chain(&self, layer: usize) -> Option<Vec<&Layer<'a>>> {
        let mut chain = Vec::new();
        let mut next = Some(layer);
        while let Some(layer) = next {
            let layer = self.layers.get(layer).filter(|_| chain.len() < self.layers.len())?;
            chain.push(layer);
            next = layer.below;
        }
        chain.reverse();
        Some(chain)
    }
}

#[derive(Deserialize)]
struct CacheConfig {
    layers: Vec<CacheLayer>,
    records: Value,
}

#[derive(Deserialize)]
struct CacheLayer {
    blob: String,
    /// What is left out means 0, and -1 nothing.
    #[serde(default)]
    parent: i64,
}

#[derive(Deserialize)]
struct Blobs<'a> {
    #[serde(borrow)]
    layers: Option<Vec<Blob<'a>>>,
    #[serde(borrow)]
    manifests: Option<Vec<Blob<'a>>>,
}

#[derive(Deserialize)]
struct Blob<'a> {
    digest: &'a str,
    size: u64,
    #[serde(rename = "mediaType")]
    media_type: &'a str,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Layer<'_> {
    /// As `BuildKit` writes it into the manifest of a registry cache.
    pub(super) fn descriptor(&self) -> Value {
        let LayerOf { digest, size, media_type } = self.of;
        let oci = MEDIA_TYPES.iter().find(|(docker, _)| *docker == media_type).map_or(media_type, |(_, oci)| oci);
        let mut annotations = json!({ DIFF_ID: self.diff_id });
        if let Some(created) = &self.created {
            annotations[CREATED] = created.as_str().into();
        }
        json!({ "mediaType": oci, "digest": digest, "size": size, "annotations": annotations })
    }
}

fn is_sha256(digest: &str) -> bool {
    let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    digest.strip_prefix("sha256:").is_some_and(is_hex)
}
