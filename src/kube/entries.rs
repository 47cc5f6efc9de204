//! What a pull secret holds: a part of Docker's configuration file. Programs that such a file may name are not run, for
//! whoever may write secrets may not run programs beside the engine.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::model::{Credential, auths_key};

/// Registries and what to log in to them with.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Entries(BTreeMap<String, Credential>);

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Entries {
    /// Reads `.dockerconfigjson`, or `.dockercfg`, which is its `auths` alone. The error says what is wrong with it, and
    /// nothing that it holds.
    pub(super) fn read(json: &[u8], is_old: bool) -> Result<Self, String> {
        // serde's own words would quote values.
        let wrong = |error: serde_json::Error| {
            format!("its JSON is broken at line {}, column {}", error.line(), error.column())
        };
        let auths = if is_old {
            serde_json::from_slice(json).map_err(wrong)?
        } else {
            serde_json::from_slice::<File>(json).map_err(wrong)?.auths
        };
        let entries = auths.into_iter().map(|(name, entry)| match entry.credential() {
            Some(credential) => Ok((name, credential)),
            None => Err(format!("its entry for {name} has no user and password")),
        });
        entries.collect::<Result<_, _>>().map(Self)
    }

    /// What to log in with where the engine says `host`.
    pub(super) fn get(&self, host: &str) -> Option<&Credential> {
        self.0.get(auths_key(self.0.keys().map(String::as_str), host)?)
    }
}

impl Entry {
    fn credential(self) -> Option<Credential> {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = filled(self.identitytoken) {
            return Some(Credential::IdentityToken(token));
        }
        if let (Some(username), Some(secret)) = (filled(self.username), filled(self.password)) {
            return Some(Credential::Basic { username, secret });
        }
        let text = String::from_utf8(STANDARD.decode(filled(self.auth)?.trim()).ok()?).ok()?;
        let (username, secret) = text.split_once(':')?;
        Some(Credential::Basic { username: username.to_owned(), secret: secret.trim_end_matches('\0').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn basic(username: &str, secret: &str) -> Credential {
        Credential::Basic { username: username.to_owned(), secret: secret.to_owned() }
    }

    #[test]
    fn an_entry_is_found_however_it_is_written() {
        let auth = STANDARD.encode("a:b:c");
        let json = format!(
            r#"{{"auths":{{"r.example:5000":{{"auth":"{auth}"}},"https://index.docker.io/v1/":{{"username":"u","password":"p"}},
               "https://g.example/group":{{"identitytoken":"t","auth":""}}}},"credsStore":"evil"}}"#
        );
        let entries = Entries::read(json.as_bytes(), false).unwrap();
        assert_eq!(entries.get("r.example:5000"), Some(&basic("a", "b:c")));
        assert_eq!(entries.get("registry-1.docker.io"), Some(&basic("u", "p")));
        assert_eq!(entries.get("g.example"), Some(&Credential::IdentityToken("t".to_owned())));
        assert_eq!(entries.get("r.example"), None);
        let old = format!(r#"{{"r.example":{{"auth":"{auth}","email":"x"}}}}"#);
        assert_eq!(Entries::read(old.as_bytes(), true).unwrap().get("r.example"), Some(&basic("a", "b:c")));
    }

    #[test]
    fn what_is_broken_is_told_without_what_it_holds() {
        for json in
            [r#"{"auths":{"r":{"auth":"hunter2"}}}"#, r#"{"auths":"hunter2"}"#, "hunter2", r#"{"auths":{"r":{}}}"#]
        {
            let problem = Entries::read(json.as_bytes(), false).err().unwrap();
            assert!(!problem.contains("hunter2") && problem.starts_with("its "), "{problem}");
        }
    }
}
