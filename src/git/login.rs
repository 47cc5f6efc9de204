//! What a repository's host is shown. Git is given it in its environment alone: arguments are anybody's to read.

use super::Source;
use crate::model::Credential;

/// A credential for the host of one repository. It is not `Debug`, and nothing of it may be printed.
pub enum Login {
    /// None.
    Anonymous,
    /// User and password. Git asks for them when the host wants some, and shows them to no other.
    Password {
        /// The user; hosts that take a token ignore it, or have a word for it.
        user: String,
        /// The password, or a token.
        password: String,
    },
    /// The value of the header `Authorization`.
    Header(String),
}

/// Names of variables that only our helper reads.
const USER: &str = "REMORA_GIT_USER";
const PASSWORD: &str = "REMORA_GIT_PASSWORD";
/// A credential helper: git runs it in a shell, whose `printf` is its own, so that no process has the values as arguments.
const HELPER: &str =
    r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$REMORA_GIT_USER" "$REMORA_GIT_PASSWORD"; }; f"#;

impl Login {
    /// The user that hosts want with a token, as `BuildKit` has it.
    pub fn token(token: &str) -> Self {
        Self::Password { user: "x-access-token".to_owned(), password: token.trim().to_owned() }
    }

    /// The value of a header, as somebody wrote it into a file.
    pub fn header(value: &str) -> Self {
        Self::Header(value.trim().to_owned())
    }

    /// A login that the client lends to the agent.
    pub fn lent(credential: Credential) -> Self {
        match credential {
            Credential::Basic { username: user, secret: password } => Self::Password { user, password },
            Credential::Anonymous | Credential::IdentityToken(_) => Self::Anonymous,
        }
    }

    /// What must be in no message.
    pub(super) fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Anonymous => Vec::new(),
            Self::Password { password, .. } => vec![password],
            // A scheme, and what it is all about.
            Self::Header(value) => value.split_whitespace().skip(1).collect(),
        }
    }

    /// Git's configuration for it.
    pub(super) fn config(&self, source: &Source) -> Vec<(String, String)> {
        let origin = &source.origin;
        match self {
            _ if origin.is_empty() => Vec::new(),
            Self::Anonymous => Vec::new(),
            // A host asks, and is answered; another one, to which it may redirect, is not.
            Self::Password { .. } => vec![(format!("credential.{origin}.helper"), HELPER.to_owned())],
            // Sent unasked, so it must not follow a redirect. As BuildKit has it, for this repository alone.
            Self::Header(value) => vec![
                (format!("http.{}.extraHeader", source.url), format!("Authorization: {value}")),
                (format!("http.{}.followRedirects", source.url), "false".to_owned()),
            ],
        }
    }

    /// Variables that the helper reads.
    pub(super) fn variables(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Password { user, password } => vec![(USER, user), (PASSWORD, password)],
            Self::Anonymous | Self::Header(_) => Vec::new(),
        }
    }
}
