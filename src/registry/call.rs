//! One conversation with a registry about one repository: requests that answer a challenge once each.

use std::time::SystemTime;

use bytes::Bytes;
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};

use super::{
    Error,
    allowance::{Allowance, MOST},
    answer::{Unread, auth_token, causes, location, problem, read},
    auth::{Challenge, Scope},
    manifest::MANIFESTS,
};
use crate::model::{Credential, Reference};

/// How often an answer may point elsewhere.
const MOST_HOPS: u32 = 3;
const LARGEST_PROBLEM: usize = 64 << 10;
const LARGEST_TOKEN: usize = 1 << 20;

/// A clone is logged in as the original was.
#[derive(Clone)]
pub(super) struct Call<'a> {
    client: &'a Client,
    /// `.../v2/<repository>/`
    base: Url,
    reference: &'a Reference,
    credential: &'a Credential,
    scope: Scope<'a>,
    /// What the last challenge was answered with.
    authorization: Option<HeaderValue>,
    /// What may be read, where that is bounded.
    allowance: Option<&'a Allowance<'a>>,
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What it is about, a tag or a digest: for errors.
    pub(super) name: &'a str,
    pub(super) accept: &'static str,
    /// With its media type.
    pub(super) body: Option<(HeaderValue, Bytes)>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        client: &'a Client,
        base: Url,
        reference: &'a Reference,
        credential: &'a Credential,
        scope: Scope<'a>,
    ) -> Self {
        Self { client, base, reference, credential, scope, authorization: None, allowance: None }
    }

    pub(super) fn within(self, allowance: &'a Allowance<'a>) -> Self {
        Self { allowance: Some(allowance), ..self }
    }

    /// Sends a request for the manifest `name` and returns an answer that is a success.
    pub(super) async fn send(
        &mut self,
        method: Method,
        name: &str,
        body: Option<(HeaderValue, Bytes)>,
    ) -> Result<Response, Error> {
        let url = self.url(&method, &["manifests", name])?;
        self.ask(Ask { method, url, name, accept: MANIFESTS, body }).await
    }

    /// An address below the repository's.
    pub(super) fn url(&self, method: &Method, path: &[&str]) -> Result<Url, Error> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
            Err(()) => return Err(self.odd(method, self.reference.tag(), "no address")),
        }
        Ok(url)
    }

    /// Sends a request and returns an answer that is a success. A 401 is answered once, so that it matters neither
    /// which kind of login the registry has, nor that a token expired.
    ///
    /// The login is for the registry alone: where an answer points elsewhere, as those for blobs do, the address says
    /// all that is needed there, and somebody who asks for more is answered as nobody.
    pub(super) async fn ask(&mut self, ask: Ask<'_>) -> Result<Response, Error> {
        let Ask { method, mut url, name, accept, body } = ask;
        let doing = (method.clone(), name);
        let mut elsewhere = None;
        let mut answered = false;
        let mut hops = 0;
        loop {
            let mut request = self.client.request(method.clone(), url.clone()).header(ACCEPT, accept);
            let at_home = url.origin() == self.base.origin();
            if let Some(authorization) = if at_home { &self.authorization } else { &elsewhere } {
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
                && response.status().is_redirection()
                && let Some(next) = location(&response, &url)
            {
                hops += 1;
                if next.origin() != url.origin() {
                    elsewhere = None;
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
            let credential = if at_home { self.credential } else { &Credential::Anonymous };
            match self.answer(&doing, &challenge, credential).await? {
                None => return Err(failed),
                authorization if at_home => self.authorization = authorization,
                authorization => elsewhere = authorization,
            }
            answered = true;
        }
    }

    /// Makes what goes into `Authorization`; `None` where there is nothing to answer with.
    async fn answer(
        &self,
        doing: &(Method, &str),
        challenge: &Challenge,
        credential: &Credential,
    ) -> Result<Option<HeaderValue>, Error> {
        let Challenge::Bearer(bearer) = challenge else { return Ok(credential.basic()) };
        let request = bearer
            .request(self.client, self.reference, self.scope, credential, &self.base)
            .map_err(|problem| self.error(doing, Cause::Other(problem)))?;
        let doing = (Method::GET, doing.1);
        let response = request.send().await.map_err(|e| self.error(&doing, Cause::Network(e)).at_login())?;
        if !response.status().is_success() {
            return Err(self.refused(&doing, response).await.at_login());
        }
        let body = self.body(&doing.0, doing.1, response, LARGEST_TOKEN).await.map_err(Error::at_login)?;
        let token = auth_token(&body);
        token.map(Some).ok_or_else(|| self.error(&doing, Cause::Other("the answer holds no token".into())).at_login())
    }

    async fn refused(&self, doing: &(Method, &str), response: Response) -> Error {
        let status = response.status();
        let retry_after = super::retry_after(response.headers(), SystemTime::now());
        let body = read(response, LARGEST_PROBLEM, self.allowance).await.unwrap_or_default();
        self.error(doing, Cause::Status(status, retry_after, problem(&body)))
    }

    /// The answer was a success, and is not what was asked for.
    pub(super) fn odd(&self, method: &Method, name: &str, problem: impl Into<String>) -> Error {
        self.error(&(method.clone(), name), Cause::Other(problem.into()))
    }

    /// The body of an answer that is a success, of `most` bytes at most.
    pub(super) async fn body(
        &self,
        method: &Method,
        name: &str,
        response: Response,
        most: usize,
    ) -> Result<Bytes, Error> {
        let unread = match read(response, most, self.allowance).await {
            Ok(body) => return Ok(body),
            Err(Unread::Broken(error)) => Cause::Network(error),
            Err(Unread::Long) => Cause::Other(format!("the answer is larger than {} MiB", most >> 20)),
            Err(Unread::Spent) => {
                Cause::Other(format!("the cache refs of this build are larger than {} MiB in all", MOST >> 20))
            }
        };
        Err(self.error(&(method.clone(), name), unread))
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
