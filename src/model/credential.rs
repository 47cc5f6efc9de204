//! What somebody logs in to a registry with.

use std::fmt;

/// What somebody logs in with. `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credential {
    /// Nobody.
    #[default]
    Anonymous,
    /// A user and a password, or a token that serves as one.
    Basic {
        /// Name of the user.
        username: String,
        /// The password.
        secret: String,
    },
    /// An OAuth2 refresh token, as Docker's configuration keeps it under `identitytoken`.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(..)",
            Self::IdentityToken(_) => "IdentityToken(..)",
        })
    }
}

/// Under which name Docker's own registry stands in Docker's configuration.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The name under which Docker's client writes what it has for the registry that an engine calls `host`.
pub fn auths_name(host: &str) -> &str {
    if registry_host(host) == "index.docker.io" { DOCKER_HUB } else { host }
}

/// Which of the names under `auths` in Docker's configuration is that of the registry that an engine calls `host`. Names
/// are hosts or URLs; what is written as Docker's client writes it comes first.
pub fn auths_key<'a>(mut names: impl Iterator<Item = &'a str> + Clone, host: &str) -> Option<&'a str> {
    let exact = [auths_name(host).to_owned(), format!("https://{host}"), format!("https://{host}/v1/")];
    let found = exact.iter().find_map(|key| names.clone().find(|name| name == key));
    found.or_else(|| names.find(|name| registry_host(name) == registry_host(host)))
}

/// The host of such a name, which may be a whole URL.
pub fn registry_host(name: &str) -> &str {
    let bare = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    match bare.split('/').next().unwrap_or(bare) {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        host => host,
    }
}
