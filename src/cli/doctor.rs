//! `remora doctor`.

use std::{fs, os::unix::fs::PermissionsExt as _, process::ExitCode};

use super::{
    args::{Connection, Doctor},
    connect::Agent,
    exit::Failures,
    lend, pool,
    progress::Choice,
    text,
};
use crate::{
    model::{DiagnoseRequest, Failure, FailureKind, Finding, Level, Reference},
    pb, wire,
};

/// Exit code 1 where something is wrong.
pub(super) async fn doctor(connection: &Connection, args: Doctor) -> Result<ExitCode, Failure> {
    let (mut told, mut wrong, mut failures) = (Vec::new(), false, Failures::default());
    for member in pool::all(connection).await? {
        if !args.json {
            member.head();
        }
        let mut findings = match diagnose(member.agent, &args.repositories).await {
            Ok(findings) => findings,
            Err(failure) => {
                failures.add(member.name.as_deref(), failure);
                continue;
            }
        };
        findings.extend(socket(&member.address));
        wrong |= findings.iter().any(|finding| finding.level == Level::Error);
        if args.json {
            told.extend(findings.iter().map(|finding| json(member.name.as_deref(), finding)));
        } else {
            print(&findings);
        }
    }
    if args.json {
        text::data(&format!("{:#}", serde_json::Value::from(told)));
    }
    failures.end()?;
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn diagnose(mut agent: Agent, repositories: &[Reference]) -> Result<Vec<Finding>, Failure> {
    let session = match repositories {
        [] => None,
        _ => Some(lend::lend(&agent.client, lend::Lending::credentials())?),
    };
    let id = session.as_ref().map(|session| session.id.clone());
    let request = DiagnoseRequest { session: id, repositories: repositories.to_vec() };
    let answer = agent.client.diagnose(pb::DiagnoseRequest::from(request)).await;
    let answer = answer.map_err(|status| match status.code() {
        tonic::Code::Unimplemented => Failure::new(FailureKind::Usage, "the agent is older than this command")
            .next("update the agent's image, or use the client of the agent's version"),
        _ => wire::from_status(&status),
    })?;
    Ok(answer.into_inner().findings.into_iter().map(Into::into).collect())
}

/// Who else may use the socket that we came by.
fn socket(agent: &str) -> Option<Finding> {
    let path = agent.strip_prefix("unix://")?;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let about = "socket";
    Some(match mode & 0o002 {
        0 => Finding::ok(about, format!("{path} is for its owner and its group (mode {mode:04o})")),
        _ => Finding::error(
            about,
            format!("{path} is open to every user (mode {mode:04o})"),
            "take the others' right to write away (chmod o-w); the agent makes its socket with mode 0660",
        ),
    })
}

fn print(findings: &[Finding]) {
    for Finding { level, about, what, next } in findings {
        text::data(&Choice::harmless(&format!("{:<8} {about:<9} {what}", level.as_str())));
        if !next.is_empty() {
            text::data(&Choice::harmless(&format!("{:<18} next: {next}", "")));
        }
    }
}

fn json(agent: Option<&str>, Finding { level, about, what, next }: &Finding) -> serde_json::Value {
    serde_json::json!({ "agent": agent, "level": level.as_str(), "about": about, "what": what, "next": next })
}
