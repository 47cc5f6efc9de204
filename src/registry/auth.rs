//! Logging in: what a registry asks for with a 401, and how it is answered.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/> and, for identity tokens,
//! <https://distribution.github.io/distribution/spec/auth/oauth/>.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Client, RequestBuilder, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};

use crate::model::{Credential, Reference};

/// The name by which token services know this program.
const CLIENT_ID: &str = "remora";

impl Credential {
    /// For `Authorization`, where the registry wants a user and a password.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let Self::Basic { username, secret } = self else { return None };
        let mut value =
            HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{username}:{secret}")))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Blots the secret out of a text that came from elsewhere.
    pub(super) fn hide(&self, text: &str) -> String {
        match self {
            Self::Basic { secret, .. } | Self::IdentityToken(secret) if !secret.is_empty() => {
                text.replace(secret.as_str(), "***")
            }
            _ => text.to_owned(),
        }
    }
}

/// What the login is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'a> {
    Pull,
    Push,
    /// To push, with blobs from this repository.
    Mount(&'a Reference),
}

/// What a registry asks for.
pub(super) enum Challenge {
    Basic,
    Bearer(Bearer),
}

/// A token from a service.
pub(super) struct Bearer {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
    error: Option<String>,
}

impl Challenge {
    /// Reads `WWW-Authenticate`. A token is preferred where several ways are offered.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut basic = None;
        for header in headers.get_all(WWW_AUTHENTICATE) {
            let Ok(text) = header.to_str() else { continue };
            for challenge in http_auth::ChallengeParser::new(text).map_while(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
                if !challenge.scheme.eq_ignore_ascii_case("bearer") {
                    continue;
                }
                let value = |name: &str| {
                    let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
                };
                if let Some(realm) = value("realm") {
                    let (service, scope, error) = (value("service"), value("scope"), value("error"));
                    return Some(Self::Bearer(Bearer { realm, service, scope, error }));
                }
            }
        }
        basic
    }

    /// Whether somebody is logged in, and may not do this (RFC 6750, 3.1).
    pub(super) fn is_about_scope(&self) -> bool {
        matches!(self, Self::Bearer(Bearer { error: Some(error), .. }) if error == "insufficient_scope")
    }
}

impl Bearer {
    /// The request for a token. `registry` is the address that was asked: a secret that went there encrypted does not
    /// go on in the clear.
    pub(super) fn request(
        &self,
        client: &Client,
        reference: &Reference,
        scope: Scope<'_>,
        credential: &Credential,
        registry: &Url,
    ) -> Result<RequestBuilder, String> {
        let mut url = Url::parse(&self.realm)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or("its token service has no http address")?;
        if url.scheme() == "http" && registry.scheme() == "https" && *credential != Credential::Anonymous {
            return Err("its token service wants the password without encryption".into());
        }
        let actions = if let Scope::Pull = scope { "pull" } else { "pull,push" };
        let mut scopes = vec![format!("repository:{}:{actions}", reference.repository())];
        if let Scope::Mount(source) = scope {
            scopes.push(format!("repository:{}:pull", source.repository()));
        }
        // A registry in front of others knows the repository by another name, and says so.
        for theirs in self.scope.as_deref().unwrap_or_default().split_ascii_whitespace() {
            if !scopes.iter().any(|ours| ours == theirs) {
                scopes.push(theirs.to_owned());
            }
        }
        let mut form = Url::parse("form:").map_err(|e| e.to_string())?;
        let target = if let Credential::IdentityToken(_) = credential { &mut form } else { &mut url };
        let mut pairs = target.query_pairs_mut();
        pairs.append_pair("client_id", CLIENT_ID);
        if let Some(service) = &self.service {
            pairs.append_pair("service", service);
        }
        if let Credential::IdentityToken(secret) = credential {
            // This way takes several scopes in one value, the other in one each.
            pairs.append_pair("grant_type", "refresh_token").append_pair("scope", &scopes.join(" "));
            pairs.append_pair("refresh_token", secret);
        } else {
            for scope in &scopes {
                pairs.append_pair("scope", scope);
            }
        }
        drop(pairs);
        Ok(match credential {
            Credential::IdentityToken(_) => client
                .post(url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.query().unwrap_or_default().to_owned()),
            _ => match credential.basic() {
                Some(basic) => client.get(url).header(AUTHORIZATION, basic),
                None => client.get(url),
            },
        })
    }
}
