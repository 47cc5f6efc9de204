//! What goes wrong between the agent and its engine.

use crate::model::{EngineUrl, Failure, FailureKind};

/// What goes wrong between the agent and its engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers there.
    #[error("cannot connect to the engine at {url}: {source}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        source: std::io::Error,
    },
    /// It answers, and not as it should.
    #[error("the connection to the engine at {url} broke: {source}")]
    Broken {
        /// Where.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is a Docker engine without `BuildKit`.
    #[error("the engine at {url} answered {status} to {path}: it offers no BuildKit")]
    NoHijack {
        /// Where.
        url: String,
        /// What was asked.
        path: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// A file of the TLS set-up is no good.
    #[error("TLS towards the engine: {file}: {problem}")]
    Tls {
        /// The file.
        file: String,
        /// Why.
        problem: String,
    },
    /// The engine refused a call.
    #[error("the engine answered {call}: {problem}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// What it said.
        problem: String,
    },
}

impl Error {
    pub(super) fn broken(url: &EngineUrl, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Broken { url: url.to_string(), source: source.into() }
    }

    pub(super) fn frozen(url: &EngineUrl) -> Self {
        Self::broken(url, "the engine does not answer any more")
    }

    pub(super) fn refused(call: &'static str, status: &tonic::Status) -> Self {
        Self::Refused { call, problem: cause(status) }
    }

    pub(super) fn docker(call: &'static str, error: &bollard::errors::Error) -> Self {
        Self::Refused { call, problem: error.to_string() }
    }
}

/// What a status means in the end: where our own end of the connection made it, the cause lies behind it.
pub(super) fn cause(status: &tonic::Status) -> String {
    match std::iter::successors(std::error::Error::source(status), |cause| cause.source()).last() {
        Some(cause) => format!("{}: {cause}", status.message()),
        None => status.message().to_owned(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let next = match &error {
            Error::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                "give the agent's user access to the engine's socket"
            }
            Error::Unreachable { .. } => {
                "check that the engine's container runs, and that the agent's --engine names its socket"
            }
            Error::Tls { .. } => "check DOCKER_CERT_PATH: it must hold ca.pem, cert.pem and key.pem",
            Error::NoHijack { .. } => "use Docker 20.10 or later, or a buildkitd",
            Error::Broken { .. } | Error::Refused { .. } => "look at the engine's own log",
        };
        Failure::new(FailureKind::Engine, error.to_string()).next(next)
    }
}
