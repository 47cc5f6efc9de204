//! What lies at a cache ref: an image with inline cache, BuildKit's registry cache, or something else.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::{
    Error, Registry, allowance::Common, auth::Scope, blob::LARGEST_BLOB, call::Call, manifest::Manifest,
    platform::Platform, wanted,
};
use crate::{
    model::{Credential, Reference},
    strategy::{self, CACHE_CONFIG, Form, LARGEST_CACHE_CONFIG, retry::Trouble},
};

/// What names the config of an image.
const IMAGE_CONFIGS: &[&str] =
    &["application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"];

/// What lies at a cache ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheImage {
    /// The same by digest, so that nobody can exchange it any more. Of an index the platform's image.
    pub reference: Reference,
    /// Digest of the manifest.
    pub digest: String,
    /// Digest of the index that the manifest was found in, if it was.
    pub index: Option<String>,
    /// Media type of the manifest.
    pub media_type: String,
    /// The manifest, byte by byte.
    pub manifest: Bytes,
    /// What is in it.
    pub carries: Carries,
    /// When it was made, by RFC 3339, if it says so.
    pub created: Option<String>,
}

/// What a manifest brings to a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carries {
    /// An image with inline cache that BuildKit can read.
    Inline {
        /// Its config.
        config: Bytes,
        /// Its layers, from the lowest.
        layers: Vec<Layer>,
    },
    /// BuildKit's registry cache.
    Registry {
        /// The layers of all steps that it holds, in no order.
        layers: Vec<Layer>,
        /// How it lies there.
        form: Form,
        /// Digests of the images whose caches were merged to it; none where it came about otherwise.
        merged: Vec<String>,
    },
    /// No cache: why, in a few words for a person.
    Nothing(String),
}

impl Carries {
    /// The layers that it names.
    pub fn layers(&self) -> &[Layer] {
        match self {
            Self::Inline { layers, .. } | Self::Registry { layers, .. } => layers,
            Self::Nothing(_) => &[],
        }
    }
}

/// A layer as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

/// A manifest or an index.
#[derive(Deserialize)]
pub(super) struct Contents {
    pub(super) config: Option<Descriptor>,
    pub(super) layers: Option<Vec<Descriptor>>,
    pub(super) manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
pub(super) struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    pub(super) digest: String,
    size: u64,
    platform: Option<Platform>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "buildkit/createdat")]
    created: Option<String>,
}

/// Reads the cache refs of one build. What is read of them all is bounded, whatever a registry sends: 32 MiB, of which
/// each ref has a share for itself.
pub struct CacheReader<'a> {
    registry: &'a Registry,
    platform: Platform,
    refs: usize,
    common: Common,
    /// What manifests carry, which several refs may name.
    known: Mutex<BTreeMap<Reference, Arc<OnceCell<Found>>>>,
}

impl Registry {
    /// What lies at `reference` for `platform`, as [`CacheReader::read`] says it.
    pub async fn cache_image(
        &self,
        reference: &Reference,
        credential: &Credential,
        platform: &str,
    ) -> Result<Option<CacheImage>, Error> {
        self.cache_reader(1, platform).read(reference, credential).await
    }

    /// A reader of so many `refs` for `platform`, such as `linux/amd64`.
    pub fn cache_reader(&self, refs: usize, platform: &str) -> CacheReader<'_> {
        let platform = Platform::parse(platform);
        CacheReader { registry: self, platform, refs, common: Common::new(), known: Mutex::default() }
    }
}

impl CacheReader<'_> {
    /// What lies at `reference`; `None` where there is nothing.
    ///
    /// An image is carried by its config, which is fetched too: only that says whether there is cache in it. What is
    /// there and of no use is [`Carries::Nothing`]; an error is what might be another one the next time, or for
    /// somebody else, and what is too much with all that was read before.
    pub async fn read(&self, reference: &Reference, credential: &Credential) -> Result<Option<CacheImage>, Error> {
        let allowance = self.common.allowance(self.refs);
        let mut call = self.registry.call(reference, credential, Scope::Pull)?.within(&allowance);
        let Some(manifest) = unless_missing(call.manifest(wanted(reference)).await)? else { return Ok(None) };
        let platform = &self.platform;
        let (mut manifest, mut index, mut useless) = (manifest, None, None);
        match child(&manifest, platform) {
            Ok(None) => {}
            Ok(Some(child)) => match unless_missing(call.manifest(&child).await)? {
                None => useless = Some(format!("its image for {platform} is missing")),
                Some(image) => index = Some(std::mem::replace(&mut manifest, image).digest),
            },
            Err(why) => useless = Some(why),
        }
        let reference = reference.with_digest(&manifest.digest);
        let (carries, created) = if let Some(why) = useless {
            nothing(why)
        } else {
            let known = self.known(&reference);
            known.get_or_try_init(|| look(&mut call, &manifest, platform)).await?.clone()
        };
        let Manifest { body, media_type, digest } = manifest;
        let media_type = media_type.to_str().unwrap_or_default().to_owned();
        Ok(Some(CacheImage { reference, digest, index, media_type, manifest: body, carries, created }))
    }

    fn known(&self, manifest: &Reference) -> Arc<OnceCell<Found>> {
        Arc::clone(self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(manifest.clone()).or_default())
    }
}

impl Registry {
    /// The config of a registry cache; `None` for what is none, or where it is missing.
    pub async fn cache_config(&self, image: &CacheImage, credential: &Credential) -> Result<Option<Bytes>, Error> {
        if !matches!(image.carries, Carries::Registry { .. }) {
            return Ok(None);
        }
        let Ok(contents) = serde_json::from_slice::<Contents>(&image.manifest) else { return Ok(None) };
        let all = contents.config.into_iter().chain(contents.manifests.into_iter().flatten());
        let Some(config) = all.into_iter().find(|blob| blob.media_type == CACHE_CONFIG) else { return Ok(None) };
        let mut call = self.call(&image.reference, credential, Scope::Pull)?;
        unless_missing(call.blob(&config.digest, config.size).await)
    }
}

