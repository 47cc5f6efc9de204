//! Docker's plain REST API: bollard's requests over our own dial, so that unix, TCP and TLS have one path.

use std::{sync::Arc, time::Duration};

use bollard::{BollardRequest, ClientVersion, errors};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Limited};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Error, dial};
use crate::model::EngineUrl;

/// The newest API version whose answers are the ones read here; newer engines serve it as well.
const NEWEST: (u32, u32) = (1, 51);
/// Seconds that one answer may take.
const TIMEOUT: u64 = 120;
/// What a prune may take: one that is given up is cut half-way.
const PRUNE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longest answer that is read, in bytes.
const LONGEST: usize = 64 << 20;

/// A Docker engine's REST API.
#[derive(Clone)]
pub(super) struct Docker {
    pub(super) bollard: bollard::Docker,
    url: Arc<EngineUrl>,
    api: (u32, u32),
}

/// What `GET /version` says.
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    #[serde(rename = "Version")]
    pub(super) version: String,
    #[serde(rename = "ApiVersion")]
    pub(super) api_version: String,
}

impl Docker {
    /// Speaks the API of this version at most.
    pub(super) fn new(url: &EngineUrl, version: &Version) -> Result<Self, Error> {
        let url = Arc::new(url.clone());
        let api = api_version(&version.api_version).min(NEWEST);
        let dialed = Arc::clone(&url);
        let transport = move |request: BollardRequest| {
            let url = Arc::clone(&dialed);
            Box::pin(async move {
                dial::rest(&url, request).await.map_err(|e| errors::Error::from(std::io::Error::other(e)))
            })
        };
        let client_version = ClientVersion { major_version: api.0 as usize, minor_version: api.1 as usize };
        let bollard =
            bollard::Docker::connect_with_custom_transport(transport, Some("http://docker"), TIMEOUT, &client_version)
                .map_err(|e| Error::docker("a REST request", &e))?;
        Ok(Self { bollard, url, api })
    }

    /// For a prune, which takes as long as it takes.
    pub(super) fn patient(&self) -> bollard::Docker {
        self.bollard.clone().with_timeout(PRUNE)
    }

    /// Asks for what bollard reads wrongly or not at all.
    pub(super) async fn get<T: DeserializeOwned>(&self, call: &'static str, path: &str) -> Result<T, Error> {
        get(&self.url, call, &format!("/v{}.{}{path}", self.api.0, self.api.1)).await
    }
}

/// Asks without a version, as the first question must be.
pub(super) async fn version(url: &EngineUrl) -> Result<Version, Error> {
    get(url, "GET /version", "/version").await
}

/// `1.51` as numbers; what is none is zero.
pub(super) fn api_version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

async fn get<T: DeserializeOwned>(url: &EngineUrl, call: &'static str, path: &str) -> Result<T, Error> {
    let refused = |problem: String| Error::Refused { call, problem };
    let request = Request::get(path).body(Empty::<Bytes>::new()).map_err(|e| refused(e.to_string()))?;
    let response = dial::rest(url, request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|e| refused(e.to_string()))?;
    if !status.is_success() {
        return Err(refused(format!("{status}: {}", String::from_utf8_lossy(&body.to_bytes()).trim())));
    }
    serde_json::from_slice(&body.to_bytes()).map_err(|e| refused(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::api_version;

    #[test]
    fn api_versions_compare_by_number() {
        assert!(api_version("1.53") > api_version("1.9"));
        assert!(api_version("2.0") > api_version("1.53"));
        assert_eq!(api_version(""), (0, 0));
    }
}
