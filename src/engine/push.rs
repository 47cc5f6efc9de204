//! Pushes through Docker's REST API. Not through bollard, which drops layer ids and the final digest.

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Engine, Error, dial};
use crate::model::{Credential, Event, Failure, Reference};

/// Why a push failed.
#[derive(Debug)]
pub enum PushError {
    /// The registry, or the way to it; in the engine's words.
    Registry {
        /// What was to be pushed.
        tag: Reference,
        /// What the engine said.
        text: String,
    },
    /// The engine holds no such image.
    Unknown {
        /// What was to be pushed.
        tag: Reference,
    },
    /// The engine itself.
    Engine(Failure),
}

impl From<Failure> for PushError {
    fn from(failure: Failure) -> Self {
        Self::Engine(failure)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Line {
    status: String,
    id: String,
    #[serde(rename = "progressDetail")]
    progress: Progress,
    aux: Option<Aux>,
    error: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Progress {
    current: u64,
    total: u64,
}

#[derive(Deserialize)]
struct Aux {
    #[serde(rename = "Digest", default)]
    digest: String,
}

/// Longest line of the engine's answer that is read, in bytes.
const LONGEST_LINE: usize = 1 << 20;

impl Engine {
    /// Pushes one tag that the engine holds, and returns its manifest's digest: the containerd store does not tell it.
    /// Dropping the future stops the push.
    pub async fn push(
        &self,
        tag: &Reference,
        credential: &Credential,
        events: &mpsc::Sender<Event>,
    ) -> Result<Option<String>, PushError> {
        self.while_it_answers(self.pushed(tag, credential, events)).await
    }

    async fn pushed(
        &self,
        tag: &Reference,
        credential: &Credential,
        events: &mpsc::Sender<Event>,
    ) -> Result<Option<String>, PushError> {
        // A standalone buildkitd holds no images.
        self.docker().map_err(PushError::Engine)?;
        let broken = |e: Error| PushError::Engine(e.into());
        let refused = |problem: String| broken(Error::Refused { call: "POST /images/push", problem });
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/images/{}/push?tag={}", tag.name(), tag.tag()))
            .header("X-Registry-Auth", auth_header(credential, tag.registry()))
            .body(Empty::<Bytes>::new())
            .map_err(|e| refused(e.to_string()))?;
        let response = dial::rest(&self.url, request).await.map_err(broken)?;
        let status = response.status();
        let mut body = response.into_body();
        if status != StatusCode::OK {
            let body = Limited::new(body, LONGEST_LINE).collect().await.map_err(|e| refused(e.to_string()))?;
            return Err(refusal(tag, status, &body.to_bytes()));
        }
        let mut tally = Tally::new(tag);
        let mut buffer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| broken(Error::broken(&self.url, e)))?;
            let Ok(data) = frame.into_data() else { continue };
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
                let line = buffer.split_to(end + 1);
                if let Some(event) = tally.line(&line).map_err(|text| failed(tag, text))? {
                    drop(events.send(event).await);
                }
            }
            if buffer.len() > LONGEST_LINE {
                return Err(refused(format!("a line of more than {LONGEST_LINE} bytes")));
            }
        }
        tally.line(&buffer).map_err(|text| failed(tag, text))?;
        Ok(tally.digest)
    }
}

/// What an answer that is no success means.
fn refusal(tag: &Reference, status: StatusCode, body: &[u8]) -> PushError {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let text = serde_json::from_slice::<Message>(body).map_or_else(|_| status.to_string(), |m| m.message);
    if status == StatusCode::NOT_FOUND { PushError::Unknown { tag: tag.clone() } } else { failed(tag, text) }
}

/// What the engine said of a push that failed: before it began, or in the middle of its answer.
fn failed(tag: &Reference, text: String) -> PushError {
    const UNKNOWN: &[&str] = &["does not exist locally", "tag does not exist", "No such image", "no such image"];
    if UNKNOWN.iter().any(|unknown| text.contains(unknown)) {
        return PushError::Unknown { tag: tag.clone() };
    }
    PushError::Registry { tag: tag.clone(), text }
}

/// The fold over the lines of one push.
struct Tally<'a> {
    tag: &'a Reference,
    digest: Option<String>,
}

impl<'a> Tally<'a> {
    fn new(tag: &'a Reference) -> Self {
        Self { tag, digest: None }
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Event>, String> {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return Ok(None) };
        if let Some(error) = line.error {
            return Err(error);
        }
        if let Some(aux) = line.aux {
            self.digest = Some(aux.digest);
            return Ok(None);
        }
        if line.id.is_empty() || line.id == self.tag.tag() {
            return Ok(None);
        }
        Ok(Some(Event::PushProgress {
            reference: self.tag.to_string(),
            layer: line.id,
            state: line.status,
            current: line.progress.current,
            total: line.progress.total,
        }))
    }
}

fn auth_header(credential: &Credential, registry: &str) -> String {
    // The containerd store compares the name, and knows Docker Hub by its old one alone.
    let registry = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
    // Docker 20.10 wants the header even where there is nothing to say.
    let auth = match credential {
        Credential::Anonymous => serde_json::json!({}),
        Credential::IdentityToken(token) => serde_json::json!({ "identitytoken": token, "serveraddress": registry }),
        Credential::Basic { username, secret } => {
            serde_json::json!({ "username": username, "password": secret, "serveraddress": registry })
        }
    };
    base64::engine::general_purpose::URL_SAFE.encode(auth.to_string())
}
