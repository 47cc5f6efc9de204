//! What a token says of itself. Nothing here is believed: the API server decides, and this tells how long its answer
//! may be kept, and in better words than its own why it said no.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

/// Of the claims of a JSON web token (RFC 7519, 4.1) those that matter here. A token of another kind has none.
#[derive(Deserialize, Default)]
pub(super) struct Claims {
    exp: Option<f64>,
    #[serde(default)]
    aud: Audience,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
    #[default]
    None,
}

impl Claims {
    pub(super) fn of(token: &str) -> Self {
        let claims = || {
            let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
            serde_json::from_slice(&payload).ok()
        };
        claims().unwrap_or_default()
    }

    /// When it expires.
    pub(super) fn expiry(&self) -> Option<SystemTime> {
        let seconds = self.exp.filter(|seconds| *seconds >= 0.0)?;
        UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// For whom it was made.
    pub(super) fn audiences(&self) -> &[String] {
        match &self.aud {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Several(several) => several,
            Audience::None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::of(&format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(json)))
    }

    #[test]
    fn expiry_and_audience_are_read_whatever_else_there_is() {
        let read = claims(r#"{"exp":1700000000,"aud":["remora","x"],"sub":"a"}"#);
        assert_eq!(read.expiry(), Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
        assert_eq!(read.audiences(), ["remora", "x"]);
        assert_eq!(claims(r#"{"aud":"one"}"#).audiences(), ["one"]);
        for odd in ["", "a.b.c", "a..", "opaque", "a.e30"] {
            assert_eq!((Claims::of(odd).expiry(), Claims::of(odd).audiences().len()), (None, 0), "{odd}");
        }
        for odd in [r#"{"exp":-1}"#, r#"{"exp":1e300}"#, r#"{"exp":"soon"}"#, "[]"] {
            assert_eq!(claims(odd).expiry(), None, "{odd}");
        }
    }
}
