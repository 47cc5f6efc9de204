//! Publishing an image whose layers lie in the registry already: no layer moves.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::HeaderValue;

use super::{
    Error, Registry,
    auth::Scope,
    cache::{Contents, is_sha256},
    call::Call,
    manifest::Manifest,
};
use crate::{
    digest::sha256,
    model::{Credential, Reference},
};

/// How many blobs are mounted at once.
const MOUNTS_AT_ONCE: usize = 8;

/// An image, or an index of images, that is to get tags.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The manifest, byte by byte.
    pub manifest: &'a Bytes,
    /// Its media type.
    pub media_type: &'a str,
    /// The config that it names, where no registry holds that yet.
    pub config: Option<&'a Bytes>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// All tags are set.
    Done {
        /// Digest of the manifest.
        digest: String,
        /// How many blobs were taken over from the other repository.
        mounted: usize,
    },
    /// No tag was set, for the registry does not take the layers over: why, in a few words for a person. An ordinary
    /// push will do.
    NotMountable(String),
}

/// How taking over ends early.
enum Stop {
    NotMountable(String),
    Failed(Error),
}

impl Registry {
    /// Publishes an image whose blobs lie in the repository of `from`, whatever its tag is, under the tags `to` of one
    /// repository, or there by its digest. In another one of the same registry they are mounted first; a registry may refuse that, and then no
    /// tag is set.
    ///
    /// All of it may be repeated. Dropped halfway it leaves blobs without an image at worst, or some of the tags.
    pub async fn publish(
        &self,
        image: &Publication<'_>,
        from: &Reference,
        to: &[Reference],
        credential: &Credential,
    ) -> Result<Published, Error> {
        let digest = sha256(image.manifest);
        let Some(first) = to.first() else { return Ok(Published::Done { digest, mounted: 0 }) };
        if let Some(other) = to.iter().find(|to| to.name() != first.name()) {
            return Err(Error::other(first, format!("cannot set {other}: it is in another repository")));
        }
        let media_type = HeaderValue::from_str(image.media_type)
            .map_err(|_| Error::other(first, "the manifest's media type is none"))?;
        let here = first.name() == from.name();
        if first.registry() != from.registry() {
            return Ok(Published::NotMountable(format!("its layers lie in {}", from.registry())));
        }
        let scope = if here { Scope::Push } else { Scope::Mount(from) };
        let mut call = self.call(first, credential, scope)?;
        let mut mounted = 0;
        if !here {
            let blobs = match blobs(image) {
                Ok(blobs) => blobs,
                Err(why) => return Ok(Published::NotMountable(why.into())),
            };
            match take_over(&mut call, &blobs, from).await {
                Ok(()) => mounted = blobs.len(),
                Err(Stop::NotMountable(why)) => return Ok(Published::NotMountable(why)),
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        if let Some(config) = image.config {
            call.upload(config).await?;
        }
        call.tag(&Manifest { body: image.manifest.clone(), media_type, digest: digest.clone() }, to).await?;
        Ok(Published::Done { digest, mounted })
    }
}

/// The blobs that a manifest names, without a new config; each once.
fn blobs(image: &Publication<'_>) -> Result<Vec<String>, &'static str> {
    let read: Contents = serde_json::from_slice(image.manifest).map_err(|_| "its manifest cannot be read")?;
    let (Some(config), Some(layers)) = (read.config, read.layers) else {
        return Err("it is an index of images");
    };
    let new = image.config.map(|config| sha256(config));
    let all: BTreeSet<_> = layers.into_iter().chain([config]).map(|blob| blob.digest).collect();
    if !all.iter().all(|digest| is_sha256(digest)) {
        return Err("its manifest names blobs by other digests than SHA-256");
    }
    Ok(all.into_iter().filter(|digest| Some(digest) != new.as_ref()).collect())
}

async fn take_over(call: &mut Call<'_>, blobs: &[String], from: &Reference) -> Result<(), Stop> {
    // The first one logs in for all, and finds out at the price of one request that a registry does not do this.
    let Some((first, rest)) = blobs.split_first() else { return Ok(()) };
    mount(call, first, from).await?;
    let call = &*call;
    // Collected first: a stream of references that maps them to futures is not seen to be Send.
    let mounts: Vec<_> =
        rest.iter().map(|digest| async move { mount(&mut call.clone(), digest, from).await }).collect();
    stream::iter(mounts).buffer_unordered(MOUNTS_AT_ONCE).try_collect().await
}

async fn mount(call: &mut Call<'_>, digest: &str, from: &Reference) -> Result<(), Stop> {
    match call.mount(digest, from).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Stop::NotMountable(format!("the registry does not take blobs over from {}", from.name()))),
        // What might pass is worth another attempt; what is refused for good is not, and an ordinary push may do.
        Err(error) if error.trouble.may_pass() => Err(Stop::Failed(error)),
        Err(error) => Err(Stop::NotMountable(error.to_string())),
    }
}
