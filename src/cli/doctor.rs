//! `remora doctor`.

use std::{fs, os::unix::fs::PermissionsExt as _, process::ExitCode};

use super::{
    args::{Connection, Doctor},
    connect, lend,
    progress::Choice,
    text,
};
use crate::{
    model::{DiagnoseRequest, Failure, FailureKind, Finding, Level},
    pb, wire,
};

/// Exit code 1 where something is wrong.
pub(super) async fn doctor(connection: &Connection, args: Doctor) -> Result<ExitCode, Failure> {
    let mut agent = connect::connect(connection).await?;
    let session = match args.repositories.as_slice() {
        [] => None,
        _ => Some(lend::lend(&agent.client, lend::Lending::credentials())?),
    };
    let id = session.as_ref().map(|session| session.id.clone());
    let request = DiagnoseRequest { session: id, repositories: args.repositories };
    let answer = agent.client.diagnose(pb::DiagnoseRequest::from(request)).await;
    let answer = answer.map_err(|status| match status.code() {
        tonic::Code::Unimplemented => Failure::new(FailureKind::Usage, "the agent is older than this command")
            .next("update the agent's image, or use the client of the agent's version"),
        _ => wire::from_status(&status),
    })?;
    let mut findings: Vec<Finding> = answer.into_inner().findings.into_iter().map(Into::into).collect();
    findings.extend(socket(&connection.agent));
    if args.json {
        text::data(&format!("{:#}", json(&findings)));
    } else {
        print(&findings);
    }
    let wrong = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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

fn json(findings: &[Finding]) -> serde_json::Value {
    let finding = |Finding { level, about, what, next }: &Finding| serde_json::json!({ "level": level.as_str(), "about": about, "what": what, "next": next });
    findings.iter().map(finding).collect()
}
