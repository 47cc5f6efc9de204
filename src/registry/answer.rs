//! Reading what a registry or its token service answers.

use std::error::Error as _;

use bytes::Bytes;
use reqwest::{
    Response, Url,
    header::{HeaderValue, LOCATION},
};

use super::allowance::Allowance;

/// Where an answer points to, but never from https to http.
pub(super) fn location(response: &Response, from: &Url) -> Option<Url> {
    let next = from.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    (next.scheme() == "https" || next.scheme() == from.scheme()).then_some(next)
}

/// Why a body was not read.
pub(super) enum Unread {
    /// It ended early.
    Broken(reqwest::Error),
    /// It is longer than it may be.
    Long,
    /// With all that was read before it is.
    Spent,
}

/// Reads a body of `most` bytes at most, if they are allowed.
pub(super) async fn read(
    mut response: Response,
    most: usize,
    allowance: Option<&Allowance<'_>>,
) -> Result<Bytes, Unread> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > most {
            return Err(Unread::Long);
        }
        if allowance.is_some_and(|allowance| !allowance.take(chunk.len())) {
            return Err(Unread::Spent);
        }
        body.extend_from_slice(&chunk);
    }
    // It is kept for long, and what the vector has to spare is not.
    Ok(body.into_boxed_slice().into())
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

/// What the body of a refusal says: the specification's list of errors, or that of a token service, or its text.
pub(super) fn problem(body: &[u8]) -> String {
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

pub(super) fn auth_token(body: &[u8]) -> Option<HeaderValue> {
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
