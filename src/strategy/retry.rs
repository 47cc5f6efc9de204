//! Whether what went wrong at a registry is worth another attempt, and when.

use std::time::Duration;

/// What sort of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody is logged in, or the login is not good (401).
    Unauthorized,
    /// This account may not do it (403).
    Denied,
    /// There is no such repository, tag or digest (404).
    NotFound,
    /// Too many requests (429).
    RateLimited,
    /// The registry fails (5xx).
    Server,
    /// The registry does not know a blob that it was given: another push of the same blob is at work there. Registries
    /// that keep blobs as files open a file before they write it.
    Raced,
    /// No answer: refused, reset, timed out.
    Unreachable,
    /// Anything else.
    Other,
}

/// How often to try, and how long to wait in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// The wait after the first attempt; each further one is twice as long.
    pub first: Duration,
    /// The longest wait of our own choice.
    pub longest: Duration,
    /// The longest wait that a registry may ask for. Who asks for more gets no further attempt.
    pub patience: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(20),
            patience: Duration::from_secs(120),
        }
    }
}

impl Policy {
    /// How long to wait after attempt number `attempt` (from 1) has failed; `None` gives up.
    ///
    /// `jitter`, from 0 to 1, spreads those who failed together: our own wait is between half and all of its length,
    /// and a wait that the registry asked for is never cut short.
    pub fn wait(&self, attempt: u32, trouble: Trouble, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
        if attempt >= self.attempts || !trouble.may_pass() {
            return None;
        }
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
        match retry_after {
            Some(asked) if asked > self.patience => None,
            Some(asked) => Some(asked.saturating_add(self.first.mul_f64(jitter))),
            None => {
                let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
                let wait = self.first.saturating_mul(doubled).min(self.longest);
                Some(wait.mul_f64(0.5 + jitter / 2.0))
            }
        }
    }
}

impl Trouble {
    /// Whether it may pass by itself.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::RateLimited | Self::Server | Self::Raced | Self::Unreachable)
    }

    /// What an HTTP status means.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Denied,
            404 => Self::NotFound,
            408 => Self::Unreachable,
            429 => Self::RateLimited,
            // Not implemented, unknown version, a captive portal: asking again changes nothing.
            501 | 505 | 511 => Self::Other,
            500..=599 => Self::Server,
            _ => Self::Other,
        }
    }

    /// What the text of an error means, as an engine's own push words it. Headers and codes are lost there.
    ///
    /// The words are those of the distribution specification's error codes, of Docker's registry client, of
    /// containerd's resolver (which BuildKit pushes with) and of Go's network packages.
    pub fn of_text(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        // Before the status: some registries throttle with a 400.
        if says(RATE_LIMITED) {
            return Self::RateLimited;
        }
        if let Some(status) = status_in(&text) {
            return Self::of_status(status);
        }
        if is_hopeless(&text) {
            Self::Other
        } else if says(RACED) {
            Self::Raced
        } else if says(UNAUTHORIZED) {
            Self::Unauthorized
        } else if says(DENIED) {
            Self::Denied
        } else if says(NOT_FOUND) {
            Self::NotFound
        } else if says(SERVER) {
            Self::Server
        } else if says(UNREACHABLE) || text.ends_with("eof") {
            Self::Unreachable
        } else {
            Self::Other
        }
    }
}

const RATE_LIMITED: &[&str] = &["toomanyrequests", "too many requests", "rate limit", "rate exceeded", "throttl"];
/// Whether trouble with a connection stays: the name is unknown, or one end will not trust the other.
pub fn is_hopeless(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    HOPELESS.iter().any(|word| text.contains(word))
}

const HOPELESS: &[&str] = &[
    "server gave http response to https client",
    "answers without tls",
    "certificate",
    "x509:",
    "tls: ",
    "no such host",
    "name or service not known",
    "no space left on device",
    "context canceled",
    "unsupported protocol scheme",
];
const UNAUTHORIZED: &[&str] =
    &["unauthorized", "authentication required", "no basic auth credentials", "incorrect username or password"];
