//! What an image or a registry cache brings along: records, and what is said of layers.

use std::{
    collections::{BTreeMap, HashMap},
    iter::successors,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{LayerOf, Part, date::is_date};
use crate::strategy::{InlineCache, inline_cache, record::Record};

/// Media types of layers, in Docker's words and in those of OCI manifests.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
];

pub(super) struct Image<'a> {
    pub(super) cache: InlineCache,
    /// Those that records lead to. None lies below itself.
    pub(super) layers: Vec<Layer<'a>>,
}

pub(super) struct Layer<'a> {
    pub(super) of: LayerOf<'a>,
    /// The layer below it.
    pub(super) below: Option<usize>,
    pub(super) diff_id: String,
    /// When it was made, by RFC 3339.
    created: Option<String>,
}

/// The config of a registry cache.
#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow, default)]
    layers: Vec<Above<'a>>,
    #[serde(default)]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Above<'a> {
    blob: &'a str,
    /// -1 for none.
    #[serde(default)]
    parent: i64,
}

#[derive(Deserialize)]
struct Manifest<'a> {
    #[serde(borrow)]
    layers: Option<Vec<Descriptor<'a>>>,
    #[serde(borrow)]
    manifests: Option<Vec<Descriptor<'a>>>,
}

#[derive(Deserialize)]
struct Descriptor<'a> {
    #[serde(rename = "mediaType")]
    media_type: &'a str,
    digest: &'a str,
    size: i64,
    annotations: Option<BTreeMap<String, String>>,
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
        let layer = |(index, ((of, diff_id), created)): (usize, ((&LayerOf<'a>, _), _))| {
            let below = index.checked_sub(1);
            Layer { of: *of, below, diff_id, created }
        };
        Some(Self { cache, layers: layers.enumerate().map(layer).collect() })
    }

    /// Of a registry cache; `None` where it cannot be read.
    pub(super) fn read_whole(config: &'a [u8], manifest: &'a [u8]) -> Option<Self> {
        let Whole { layers, records } = serde_json::from_slice(config).ok()?;
        let Manifest { layers: blobs, manifests } = serde_json::from_slice(manifest).ok()?;
        let blobs: HashMap<_, _> =
            blobs.into_iter().chain(manifests).flatten().map(|blob| (blob.digest, blob)).collect();
        let cache = InlineCache::of(records)?;
        if !cache.is_linear() || cache.top_layer().is_some_and(|top| top >= layers.len()) {
            return None;
        }
        let count = layers.len();
        let layer = |Above { blob, parent }: Above<'a>| {
            let Descriptor { media_type, digest, size, annotations } = blobs.get(blob)?;
            let said = |key| annotations.as_ref()?.get(key).cloned();
            let diff_id = said("containerd.io/uncompressed").filter(|id| is_sha256(id) && is_sha256(digest))?;
            let below = if parent == -1 { None } else { Some(usize::try_from(parent).ok().filter(|at| *at < count)?) };
            let of = LayerOf { digest, size: u64::try_from(*size).ok()?, media_type };
            Some(Layer { of, below, diff_id, created: said("buildkit/createdat").filter(|date| is_date(date)) })
        };
        let layers = layers.into_iter().map(layer).collect::<Option<Vec<_>>>()?;
        has_ends(&layers).then_some(Self { cache, layers })
    }
}

/// Whether each layer's chain ends.
fn has_ends(layers: &[Layer<'_>]) -> bool {
    let mut ends = vec![false; layers.len()];
    (0..layers.len()).all(|top| {
        let unknown = |index: &usize| !ends[*index];
        let below = |index: &usize| layers[*index].below.filter(unknown);
        let chain: Vec<_> = successors(Some(top).filter(unknown), below).take(layers.len() + 1).collect();
        for index in &chain {
            ends[*index] = true;
        }
        chain.len() <= layers.len()
    })
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