/// What a manifest carries, and when it was made.
type Found = (Carries, Option<String>);

fn nothing(why: impl Into<String>) -> Found {
    (Carries::Nothing(why.into()), None)
}

fn unless_missing<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.trouble == Trouble::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Digest of the platform's image in an index of images, or that it has none; `None` for anything else.
fn child(manifest: &Manifest, platform: &Platform) -> Result<Option<String>, String> {
    let contents = serde_json::from_slice::<Contents>(&manifest.body).ok();
    match contents.and_then(|contents| contents.manifests) {
        Some(children) if !children.iter().any(|child| child.media_type == CACHE_CONFIG) => {
            let child = choose(&children, platform).map(|child| child.digest.clone());
            child.map(Some).ok_or_else(|| format!("it holds no image for {platform}"))
        }
        _ => Ok(None),
    }
}

/// The platform's image. Attestations are of no platform. One that names none may be of any if it is alone.
fn choose<'a>(children: &'a [Descriptor], platform: &Platform) -> Option<&'a Descriptor> {
    let named = children.iter().find(|child| child.platform.as_ref().is_some_and(|p| p.is(platform)));
    let child = named.or(match children {
        [alone] if alone.platform.is_none() => Some(alone),
        _ => None,
    });
    child.filter(|child| is_sha256(&child.digest))
}

async fn look(call: &mut Call<'_>, manifest: &Manifest, platform: &Platform) -> Result<Found, Error> {
    let Ok(contents) = serde_json::from_slice::<Contents>(&manifest.body) else {
        return Ok(nothing("its manifest cannot be read"));
    };
    let form = if contents.manifests.is_some() { Form::Index } else { Form::Manifest };
    let listed = contents.manifests.or(contents.layers).unwrap_or_default();
    let (cache, layers): (Vec<_>, Vec<_>) = listed.into_iter().partition(|blob| blob.media_type == CACHE_CONFIG);
    let Some(config) = cache.into_iter().next().or(contents.config) else {
        return Ok(nothing("its manifest names no config"));
    };
    if !layers.iter().chain([&config]).all(|blob| is_sha256(&blob.digest)) {
        return Ok(nothing("its manifest names blobs by other digests than SHA-256"));
    }
    let newest = layers.iter().filter_map(|layer| layer.annotations.as_ref()?.created.clone()).max();
    let layers: Vec<_> = layers.into_iter().map(Layer::from).collect();
    if config.media_type == CACHE_CONFIG {
        if config.size > LARGEST_CACHE_CONFIG {
            return Ok(nothing("its cache config is larger than the 1 MiB that BuildKit reads"));
        }
        let mut merged = strategy::merged_images(&manifest.body);
        merged.retain(|digest| is_sha256(digest));
        merged.shrink_to_fit();
        return Ok((Carries::Registry { layers, form, merged }, newest));
    }
    if !IMAGE_CONFIGS.contains(&config.media_type.as_str()) {
        return Ok(nothing("it is no image"));
    }
    if config.size > u64::from(LARGEST_BLOB) {
        return Ok(nothing("its config is larger than 4 MiB"));
    }
    let Some(config) = unless_missing(call.blob(&config.digest, config.size).await)? else {
        return Ok(nothing("its config is missing"));
    };
    Ok(match inline(&config, layers.len(), platform) {
        Ok(created) => (Carries::Inline { config, layers }, created),
        Err(why) => nothing(why),
    })
}

/// When an image was made, or why BuildKit would find no inline cache in it.
fn inline(config: &[u8], layers: usize, platform: &Platform) -> Result<Option<String>, String> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(flatten)]
        platform: Platform,
        created: Option<String>,
        rootfs: Option<RootFs>,
        history: Option<Vec<Entry>>,
        #[serde(rename = "moby.buildkit.cache.v0")]
        cache: Option<serde_json::Value>,
    }
    #[derive(Deserialize)]
    struct RootFs {
        diff_ids: Option<Vec<String>>,
    }
    #[derive(Deserialize)]
    struct Entry {
        empty_layer: Option<bool>,
    }
    let read: Config = serde_json::from_slice(config).map_err(|_| "its config cannot be read")?;
    if !read.platform.is(platform) {
        return Err(format!("it is for {}", read.platform));
    }
    if read.cache.is_none() {
        return Err("it was made without inline cache".into());
    }
    let record = strategy::inline_cache(config).ok_or("its inline cache cannot be read")?;
    match record.top_layer() {
        None if record.is_linear() => return Err("its inline cache leads to no layer".into()),
        Some(top) if top >= layers => return Err("its inline cache is that of another image".into()),
        _ => {}
    }
    let named = read.rootfs.and_then(|rootfs| rootfs.diff_ids).map_or(0, |ids| ids.len());
    let told = read.history.iter().flatten().filter(|entry| entry.empty_layer != Some(true)).count();
    // BuildKit passes over the first sort. Over the second it crashes, and the engine with it: tried on Docker 20.10,
    // and on 28 with either store.
    if named != layers || told < layers {
        return Err(format!("it has {layers} layers, its config names {named} and its history {told}"));
    }
    Ok(read.created)
}

impl From<Descriptor> for Layer {
    fn from(blob: Descriptor) -> Self {
        Self { digest: blob.digest, size: blob.size, media_type: blob.media_type }
    }
}

/// The one algorithm that everybody uses, and the one that is checked here.
pub(super) fn is_sha256(digest: &str) -> bool {
    digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}
