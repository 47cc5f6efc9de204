//! What a registry did not take or give, and what a person can do about it.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::{
    model::{Failure, FailureKind, Reference},
    strategy::retry::{Trouble, is_hopeless},
};

/// What one call to a registry came to grief on. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Error {
    /// What sort of trouble.
    pub trouble: Trouble,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The registry, as references name it.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// What was tried, such as `PUT of app:1`.
    pub action: String,
    /// What the registry or the network said; one line, may be empty.
    pub detail: String,
    /// How long the registry wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Longer texts are pages, not reasons.
const LONGEST_DETAIL: usize = 300;

impl Error {
    /// What the engine's own push or pull said, read by its words. `action` is such as `push`.
    pub fn of_engine(reference: &Reference, action: &str, text: &str, retry_after: Option<Duration>) -> Self {
        let action = format!("{action} of {}", short(reference, reference.tag()));
        Self { trouble: Trouble::of_text(text), retry_after, ..Self::new(reference, action, text) }
    }

    pub(super) fn refused(
        reference: &Reference,
        method: &Method,
        name: &str,
        status: u16,
        retry_after: Option<Duration>,
        detail: impl AsRef<str>,
    ) -> Self {
        // Some registries throttle with a 400 or a 403, and say so in the body.
        let trouble = match Trouble::of_status(status) {
            Trouble::Denied | Trouble::Other if Trouble::of_text(detail.as_ref()) == Trouble::RateLimited => {
                Trouble::RateLimited
            }
            trouble => trouble,
        };
        Self { trouble, status: Some(status), retry_after, ..Self::odd(reference, method, name, detail) }
    }

    pub(super) fn unreachable(reference: &Reference, method: &Method, name: &str, detail: impl AsRef<str>) -> Self {
        let trouble = if is_hopeless(detail.as_ref()) { Trouble::Other } else { Trouble::Unreachable };
        Self { trouble, ..Self::odd(reference, method, name, detail) }
    }

    pub(super) fn odd(reference: &Reference, method: &Method, name: &str, detail: impl AsRef<str>) -> Self {
        Self::new(reference, format!("{method} of {}", short(reference, name)), detail)
    }

    pub(super) fn other(reference: &Reference, detail: impl AsRef<str>) -> Self {
        Self::new(reference, format!("a request for {}", short(reference, reference.tag())), detail)
    }

    /// Somebody is logged in, and may not do this.
    pub(super) fn denied(self) -> Self {
        Self { trouble: Trouble::Denied, ..self }
    }

    /// It went wrong at the registry's token service.
    pub(super) fn at_login(self) -> Self {
        let trouble = match self.status {
            Some(400) => Trouble::Unauthorized,
            // It is the service that is not there.
            Some(404) => Trouble::Other,
            _ => self.trouble,
        };
        Self { trouble, action: format!("login for {}", self.action), ..self }
    }

    fn new(reference: &Reference, action: String, detail: impl AsRef<str>) -> Self {
        Self {
            trouble: Trouble::Other,
            status: None,
            host: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            action,
            detail: one_line(detail.as_ref()),
            retry_after: None,
        }
    }

    /// For [`retrying`](super::retrying).
    pub fn trouble(&self) -> (Trouble, Option<Duration>) {
        (self.trouble, self.retry_after)
    }

