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
        /// What may ask for it.
        scope: Scope,
    },
    /// The value of the header `Authorization`.
    Header(String),
}

/// What a credential is for. A repository chooses its submodules, and may be somebody else's than they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The repository that is the context.
    Repository,
    /// Submodules on its host, too.
    Host,
}

/// Names of variables that only our helper reads.
const USER: &str = "REMORA_GIT_USER";
const PASSWORD: &str = "REMORA_GIT_PASSWORD";
/// A credential helper: git runs it in a shell, whose `printf` is its own, so that no process has the values as arguments.
const HELPER: &str =
    r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$REMORA_GIT_USER" "$REMORA_GIT_PASSWORD"; }; f"#;

impl Login {
    /// The user that hosts want with a token, as `BuildKit` has it.
    pub fn token(token: &str, scope: Scope) -> Self {
        Self::Password { user: "x-access-token".to_owned(), password: token.trim().to_owned(), scope }
    }

    /// The value of a header, as somebody wrote it into a file.
    pub fn header(value: &str) -> Self {
        Self::Header(value.trim().to_owned())
    }

    /// A login that the client lends to the agent.
    pub fn lent(credential: Credential) -> Self {
        match credential {
            Credential::Basic { username: user, secret: password } => {
                Self::Password { user, password, scope: Scope::Repository }
            }
            Credential::Anonymous | Credential::IdentityToken(_) => Self::Anonymous,
        }
    }

    /// What must be in no message.
    pub(super) fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Anonymous => Vec::new(),
            // A token may stand where the user does.
            Self::Password { user, password, .. } if password.is_empty() => vec![user],
            Self::Password { password, .. } => vec![password],
            // A scheme, and what it is all about.
            Self::Header(value) => match value.split_once(char::is_whitespace) {
                Some((_, rest)) => rest.split_whitespace().collect(),
                None => vec![value],
            },
        }
    }

    /// Git's configuration for it.
    pub(super) fn config(&self, source: &Source) -> Vec<(String, String)> {
        let origin = &source.origin;
        match self {
            _ if origin.is_empty() => Vec::new(),
            Self::Anonymous => Vec::new(),
            // A host asks, and is answered; another one, to which it may redirect, is not.
            Self::Password { scope, .. } => {
                let asks = if *scope == Scope::Host { origin } else { &source.url };
                vec![
                    ("credential.useHttpPath".to_owned(), "true".to_owned()),
                    (format!("credential.{asks}.helper"), HELPER.to_owned()),
                ]
            }
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
            Self::Password { user, password, .. } => vec![(USER, user), (PASSWORD, password)],
            Self::Anonymous | Self::Header(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::{super::Named, *};

    fn source(url: &str) -> Source {
        let Ok(Named::Git(source)) = Source::read(url) else { panic!("{url}") };
        source
    }

    #[test]
    fn whatever_is_secret_is_hidden() {
        let hidden = |login: &Login| login.secrets().join(" ");
        assert_eq!(hidden(&source("https://token@h.example/r.git").login().unwrap()), "token");
        assert_eq!(hidden(&source("https://user:password@h.example/r.git").login().unwrap()), "password");
        assert_eq!(hidden(&Login::header("Bearer token")), "token");
        assert_eq!(hidden(&Login::header("token")), "token");
    }

    #[test]
    fn only_what_names_a_host_is_for_all_of_it() {
        let source = source("https://h.example/group/r.git#main");
        let asks = |login: &Login| login.config(&source).into_iter().map(|(key, _)| key).next_back().unwrap();
        assert_eq!(asks(&Login::token("t", Scope::Host)), "credential.https://h.example.helper");
        let of_repository = "credential.https://h.example/group/r.git.helper";
        assert_eq!(asks(&Login::token("t", Scope::Repository)), of_repository);
        let lent = Credential::Basic { username: "u".to_owned(), secret: "s".to_owned() };
        assert_eq!(asks(&Login::lent(lent)), of_repository);
    }
}