const DENIED: &[&str] = &["denied", "insufficient_scope", "authorization failed", "forbidden"];
const NOT_FOUND: &[&str] = &["manifest unknown", "name unknown", "name_unknown", "not found", "does not exist"];
const RACED: &[&str] = &["blob unknown to registry", "provided digest did not match uploaded content"];
/// An upload that the registry has forgotten begins anew with the next attempt.
const SERVER: &[&str] = &[
    "internal server error",
    "bad gateway",
    "service unavailable",
    "gateway timeout",
    "gateway time-out",
    "blob upload unknown",
    "blob upload invalid",
];
const UNREACHABLE: &[&str] = &[
    "connection reset",
    "connection refused",
    "connection closed",
    "closed network connection",
    "server closed idle connection",
    "broken pipe",
    "timeout",
    "timed out",
    "deadline exceeded",
    "unexpected eof",
    ": eof",
    "server misbehaving",
    "temporary failure in name resolution",
    "network is unreachable",
    "no route to host",
    "goaway",
];

/// The HTTP status that a text speaks of: a number that follows a word for it, or that its meaning follows.
fn status_in(text: &str) -> Option<u16> {
    let mut from = 0;
    while let Some(start) = text[from..].find(|c: char| c.is_ascii_digit()).map(|at| from + at) {
        let end = text[start..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |length| start + length);
        from = end;
        let Some(status) = text[start..end].parse().ok().filter(|status| (400..600).contains(status)) else { continue };
        let before = text[..start].trim_end_matches([' ', ':']);
        let after = text[end..].trim_start();
        let named = ["status", "status code", "http"].iter().any(|word| before.ends_with(word));
        if text[..start].ends_with([' ', ':']) && named || meaning(status).is_some_and(|m| after.starts_with(m)) {
            return Some(status);
        }
    }
    None
}

