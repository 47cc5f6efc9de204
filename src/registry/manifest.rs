//! Manifests: fetched and checked, and set under a tag.

use bytes::Bytes;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderValue},
};

use super::{DIGEST, Error, call::Call, is_digest, wanted};
use crate::{digest::sha256, model::Reference};

/// Every form in which an image or an index of images may lie in a registry.
pub(super) const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
/// The specification wants registries to take 4 MiB, and nobody to send more.
const LARGEST_MANIFEST: usize = 4 << 20;

/// A manifest as it came.
pub(super) struct Manifest {
    pub(super) body: Bytes,
    pub(super) media_type: HeaderValue,
    pub(super) digest: String,
}

impl Call<'_> {
    /// Fetches the manifest `name`, a tag or a digest, and checks it against its digest.
    pub(super) async fn manifest(&mut self, name: &str) -> Result<Manifest, Error> {
        let response = self.send(Method::GET, name, None).await?;
        let media_type = response.headers().get(CONTENT_TYPE).cloned();
        let claimed = response.headers().get(DIGEST).and_then(|d| d.to_str().ok()).map(str::to_owned);
        let body = self.body(&Method::GET, name, response, LARGEST_MANIFEST).await?;
        let digest = sha256(&body);
        for expected in [claimed.as_deref(), Some(name)].into_iter().flatten() {
            if expected.starts_with("sha256:") && expected != digest {
                return Err(self.odd(&Method::GET, name, format!("its content is {digest}, not {expected}")));
            }
        }
        let media_type = media_type.filter(is_manifest).or_else(|| embedded_media_type(&body));
        match media_type {
            Some(media_type) => Ok(Manifest { body, media_type, digest }),
            None => Err(self.odd(&Method::GET, name, "the answer is no image manifest")),
        }
    }

    /// Gives a manifest tags, or puts it there by its digest.
    pub(super) async fn tag(&mut self, manifest: &Manifest, tags: &[Reference]) -> Result<(), Error> {
        for tag in tags {
            let body = (manifest.media_type.clone(), manifest.body.clone());
            let response = self.send(Method::PUT, wanted(tag), Some(body)).await?;
            let stored = response.headers().get(DIGEST).and_then(|stored| stored.to_str().ok());
            if stored.is_some_and(|stored| is_digest(stored) && stored != manifest.digest) {
                return Err(Error::other(tag, format!("it stored another manifest than {}", manifest.digest)));
            }
        }
        Ok(())
    }
}

fn is_manifest(media_type: &HeaderValue) -> bool {
    let media_type = media_type.to_str().unwrap_or_default();
    let name = media_type.split(';').next().unwrap_or_default().trim();
    MANIFESTS.split(',').any(|known| known.trim() == name)
}

/// A manifest may name its own type, where the server that sent it did not.
fn embedded_media_type(body: &[u8]) -> Option<HeaderValue> {
    #[derive(serde::Deserialize)]
    struct Typed {
        #[serde(rename = "mediaType")]
        media_type: String,
    }
    let typed: Typed = serde_json::from_slice(body).ok()?;
    HeaderValue::from_str(&typed.media_type).ok().filter(is_manifest)
}
