//! What the agent itself does at a registry: it asks for digests and for what carries cache, sets tags, and publishes
//! an image whose layers lie there already. To move layers is the engine's business.
//!
//! The requests are those of <https://github.com/opencontainers/distribution-spec>. Nothing here retries by itself: a
//! caller wraps what it does in [`retrying`].

mod allowance;
mod answer;
mod auth;
mod blob;
mod cache;
mod call;
mod error;
mod manifest;
mod platform;
mod publish;
mod retrying;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use reqwest::{Method, Url, header};

pub use cache::{CacheImage, CacheReader, Carries, Layer};
pub use error::Error;
pub use publish::{Publication, Published};
pub use retrying::{Attempt, retrying};

use self::{auth::Scope, call::Call};
use crate::{
    model::{Credential, Reference},
    strategy::retry::Trouble,
};

/// Docker Hub's registry goes by another name than its references.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");
/// Names the digest of a manifest in an answer.
const DIGEST: &str = "docker-content-digest";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What a [`Registry`] has to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Registries, as `host` or `host:port`, that speak plain http. Loopback does by itself.
    pub insecure: Vec<String>,
}

/// Talks to registries. It holds no credentials and caches no tokens, so that one caller's never serve another.
#[derive(Debug)]
pub struct Registry {
    insecure: Vec<String>,
    /// For plain http: it loads no certificates and uses no proxy, for such a registry is near.
    plain: reqwest::Client,
    /// For https; made when it is first wanted, since loading the system's certificates takes a while.
    secure: OnceLock<reqwest::Client>,
}

impl Registry {
    /// A client for registries. The crypto provider of rustls must have been installed before.
    pub fn new(options: Options) -> Self {
        let plain = builder().no_proxy().tls_certs_only([]).build().unwrap_or_default();
        Self { insecure: options.insecure, plain, secure: OnceLock::new() }
    }

    /// Digest of the manifest or index that `reference` names now.
    pub async fn digest(&self, reference: &Reference, credential: &Credential) -> Result<String, Error> {
        let mut call = self.call(reference, credential, Scope::Pull)?;
        let response = call.send(Method::HEAD, wanted(reference), None).await?;
        match response.headers().get(DIGEST).and_then(|digest| digest.to_str().ok()) {
            Some(digest) if is_digest(digest) => Ok(digest.to_owned()),
            // The header is optional: then the digest is that of the body.
            _ => Ok(call.manifest(wanted(reference)).await?.digest),
        }
    }

    /// Gives what `from` names the tags of `to` as well, which must be of the same repository, and returns its digest.
    ///
    /// The manifest goes back byte by byte as it came, under the same media type. Setting a tag that is set already
    /// changes nothing, so that this may be repeated.
    pub async fn retag(&self, from: &Reference, to: &[Reference], credential: &Credential) -> Result<String, Error> {
        if let Some(other) = to.iter().find(|to| to.name() != from.name()) {
            return Err(Error::other(from, format!("cannot set {other}: it is in another repository")));
        }
        let mut call = self.call(from, credential, Scope::Push)?;
        let manifest = call.manifest(wanted(from)).await?;
        call.tag(&manifest, to).await?;
        Ok(manifest.digest)
    }

    /// The layers of the image or of the registry cache that `reference` names, with their bytes.
    pub async fn layers(&self, reference: &Reference, credential: &Credential) -> Result<BTreeMap<String, u64>, Error> {
        #[derive(serde::Deserialize)]
        struct Contents {
            layers: Option<Vec<Layer>>,
            /// In the index of a registry cache these are layers too.
            manifests: Option<Vec<Layer>>,
        }
        #[derive(serde::Deserialize)]
        struct Layer {
            digest: String,
            size: u64,
        }
        let manifest = self.call(reference, credential, Scope::Pull)?.manifest(wanted(reference)).await?;
        let Contents { layers, manifests } =
            serde_json::from_slice(&manifest.body).map_err(|e| Error::other(reference, e.to_string()))?;
        let all = layers.into_iter().chain(manifests).flatten();
        Ok(all.map(|layer| (layer.digest, layer.size)).collect())
    }

    /// How long the registry wants to be left alone, if it says so: for a push by the engine, which met a 429 and lost
    /// the header. This costs one request for a manifest's head.
    pub async fn retry_after(&self, reference: &Reference, credential: &Credential) -> Option<Duration> {
        let mut call = self.call(reference, credential, Scope::Pull).ok()?;
        match call.send(Method::HEAD, wanted(reference), None).await {
            Err(error) if error.trouble == Trouble::RateLimited => error.retry_after,
            _ => None,
        }
    }

    fn call<'a>(
        &'a self,
        reference: &'a Reference,
        credential: &'a Credential,
        scope: Scope<'a>,
    ) -> Result<Call<'a>, Error> {
        let host = match reference.registry() {
            hub if hub == DOCKER_HUB.0 => DOCKER_HUB.1,
            host => host,
        };
        let plain = self.is_plain(host);
        let scheme = if plain { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{}/", reference.repository());
        let base = Url::parse(&base).map_err(|e| Error::other(reference, format!("{base}: {e}")))?;
        let client = if plain { &self.plain } else { self.secure(reference)? };
        Ok(Call::new(client, base, reference, credential, scope))
    }

    fn secure(&self, reference: &Reference) -> Result<&reqwest::Client, Error> {
        if let Some(client) = self.secure.get() {
            return Ok(client);
        }
        let client = builder().build().map_err(|e| Error::other(reference, answer::causes(&e)))?;
        Ok(self.secure.get_or_init(|| client))
    }

    /// Whether `host`, with its port if it has one, speaks plain http.
    fn is_plain(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        name == "localhost"
            || address.is_ok_and(|address| address.is_loopback())
            || self.insecure.iter().any(|insecure| insecure == host)
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        // Followed by hand where it is safe: a login's secret must not be repeated elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("remora/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
}

/// What a manifest is asked for by: its digest if there is one, else its tag.
fn wanted(reference: &Reference) -> &str {
    reference.digest().unwrap_or_else(|| reference.tag())
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// What `Retry-After` asks for: seconds, or a date, as RFC 9110 (10.2.3) has it. A date that has passed asks for
/// nothing.
fn retry_after(headers: &header::HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn plain_http_is_for_loopback_and_for_those_named() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = Registry::new(Options { insecure: vec!["registry:5000".into(), "r.example.com".into()] });
        for plain in ["localhost", "localhost:5000", "127.1.2.3", "127.0.0.1:80", "[::1]:5000", "registry:5000"] {
            assert!(registry.is_plain(plain), "{plain}");
        }
        for secure in ["registry:5001", "r.example.com:80", "localhost.example.com", "10.0.0.1:5000", "[fe80::1]"] {
            assert!(!registry.is_plain(secure), "{secure}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 5);
        let read = |text: &str| {
            let headers = [(header::RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read(" 0 "), Some(Duration::ZERO));
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(read(date), Some(Duration::from_secs(5)), "{date}");
        }
        assert_eq!(read("Sun, 06 Nov 1994 08:49:31 GMT"), Some(Duration::ZERO));
        for odd in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert_eq!(retry_after(&header::HeaderMap::new(), now), None);
    }
}
