//! Requests about the builds that run <-> protobuf.

use super::request::{check_revision, usage};
use crate::{
    model::{CancelRequest, Failure},
    pb,
};

/// The revision that brought these calls.
const REVISION: u32 = 3;

/// Longest name of who ends a build, in bytes.
const LONGEST_NAME: usize = 200;

impl TryFrom<pb::CancelRequest> for CancelRequest {
    type Error = Failure;

    fn try_from(request: pb::CancelRequest) -> Result<Self, Failure> {
        let pb::CancelRequest { revision, build, by } = request;
        check_revision(revision)?;
        if build.is_empty() {
            return Err(usage("no build is named").next("give its id, or the beginning of it"));
        }
        // It is shown to others.
        if by.len() > LONGEST_NAME || by.chars().any(char::is_control) {
            return Err(usage("the name of who ends a build has up to 200 bytes, and no control characters"));
        }
        Ok(Self { build, by: if by.is_empty() { "somebody".to_owned() } else { by } })
    }
}

impl From<CancelRequest> for pb::CancelRequest {
    fn from(request: CancelRequest) -> Self {
        let CancelRequest { build, by } = request;
        Self { revision: REVISION, build, by }
    }
}
