//! Blobs: a config fetched and checked, or uploaded; others taken over from another repository of the same registry.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header::HeaderValue};

use super::{
    Error,
    answer::location,
    call::{Ask, Call},
};
use crate::{digest::sha256, model::Reference, strategy::retry::Trouble};

/// The largest blob that is fetched: configs alone are.
pub(super) const LARGEST_BLOB: u32 = 4 << 20;
/// To give up an upload is a kindness to the registry, and not waited for any longer.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
const ANY: &str = "*/*";

impl Call<'_> {
    /// Fetches a blob of `size` bytes and checks it. `digest` is one by SHA-256.
    pub(super) async fn blob(&mut self, digest: &str, size: u64) -> Result<Bytes, Error> {
        let url = self.url(&Method::GET, &["blobs", digest])?;
        let ask = Ask { method: Method::GET, url, name: digest, accept: ANY, body: None };
        let response = self.ask(ask).await?;
        let content = self.body(&Method::GET, digest, response, LARGEST_BLOB as usize).await?;
        let found = sha256(&content);
        let problem = if content.len() as u64 != size {
            format!("it has {} bytes, its manifest says {size}", content.len())
        } else if found != digest {
            format!("its content is {found}")
        } else {
            return Ok(content);
        };
        Err(self.odd(&Method::GET, digest, problem))
    }

    /// Uploads a blob that the repository does not hold yet.
    pub(super) async fn upload(&mut self, content: &Bytes) -> Result<(), Error> {
        let digest = sha256(content);
        let url = self.url(&Method::HEAD, &["blobs", &digest])?;
        match self.ask(Ask { method: Method::HEAD, url, name: &digest, accept: ANY, body: None }).await {
            Ok(_) => return Ok(()),
            Err(error) if error.trouble == Trouble::NotFound => {}
            Err(error) => return Err(error),
        }
        let session = self.start(&digest, &[]).await?;
        let Some(mut url) = location(&session, session.url()) else {
            return Err(self.odd(&Method::POST, &digest, "the answer does not say where to upload"));
        };
        url.query_pairs_mut().append_pair("digest", &digest);
        let body = Some((HeaderValue::from_static("application/octet-stream"), content.clone()));
        self.ask(Ask { method: Method::PUT, url, name: &digest, accept: ANY, body }).await.map(drop)
    }

    /// Takes a blob over from another repository; whether the registry does that.
    pub(super) async fn mount(&mut self, digest: &str, from: &Reference) -> Result<bool, Error> {
        let response = self.start(digest, &[("mount", digest), ("from", from.repository())]).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(true);
        }
        // It has started an upload instead.
        if let Some(url) = location(&response, response.url()) {
            let cancel = self.ask(Ask { method: Method::DELETE, url, name: digest, accept: ANY, body: None });
            let _ = tokio::time::timeout(CANCEL_TIMEOUT, cancel).await;
        }
        Ok(false)
    }

    async fn start(&mut self, digest: &str, query: &[(&str, &str)]) -> Result<Response, Error> {
        // The specification wants the slash at the end.
        let mut url = self.url(&Method::POST, &["blobs", "uploads", ""])?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(Ask { method: Method::POST, url, name: digest, accept: ANY, body: None }).await
    }
}
