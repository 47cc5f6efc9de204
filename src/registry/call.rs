//! One conversation with a registry about one repository: requests that answer a challenge once each.

use std::{error::Error as _, time::SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION},
};

use super::{
    Error,
    auth::{Challenge, Scope},
};
use crate::{
    digest::sha256,
    model::{Credential, Reference},
};

/// Names the digest of a manifest in an answer.
pub(super) const DIGEST: &str = "docker-content-digest";
/// Every form in which an image or an index of images may lie in a registry.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
/// The specification wants registries to take 4 MiB, and nobody to send more.
const LARGEST_MANIFEST: usize = 4 << 20;
/// How often an answer may point elsewhere.
const MOST_HOPS: u32 = 3;
const LARGEST_PROBLEM: usize = 64 << 10;

/// Where an answer points to, but never from https to http.
fn redirection(response: &Response, from: &Url) -> Option<Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let next = from.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    (next.scheme() == "https" || next.scheme() == from.scheme()).then_some(next)
}

pub(super) struct Call<'a> {
    client: &'a Client,
    /// `.../v2/<repository>/manifests/`
    base: Url,
    reference: &'a Reference,
    credential: &'a Credential,
    scope: Scope,
    /// What the last challenge was answered with.
    authorization: Option<HeaderValue>,
}

/// A manifest as it came.
pub(super) struct Manifest {
    pub(super) body: Bytes,
    pub(super) media_type: HeaderValue,
    pub(super) digest: String,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        client: &'a Client,
        base: Url,
        reference: &'a Reference,
        credential: &'a Credential,
        scope: Scope,
    ) -> Self {
        Self { client, base, reference, credential, scope, authorization: None }
    }

    /// Fetches the manifest `name`, a tag or a digest, and checks it against its digest.
    pub(super) async fn manifest(&mut self, name: &str) -> Result<Manifest, Error> {
        let response = self.send(Method::GET, name, None).await?;
        let media_type = response.headers().get(CONTENT_TYPE).cloned();
        let claimed = response.headers().get(DIGEST).and_then(|d| d.to_str().ok()).map(str::to_owned);
        let doing = (Method::GET, name);
        let body = read(response, LARGEST_MANIFEST).await.map_err(|e| self.error(&doing, Cause::Network(e)))?;
        let Some(body) = body else {
            return Err(self.error(&doing, Cause::Other("the manifest is larger than 4 MiB".into())));
        };
        let digest = sha256(&body);
        for expected in [claimed.as_deref(), Some(name)].into_iter().flatten() {
            if expected.starts_with("sha256:") && expected != digest {
                return Err(self.error(&doing, Cause::Other(format!("its content is {digest}, not {expected}"))));
            }
        }
        let media_type = media_type.filter(is_manifest).or_else(|| embedded_media_type(&body));
        match media_type {
            Some(media_type) => Ok(Manifest { body, media_type, digest }),
            None => Err(self.error(&doing, Cause::Other("the answer is no image manifest".into()))),
        }
    }

    /// Sends a request for the manifest `name` and returns an answer that is a success. A 401 is answered once, so
    /// that it matters neither which kind of login the registry has, nor that a token expired.
    pub(super) async fn send(
        &mut self,
        method: Method,
        name: &str,
        body: Option<(HeaderValue, Bytes)>,
    ) -> Result<Response, Error> {
        let doing = (method.clone(), name);
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| self.error(&doing, Cause::Other("no address".into())))?
            .pop_if_empty()
            .push(name);
        let mut answered = false;
        let mut hops = 0;
        loop {
            let mut request = self.client.request(method.clone(), url.clone()).header(ACCEPT, MANIFESTS);
            if let Some(authorization) = &self.authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            if let Some((media_type, body)) = &body {
                request = request.header(CONTENT_TYPE, media_type).body(body.clone());
            }
            let response = request.send().await.map_err(|e| self.error(&doing, Cause::Network(e)))?;
            if response.status().is_success() {
                return Ok(response);
            }
            if body.is_none()
                && hops < MOST_HOPS
                && let Some(next) = redirection(&response, &url)
            {
                hops += 1;
                if next.origin() != url.origin() {
                    // Where it points to gives it out for the address alone.
                    self.authorization = None;
                }
                url = next;
                continue;
            }
            let challenge = Challenge::of(response.headers());
            let failed = self.refused(&doing, response).await;
            if failed.status != Some(StatusCode::UNAUTHORIZED.as_u16()) || answered {
                return Err(match challenge {
                    Some(challenge) if challenge.is_about_scope() => failed.denied(),
                    _ => failed,
                });
            }
            let Some(challenge) = challenge else { return Err(failed) };
            match self.answer(&doing, &challenge).await? {
                Some(authorization) => self.authorization = Some(authorization),
                None => return Err(failed),
            }
            answered = true;
        }
    }

    /// Makes what goes into `Authorization`; `None` where there is nothing to answer with.
    async fn answer(&self, doing: &(Method, &str), challenge: &Challenge) -> Result<Option<HeaderValue>, Error> {
        let Challenge::Bearer(bearer) = challenge else { return Ok(self.credential.basic()) };
        let request = bearer
            .request(self.client, self.reference, self.scope, self.credential, &self.base)
            .map_err(|problem| self.error(doing, Cause::Other(problem)))?;
        let doing = (Method::GET, doing.1);
        let response = request.send().await.map_err(|e| self.error(&doing, Cause::Network(e)).at_login())?;
        if !response.status().is_success() {
            return Err(self.refused(&doing, response).await.at_login());
        }
        let body = read(response, LARGEST_MANIFEST).await.map_err(|e| self.error(&doing, Cause::Network(e)))?;
        let token = body.and_then(|body| auth_token(&body));
        token.map(Some).ok_or_else(|| self.error(&doing, Cause::Other("the answer holds no token".into())).at_login())
    }

    async fn refused(&self, doing: &(Method, &str), response: Response) -> Error {
        let status = response.status();
        let retry_after = super::retry_after(response.headers(), SystemTime::now());
        let body = read(response, LARGEST_PROBLEM).await.ok().flatten().unwrap_or_default();
        self.error(doing, Cause::Status(status, retry_after, problem(&body)))
    }

    fn error(&self, (method, name): &(Method, &str), cause: Cause) -> Error {
        let hidden = |text: String| self.credential.hide(&text);
        match cause {
            Cause::Status(status, retry_after, detail) => {
                Error::refused(self.reference, method, name, status.as_u16(), retry_after, hidden(detail))
            }
            Cause::Network(error) => Error::unreachable(self.reference, method, name, hidden(causes(&error))),
            Cause::Other(detail) => Error::odd(self.reference, method, name, hidden(detail)),
        }
    }
}