    /// The reason alone: `429 Too Many Requests`, or what the network said.
    pub fn reason(&self) -> String {
        match self.status.and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status) => status.to_string().trim_end_matches(" <unknown status code>").to_owned(),
            None => self.detail.clone(),
        }
    }

    fn sentence(&self) -> String {
        let Self { host, action, detail, .. } = self;
        let mut said = match self.trouble {
            Trouble::Unreachable => format!("registry {host} cannot be reached for {action}"),
            Trouble::Server | Trouble::Raced => format!("registry {host} failed at {action}"),
            Trouble::NotFound => format!("registry {host} does not know what {action} needs"),
            Trouble::RateLimited => format!("registry {host} limits requests and refused {action}"),
            Trouble::Unauthorized | Trouble::Denied => format!("registry {host} refused {action}"),
            Trouble::Other => format!("registry {host}: {action} failed"),
        };
        let reason = self.reason();
        for part in [reason.as_str(), if *detail == reason { "" } else { detail }] {
            if !part.is_empty() {
                said = format!("{said}: {part}");
            }
        }
        said
    }

    fn next_step(&self) -> String {
        let Self { host, repository, .. } = self;
        // Docker keeps the login for its hub under another name, and finds it where none is given.
        let login = if host == "docker.io" { "docker login".to_owned() } else { format!("docker login {host}") };
        match self.trouble {
            Trouble::Unauthorized => {
                format!(
                    "log in with `{login}` or DOCKER_AUTH_CONFIG where the client runs; a login that is there already may have \
                     expired"
                )
            }
            Trouble::Denied => format!(
                "log in with `{login}` or DOCKER_AUTH_CONFIG where the client runs, or check that this account may do that to \
                 {repository}"
            ),
            Trouble::NotFound => {
                format!("check the name and the tag; some registries want {repository} to be created before a push")
            }
            Trouble::RateLimited => match self.retry_after {
                Some(wait) => format!("try again in {} s; `{login}` may raise the limit", wait.as_secs().max(1)),
                None => format!("try again later; `{login}` may raise the limit"),
            },
            Trouble::Server | Trouble::Raced => format!("try again; if it stays, ask those who run {host}"),
            Trouble::Other if ["certificate", "x509", "CA "].iter().any(|word| self.detail.contains(word)) => {
                format!("add the authority of {host} to the certificates that the agent and the engine trust")
            }
            Trouble::Other if self.detail.contains("HTTPS client") || self.detail.contains("without TLS") => {
                format!("start the agent with --insecure-registry {host}, and let the engine know it as insecure too")
            }
            // Nothing answers on port 443 where a registry has port 80 alone.
            Trouble::Unreachable if self.detail.contains("refused") && !host.contains(':') => format!(
                "check that the agent's network reaches {host}; if it speaks plain HTTP, start the agent with \
                 --insecure-registry {host}, and let the engine know it as insecure too"
            ),
            Trouble::Unreachable => format!("check that the agent's network reaches {host}"),
            Trouble::Other if is_hopeless(&self.detail) => {
                format!("check the name {host}, and that the agent's network reaches it")
            }
            Trouble::Other => String::new(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(FailureKind::Registry, error.to_string()).next(error.next_step())
    }
}

/// `app:1` or `app@sha256:...`
fn short(reference: &Reference, name: &str) -> String {
    let separator = if name.contains(':') { '@' } else { ':' };
    format!("{}{separator}{name}", reference.repository())
}

/// Control characters of a stranger do not reach a terminal.
fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST_DETAIL) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reference() -> Reference {
        "r.example.com/team/app:1".parse().unwrap()
    }

    fn refused(status: u16, detail: &str) -> Failure {
        Error::refused(&reference(), &Method::PUT, "1", status, Some(Duration::from_secs(30)), detail).into()
    }

    #[test]
    fn a_person_hears_what_happened_and_what_to_do() {
        let failure = refused(403, "denied: requested access to the resource is denied");
        assert_eq!(failure.kind, FailureKind::Registry);
        assert_eq!(
            failure.what,
            "registry r.example.com refused PUT of team/app:1: 403 Forbidden: denied: requested access to the resource \
             is denied"
        );
        assert_eq!(
            failure.next,
            "log in with `docker login r.example.com` or DOCKER_AUTH_CONFIG where the client runs, or check that this account may do that to \
             team/app"
        );
        assert!(refused(401, "").what.ends_with("PUT of team/app:1: 401 Unauthorized"));
        assert!(refused(429, "toomanyrequests: slow down").next.starts_with("try again in 30 s"));
        assert!(refused(503, "").what.contains("failed at PUT of team/app:1: 503 Service Unavailable"));
        assert!(refused(404, "").next.contains("team/app to be created"));
        assert_eq!(refused(418, "").next, "");
    }

    #[test]
    fn the_engines_words_become_the_same_failures() {
        let of = |text| Error::of_engine(&reference(), "push", text, None);
        assert_eq!(
            of("denied: requested access to the resource is denied").to_string(),
            "registry r.example.com refused push of team/app:1: denied: requested access to the resource is denied"
        );
        assert_eq!(of("toomanyrequests: slow down").trouble(), (Trouble::RateLimited, None));
        let refused = of("dial tcp: connect: connection refused");
        assert_eq!(refused.trouble, Trouble::Unreachable);
        assert!(Failure::from(refused).next.contains("--insecure-registry r.example.com"), "a registry on port 80");
        for (text, next) in [
            ("http: server gave HTTP response to HTTPS client", "--insecure-registry r.example.com"),
            ("x509: certificate signed by unknown authority", "authority of r.example.com"),
            ("dial tcp: lookup r.example.com: no such host", "check the name r.example.com"),
        ] {
            let error = of(text);
            assert_eq!(error.trouble, Trouble::Other, "{text}");
            assert!(Failure::from(error).next.contains(next), "{text}");
        }
    }

    #[test]
    fn throttling_is_recognised_in_disguise() {
        let error = Error::refused(&reference(), &Method::GET, "1", 403, None, "Rate exceeded");
        assert_eq!(error.trouble, Trouble::RateLimited);
    }

    #[test]
    fn a_strangers_text_becomes_one_bounded_line() {
        assert_eq!(one_line(" a\n\tb\u{1b}[31mc\0 "), "a b [31mc");
        assert_eq!(one_line(&"é ".repeat(400)).chars().count(), LONGEST_DETAIL + 1);
    }
}
