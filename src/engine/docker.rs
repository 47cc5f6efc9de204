//! Docker's plain REST API: bollard's requests over our own dial, so that unix, TCP and TLS have one path.

use std::sync::Arc;

use bollard::{BollardRequest, ClientVersion, Docker, errors};

use super::{Error, dial};
use crate::model::EngineUrl;

/// The API version that is asked first: 20.10's, older than every newer engine's.
const VERSION: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };
/// Seconds that one answer may take.
const TIMEOUT: u64 = 120;

/// A client of the REST API. Opens nothing yet.
pub(super) fn client(url: &EngineUrl) -> Result<Docker, Error> {
    let url = Arc::new(url.clone());
    Docker::connect_with_custom_transport(
        move |request: BollardRequest| {
            let url = Arc::clone(&url);
            Box::pin(async move {
                dial::rest(&url, request)
                    .await
                    .map_err(|e| errors::Error::from(std::io::Error::other(e)))
            })
        },
        Some("http://docker"),
        TIMEOUT,
        &VERSION,
    )
    .map_err(|e| Error::docker("a REST request", &e))
}
