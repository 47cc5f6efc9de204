//! Opens the session in which the client serves its context and credentials.

use std::{
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::PathBuf,
};

use tonic::metadata::{Ascii, MetadataValue};

use super::{connect::Client, context::Context, dockerfile::Dockerfile};
use crate::{
    digest::sha256,
    model::{Failure, FailureKind, SessionId},
    pb::SessionData,
    session::{self, Attachables, Credentials, Directory, METHODS, Secrets, SshAgents, Taker, pipe},
};

/// What is lent.
pub(super) struct Lending {
    attachables: Attachables,
    shared_key: String,
}

impl Lending {
    /// Credentials alone.
    pub(super) fn credentials() -> Self {
        Self { attachables: attachables(), shared_key: String::new() }
    }

    /// What a build needs. Of the Dockerfile's directory, no more than what belongs to the file of that name.
    pub(super) fn build(context: &Context, (secrets, ssh): (Secrets, SshAgents)) -> Result<Self, Failure> {
        let (upload, layouts) = (context.upload.clone(), context.named.layouts.clone());
        let mut attachables = Attachables { secrets, ssh, layouts, upload, ..attachables() };
        if let Some(directory) = &context.directory {
            attachables.dirs.insert("context".to_owned(), Directory::whole(directory.clone()));
        }
        let Dockerfile { directory, name, .. } = &context.dockerfile;
        if let Some(directory) = directory {
            let dockerfile = Directory::of_dockerfile(directory.clone(), name.as_ref());
            attachables.dirs.insert("dockerfile".to_owned(), dockerfile);
        }
        for (name, directory) in &context.named.directories {
            attachables.dirs.insert(name.clone(), Directory::whole(directory.clone()));
        }
        let lent: Vec<_> = context.directory.iter().chain(context.named.directories.values()).collect();
        // Without one of them nobody else may have the key.
        let shared_key = if lent.is_empty() { random()? } else { shared_key(&lent) };
        Ok(Self { attachables, shared_key })
    }
}

impl Lending {
    /// The same, and what the engine exports goes there.
    pub(super) fn taking(mut self, taker: Taker) -> Self {
        self.attachables.taker = Some(taker);
        self
    }
}

fn attachables() -> Attachables {
    let credentials = Credentials::find(std::env::var_os("DOCKER_CONFIG"), std::env::var_os("HOME"))
        .with_variables(|name| std::env::var(name).ok());
    Attachables { credentials, ..Attachables::default() }
}

/// Contexts with the same key send only what changed since the last time, as size and times tell it. So the key must be
/// that of these very directories: two pods may share names and paths, and nobody else should guess it.
fn shared_key(directories: &[&PathBuf]) -> String {
    let mut identity = Vec::new();
    for part in ["/proc/sys/kernel/hostname", "/etc/machine-id"] {
        identity.extend(std::fs::read(part).unwrap_or_default());
        identity.push(0);
    }
    for path in directories {
        if let Ok(directory) = std::fs::metadata(path) {
            let born = directory.created().map(|time| format!("{time:?}")).unwrap_or_default();
            identity.extend(format!("{}:{}:{born}:", directory.dev(), directory.ino()).bytes());
        }
        identity.extend_from_slice(path.as_os_str().as_bytes());
        identity.push(0);
    }
    sha256(&identity)
}

/// An open session.
pub(super) struct Session {
    pub(super) id: SessionId,
    problems: session::Problems,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ran(failure: &Failure) -> bool {
    failure.kind == FailureKind::Build && failure.what.contains("exit code")
}

impl Session {
    /// What went wrong here explains better than what the engine made of it.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let odd_name = self.problems.odd_name().filter(|_| failure.what.contains("invalid UTF-8")).cloned();
        // A step that failed was run: what was not lent did not keep it from that.
        let found = self.problems.list().into_iter().next().filter(|_| !ran(&failure));
        match found.or(odd_name) {
            Some(problem) => Failure::new(FailureKind::Usage, problem.what).next(problem.next),
            None => failure,
        }
    }
}

/// Opens a session. The call that names it may be made at once: the agent waits for the session to arrive.
pub(super) fn lend(client: &Client, lending: Lending) -> Result<Session, Failure> {
    let id = random()?;
    let (writer, outgoing) = pipe::<SessionData>();
    let mut request = tonic::Request::new(outgoing);
    let metadata = request.metadata_mut();
    metadata.insert("remora-session", ascii(&id)?);
    metadata.insert("remora-shared-key", ascii(&lending.shared_key)?);
    for method in METHODS {
        metadata.append("remora-method", MetadataValue::from_static(method));
    }
    let problems = lending.attachables.problems.clone();
    let mut client = client.clone();
    let task = tokio::spawn(async move {
        // Without a session the call that names it fails, and says so.
        let Ok(incoming) = client.session(request).await else { return };
        drop(session::serve(writer.join(incoming.into_inner()), lending.attachables).await);
    });
    Ok(Session { id: SessionId(id), problems, task })
}

/// 32 hexadecimal digits. Asked of the kernel itself: in an empty root there is no /dev/random to fall back to.
pub(super) fn random() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(16) => Ok(format!("{:032x}", u128::from_ne_bytes(bytes))),
        _ => Err(Failure::new(FailureKind::Internal, "the kernel gives no random numbers")),
    }
}

fn ascii(text: &str) -> Result<MetadataValue<Ascii>, Failure> {
    text.parse().map_err(|_| Failure::new(FailureKind::Internal, "a session's metadata cannot be sent"))
}
