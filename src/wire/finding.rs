//! What is asked and found in a look at the surroundings <-> protobuf.

use super::request::{check_revision, references, session, usage};
use crate::{
    model::{DiagnoseRequest, Failure, Finding, Level},
    pb,
};

/// The revision that brought this call.
const REVISION: u32 = 3;
/// Registries that one request may name.
const MOST: usize = 32;

impl TryFrom<pb::DiagnoseRequest> for DiagnoseRequest {
    type Error = Failure;

    fn try_from(request: pb::DiagnoseRequest) -> Result<Self, Failure> {
        let pb::DiagnoseRequest { revision, session: id, repositories } = request;
        check_revision(revision)?;
        if repositories.len() > MOST {
            return Err(usage(format!("{} repositories are too many: {MOST} at most", repositories.len())));
        }
        let session = if id.is_empty() { None } else { Some(session(&id)?) };
        Ok(Self { session, repositories: references(&repositories)? })
    }
}

impl From<DiagnoseRequest> for pb::DiagnoseRequest {
    fn from(request: DiagnoseRequest) -> Self {
        let DiagnoseRequest { session, repositories } = request;
        let repositories = repositories.iter().map(ToString::to_string).collect();
        Self { revision: REVISION, session: session.map(|id| id.0).unwrap_or_default(), repositories }
    }
}

impl From<Finding> for pb::Finding {
    fn from(finding: Finding) -> Self {
        let Finding { level, about, what, next } = finding;
        let level = match level {
            Level::Ok => pb::FindingLevel::Ok,
            Level::Warning => pb::FindingLevel::Warning,
            Level::Error => pb::FindingLevel::Error,
        };
        Self { level: level.into(), about, what, next }
    }
}

impl From<pb::Finding> for Finding {
    fn from(finding: pb::Finding) -> Self {
        let level = match finding.level() {
            pb::FindingLevel::Ok => Level::Ok,
            pb::FindingLevel::Warning => Level::Warning,
            // Of a newer agent.
            pb::FindingLevel::Error | pb::FindingLevel::Unspecified => Level::Error,
        };
        let pb::Finding { level: _, about, what, next } = finding;
        Self { level, about, what, next }
    }
}
