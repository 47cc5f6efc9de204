//! `Failure` <-> gRPC status. The status' details hold our own message, as bytes.

use prost::Message as _;
use tonic::{Code, Status};

use crate::{
    model::{Excerpt, Failure, FailureKind},
    pb,
};

/// The status that carries a failure to the client.
pub fn to_status(failure: Failure) -> Status {
    let Failure { kind, what, next, step, log, excerpt } = failure;
    let code = match kind {
        FailureKind::Build => Code::Aborted,
        FailureKind::Usage => Code::InvalidArgument,
        FailureKind::Engine | FailureKind::Agent | FailureKind::Lost => Code::Unavailable,
        FailureKind::Registry => Code::FailedPrecondition,
        FailureKind::Policy => Code::PermissionDenied,
        FailureKind::Cancelled => Code::Cancelled,
        FailureKind::Busy => Code::ResourceExhausted,
        FailureKind::NotFound => Code::NotFound,
        FailureKind::Internal => Code::Internal,
    };
    // The message travels in a header, which has its limits: a person with a stock client gets the first line.
    let message = first_line(&what);
    let details = pb::Failure { kind: to_kind(kind) as i32, what, next, log, excerpt: excerpt.map(to_excerpt), step };
    Status::with_details(code, message, fitting(details).encode_to_vec().into())
}

const STOPPED: &str = "look at the agent's log: it may have been stopped while it worked";

/// The failure that a status carries, or what its code means where it carries none.
pub fn from_status(status: &Status) -> Failure {
    if let Ok(details) = pb::Failure::decode(status.details())
        && !details.what.is_empty()
    {
        let pb::Failure { kind, what, next, log, excerpt, step } = details;
        let kind = from_kind(pb::FailureKind::try_from(kind).unwrap_or_default());
        return Failure { kind, what, next, step, log, excerpt: excerpt.map(from_excerpt) };
    }
    if std::error::Error::source(status).is_some() {
        // It comes from our own end of the connection, not from the agent.
        return Failure::new(FailureKind::Lost, format!("the connection to the agent broke: {}", status.message()))
            .next(STOPPED);
    }
    let (kind, next) = match status.code() {
        Code::Unimplemented => {
            (FailureKind::Usage, "the agent is older than this client: update the agent's image, or use its client")
        }
        Code::Unauthenticated => (FailureKind::Policy, "give the client the agent's token in REMORA_TOKEN"),
        Code::PermissionDenied => (FailureKind::Policy, ""),
        Code::InvalidArgument => (FailureKind::Usage, ""),
        Code::Cancelled => (FailureKind::Cancelled, ""),
        Code::Unavailable | Code::Unknown => (FailureKind::Agent, STOPPED),
        _ => (FailureKind::Internal, "look at the agent's log"),
    };
    Failure::new(kind, format!("the agent answered {:?}: {}", status.code(), status.message())).next(next)
}

/// HTTP/2 header lists are limited to 16 KiB by default; base64 takes a third more.
const DETAILS_LIMIT: usize = 8 << 10;

fn fitting(mut failure: pb::Failure) -> pb::Failure {
    while failure.encoded_len() > DETAILS_LIMIT && !failure.log.is_empty() {
        failure.log.remove(0);
    }
    if failure.encoded_len() > DETAILS_LIMIT {
        failure.excerpt = None;
        failure.step.truncate(failure.step.floor_char_boundary(1000));
        let end = failure.what.floor_char_boundary(DETAILS_LIMIT / 2);
        failure.what.truncate(end);
    }
    failure
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line[..line.floor_char_boundary(1000)].to_owned()
}

fn to_kind(kind: FailureKind) -> pb::FailureKind {
    match kind {
        FailureKind::Build => pb::FailureKind::Build,
        FailureKind::Usage => pb::FailureKind::Usage,
        FailureKind::Engine => pb::FailureKind::Engine,
        FailureKind::Registry => pb::FailureKind::Registry,
        FailureKind::Policy => pb::FailureKind::Policy,
        FailureKind::Cancelled => pb::FailureKind::Cancelled,
        FailureKind::Agent | FailureKind::Lost => pb::FailureKind::Agent,
        FailureKind::Busy => pb::FailureKind::Busy,
        FailureKind::NotFound => pb::FailureKind::NotFound,
        FailureKind::Internal => pb::FailureKind::Unspecified,
    }
}

fn from_kind(kind: pb::FailureKind) -> FailureKind {
    match kind {
        pb::FailureKind::Build => FailureKind::Build,
        pb::FailureKind::Usage => FailureKind::Usage,
        pb::FailureKind::Engine => FailureKind::Engine,
        pb::FailureKind::Registry => FailureKind::Registry,
        pb::FailureKind::Policy => FailureKind::Policy,
        pb::FailureKind::Cancelled => FailureKind::Cancelled,
        pb::FailureKind::Agent => FailureKind::Agent,
        pb::FailureKind::Busy => FailureKind::Busy,
        pb::FailureKind::NotFound => FailureKind::NotFound,
        pb::FailureKind::Unspecified => FailureKind::Internal,
    }
}

fn to_excerpt(excerpt: Excerpt) -> pb::Excerpt {
    let Excerpt { file, first_line, lines, from_line, to_line } = excerpt;
    pb::Excerpt { file, first_line, lines, from_line, to_line }
}

fn from_excerpt(excerpt: pb::Excerpt) -> Excerpt {
    let pb::Excerpt { file, first_line, lines, from_line, to_line } = excerpt;
    Excerpt { file, first_line, lines, from_line, to_line }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_failure_survives_the_wire() {
        let failure = Failure {
            kind: FailureKind::Build,
            what: "RUN make: exit code: 2".to_owned(),
            next: "look above".to_owned(),
            step: "[2/2] RUN make".to_owned(),
            log: vec!["make: *** no rule".to_owned()],
            excerpt: Some(Excerpt {
                file: "Dockerfile".to_owned(),
                first_line: 3,
                lines: vec!["RUN make".to_owned()],
                from_line: 3,
                to_line: 3,
            }),
        };
        assert_eq!(from_status(&to_status(failure.clone())), failure);
    }

    #[test]
    fn an_agent_without_the_method_is_called_too_old() {
        let failure = from_status(&Status::unimplemented("x"));
        assert_eq!(failure.kind, FailureKind::Usage);
        assert!(failure.next.contains("older"));
    }

    proptest! {
        #[test]
        fn a_failure_always_fits_a_header(what in "\\PC{0,20000}", log in proptest::collection::vec("\\PC{0,2000}", 0..20)) {
            let failure = Failure { log, ..Failure::new(FailureKind::Build, what) };
            let status = to_status(failure);
            prop_assert!(status.details().len() <= DETAILS_LIMIT + 64);
            prop_assert!(status.message().len() <= 1000);
        }
    }
}