fn meaning(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "bad request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        405 => "method not allowed",
        408 => "request timeout",
        413 => "request entity too large",
        500 => "internal server error",
        502 => "bad gateway",
        503 => "service unavailable",
        504 => "gateway timeout",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_a_bound_and_attempts_end() {
        let policy = Policy::default();
        let waits: Vec<_> = (1..=5).map(|n| policy.wait(n, Trouble::Server, None, 1.0)).collect();
        assert_eq!(waits, [Some(SECOND), Some(2 * SECOND), Some(4 * SECOND), Some(8 * SECOND), None]);
        let many = Policy { attempts: 100, ..policy };
        assert_eq!(many.wait(60, Trouble::Server, None, 1.0), Some(many.longest));
    }

    #[test]
    fn a_registry_that_names_a_time_gets_it_unless_it_asks_too_much() {
        let policy = Policy::default();
        let wait = |asked, jitter| policy.wait(1, Trouble::RateLimited, Some(asked), jitter);
        assert_eq!(wait(7 * SECOND, 0.0), Some(7 * SECOND));
        assert_eq!(wait(7 * SECOND, 1.0), Some(8 * SECOND));
        assert_eq!(wait(Duration::ZERO, 0.0), Some(Duration::ZERO));
        assert_eq!(wait(policy.patience, 0.0), Some(policy.patience));
        assert_eq!(wait(policy.patience + SECOND, 0.0), None);
    }

    #[test]
    fn what_stays_is_given_up_at_once() {
        for trouble in [Trouble::Unauthorized, Trouble::Denied, Trouble::NotFound, Trouble::Other] {
            assert_eq!(Policy::default().wait(1, trouble, Some(SECOND), 0.5), None);
        }
    }

    #[test]
    fn texts_of_engines_are_understood() {
        use Trouble::{Denied, NotFound, Other, Raced, RateLimited, Server, Unauthorized, Unreachable};
        for (trouble, text) in [
            // Docker's own push.
            (Denied, "denied: requested access to the resource is denied"),
            (Unauthorized, "unauthorized: authentication required"),
            (Unauthorized, "no basic auth credentials"),
            (Unauthorized, "Head \"https://r/v2/a/blobs/x\": no basic auth credentials"),
            (RateLimited, "toomanyrequests: You have reached your pull rate limit."),
            (RateLimited, "error parsing HTTP 429 response body: unexpected end of JSON input: \"\""),
            (Server, "received unexpected HTTP status: 503 Service Unavailable"),
            (Server, "received unexpected HTTP status: 500 Internal Server Error"),
            (Server, "error parsing HTTP 502 response body: invalid character '<': \"<html>404\""),
            (NotFound, "name unknown: The repository with name 'a' does not exist in the registry"),
            (NotFound, "An image does not exist locally with the tag: r:5000/app"),
            (Unreachable, "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused"),
            (Unreachable, "Put \"http://r:5000/v2/a/blobs/uploads/x\": EOF"),
            (Unreachable, "read tcp 10.0.0.1:503->10.0.0.2:429: read: connection reset by peer"),
            (Unreachable, "Get \"https://r/v2/\": net/http: TLS handshake timeout"),
            (Unreachable, "dial tcp: lookup r on 10.0.0.10:53: read udp: i/o timeout"),
            (Unreachable, "dial tcp: lookup r on 10.0.0.10:53: server misbehaving"),
            (Other, "Get \"https://r:5000/v2/\": http: server gave HTTP response to HTTPS client"),
            (Other, "Get \"https://r/v2/\": x509: certificate signed by unknown authority"),
            (Other, "dial tcp: lookup registri: no such host"),
            // BuildKit's, which is containerd's.
            (
                RateLimited,
                "failed to push r/a:1: unexpected status from PUT request to https://r/v2/a/manifests/1: 429 Too Many Requests",
            ),
            (
                Server,
                "failed to push r/a:1: unexpected status from POST request to https://r:429/v2/a/blobs/uploads/: 503 Service Unavailable",
            ),
            (Server, "failed commit on ref \"layer-sha256:404\": unexpected status: 500 Internal Server Error"),
            (Server, "failed to push r/a:1: unexpected status code 502"),
            (
                Unauthorized,
                "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://auth/token: 401 Unauthorized",
            ),
            (
                Denied,
                "failed to authorize: failed to fetch oauth token: unexpected status from POST request to https://auth/token: 403 Forbidden",
            ),
            (
                Server,
                "failed to authorize: failed to fetch oauth token: unexpected status from POST request to https://auth/token: 503 Service Unavailable",
            ),
            (
                Denied,
                "push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
            ),
            (
                Unreachable,
                "failed to do request: Head \"http://127.0.0.1:1/v2/a/blobs/x\": dial tcp 127.0.0.1:1: connect: connection refused",
            ),
            (Unreachable, "failed to copy: failed to do request: Put \"https://r/x\": write tcp: write: broken pipe"),
            (Unreachable, "failed to push: unexpected EOF"),
            (
                Raced,
                "failed to push r/a:1: errors:\nunknown: provided digest did not match uploaded content\nunknown: blob unknown to registry - sha256:2a",
            ),
            // Neither.
            (Other, "some 500 layers were odd"),
            (Other, ""),
        ] {
            assert_eq!(Trouble::of_text(text), trouble, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_bounded(attempt in 0_u32..200, attempts in 0_u32..200, jitter: f64, asked in proptest::option::of(0_u64..400)) {
            let policy = Policy { attempts, ..Policy::default() };
            let asked = asked.map(Duration::from_secs);
            if let Some(wait) = policy.wait(attempt, Trouble::RateLimited, asked, jitter) {
                prop_assert!(attempt < attempts);
                prop_assert!(wait <= policy.patience.max(policy.longest) + policy.first);
                prop_assert!(asked.is_none_or(|asked| wait >= asked));
            }
        }

        #[test]
        fn any_text_is_read(text in ".{0,80}", status in 100_u16..999) {
            let _ = Trouble::of_text(&text);
            let _ = Trouble::of_text(&format!("{text}{status}é{text}"));
            prop_assert_eq!(Trouble::of_text(&format!("unexpected status: {status}")), Trouble::of_status(status));
        }
    }
}