enum Cause {
    Status(StatusCode, Option<std::time::Duration>, String),
    Network(reqwest::Error),
    Other(String),
}

/// Reads a body; `None` if it is longer than `most` bytes.
async fn read(mut response: Response, most: usize) -> Result<Option<Bytes>, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

/// The innermost cause says what happened; the outer ones repeat the address, which may hold a query.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match error.source() {
        // What a TLS library calls the answer of a server that speaks plain http.
        Some(_) if cause.to_string().contains("InvalidContentType") => "it answers without TLS".into(),
        Some(_) => cause.to_string(),
        None if error.is_timeout() => "timed out".into(),
        None => "the request failed".into(),
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

/// What the body of a refusal says: the specification's list of errors, or that of a token service, or its text.
fn problem(body: &[u8]) -> String {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Problem {
        errors: Vec<Item>,
        details: String,
        error_description: String,
        message: String,
    }
    #[derive(serde::Deserialize)]
    struct Item {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { errors, .. }) if !errors.is_empty() => {
            let say = |e: &Item| match (e.code.to_ascii_lowercase(), e.message.as_str()) {
                (code, "") => code,
                (code, message) if code.is_empty() => message.to_owned(),
                (code, message) => format!("{code}: {message}"),
            };
            errors.iter().map(say).collect::<Vec<_>>().join("; ")
        }
        Ok(other) => [other.details, other.error_description, other.message]
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        // A page for a browser says nothing to a person at a terminal.
        Err(_) if body.trim_ascii_start().starts_with(b"<") => String::new(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

fn auth_token(body: &[u8]) -> Option<HeaderValue> {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
    }
    let Token { token, access_token } = serde_json::from_slice(body).ok()?;
    let token = token.or(access_token).filter(|token| !token.is_empty())?;
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
