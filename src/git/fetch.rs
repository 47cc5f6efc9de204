//! A repository > a directory, as `BuildKit`'s own git source makes it.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::{
    Login, Source,
    fault::{self, failure},
    program::{Fault, Git},
    source::Transport,
    ssh::{self, AgentSocket},
};
use crate::{
    model::{Failure, FailureKind},
    session::Lent,
};

/// How long a fetch may take in all, with its submodules.
const PATIENCE: Duration = Duration::from_mins(60);

/// A checkout. Its files go when it is dropped.
pub struct Checkout {
    /// The commit that was fetched.
    pub commit: String,
    directory: PathBuf,
    room: Option<TempDir>,
}

impl Checkout {
    /// What of it is the build context.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let Some(room) = self.room.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(|| drop(room))),
            Err(_) => drop(room),
        }
    }
}

/// Fetches what is wanted of a repository: one commit, without its history where the host can do that. Dropped, it ends
/// git and leaves nothing behind.
pub async fn fetch(source: &Source, login: &Login, lent: &Lent) -> Result<Checkout, Failure> {
    let broken = |error: io::Error| {
        Failure::new(FailureKind::Agent, format!("the agent has no place for a git context: {error}"))
            .next("give the agent's temporary directory (TMPDIR) room")
    };
    let room = tempfile::Builder::new()
        .prefix("remora-git-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()
        .map_err(broken)?;
    let (home, tree) = (room.path().join("home"), room.path().join("tree"));
    fs::create_dir(&home).map_err(broken)?;
    fs::create_dir(&tree).map_err(broken)?;
    let mut checkout = Checkout { commit: String::new(), directory: tree.clone(), room: Some(room) };
    let agent = match source.transport {
        Transport::Ssh => Some(socket(source, &home, lent).await?),
        Transport::Http | Transport::Git => None,
    };
    let git = Git::new(&home, &tree, source, login, agent.as_ref().map(|agent| agent.path.as_path()));
    let fetched = tokio::time::timeout(PATIENCE, Fetch { git, source }.run()).await;
    let late = |_| Err(Fault(format!("it took more than {} minutes", PATIENCE.as_secs() / 60)));
    checkout.commit = fetched.unwrap_or_else(late).map_err(|fault| failure(source, login, &fault.0))?;
    let (wanted, keep) = (source.directory.clone(), source.keep_git);
    let directory = spawn_blocking(move || {
        if !keep {
            without_git(&tree)?;
        }
        below(&tree, &wanted)
    });
    checkout.directory =
        directory.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into())).map_err(|error| {
            let what = format!("{}: the repository has no directory {}: {error}", source.name(), source.directory);
            Failure::new(FailureKind::Build, what).next("name one that is there, as in URL#REF:DIRECTORY")
        })?;
    Ok(checkout)
}

async fn socket(source: &Source, home: &Path, lent: &Lent) -> Result<AgentSocket, Failure> {
    if !lent.has_ssh_agent(ssh::DEFAULT).await {
        let what = fault::cannot_fetch(source, "it is reached by SSH, and the client lends no SSH agent");
        return Err(Failure::new(FailureKind::Build, what).next("lend one to the build, with --ssh default"));
    }
    AgentSocket::listen(home, lent.clone()).map_err(|error| {
        Failure::new(FailureKind::Agent, format!("the agent has no socket in {}: {error}", home.display()))
            .next("give the agent a temporary directory (TMPDIR) with room and a short name: a socket's has 107 bytes at most")
    })
}

struct Fetch<'a> {
    git: Git,
    source: &'a Source,
}

impl Fetch<'_> {
    /// Returns the commit.
    async fn run(&self) -> Result<String, Fault> {
        let reference = self.resolve().await?;
        let format = if reference.len() == 64 && is_commit(&reference) { "sha256" } else { "sha1" };
        self.git.run(&["init", "--quiet", "--template=", &format!("--object-format={format}")]).await?;
        // What relative URLs of submodules are relative to.
        self.git.run(&["config", "remote.origin.url", &self.source.url]).await?;
        self.fetch(&reference).await?;
        let target = if is_commit(&reference) { &reference } else { "FETCH_HEAD" };
        self.git.run(&["checkout", "--quiet", "--detach", target, "--"]).await?;
        let commit = self.git.run(&["rev-parse", "HEAD"]).await?.trim().to_owned();
        if let Some(wanted) = self.source.commit.as_ref().filter(|wanted| !commit.starts_with(wanted.as_str())) {
            return Err(Fault(format!("expected checksum to match {wanted}, got {commit}")));
        }
        if self.source.submodules {
            let args = ["submodule", "--quiet", "update", "--init", "--recursive", "--checkout", "--depth=1"];
            self.git.run(&args).await?;
        }
        Ok(commit)
    }

    /// The whole name of what is wanted. A branch goes before a tag of its name, as `BuildKit` has it.
    async fn resolve(&self) -> Result<String, Fault> {
        let Some(wanted) = &self.source.reference else { return Ok("HEAD".to_owned()) };
        if is_commit(wanted) || wanted.starts_with("refs/") {
            return Ok(wanted.clone());
        }
        let names = ["refs/", "refs/heads/", "refs/tags/"].map(|below| format!("{below}{wanted}"));
        let [whole, branch, tag] = &names;
        let listed = self.git.run(&["ls-remote", "--quiet", "--", &self.source.url, whole, branch, tag]).await?;
        let has =
            |name: &&String| listed.lines().any(|line| line.split_once('\t').is_some_and(|(_, found)| found == *name));
        names.iter().find(has).cloned().ok_or_else(|| Fault(format!("couldn't find remote ref {wanted}")))
    }

    async fn fetch(&self, reference: &str) -> Result<(), Fault> {
        let url = self.source.url.as_str();
        let shallow = self.git.run(&["fetch", "--quiet", "--no-tags", "--depth=1", "--", url, reference]).await;
        let Err(Fault(why)) = shallow else { return Ok(()) };
        // A host that gives no part of a history, or no commit that no ref names.
        if why.contains("shallow") || why.contains("--depth") {
            return self.git.run(&["fetch", "--quiet", "--no-tags", "--", url, reference]).await.map(drop);
        }
        if is_commit(reference) && (why.contains("not our ref") || why.contains("unadvertised object")) {
            let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
            return self.git.run(&["fetch", "--quiet", "--", url, all[0], all[1]]).await.map(drop);
        }
        Err(Fault(why))
    }
}

/// Whether this is the whole id of a commit.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
}

/// Removes what git needs for itself: in a submodule it is a file.
fn without_git(tree: &Path) -> io::Result<()> {
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        match (entry.file_name() == ".git", kind.is_dir()) {
            (true, true) => fs::remove_dir_all(entry.path())?,
            (true, false) => fs::remove_file(entry.path())?,
            (false, true) => without_git(&entry.path())?,
            (false, false) => {}
        }
    }
    Ok(())
}

/// A directory in the tree. No part of its name may be a link: it could lead anywhere.
fn below(tree: &Path, directory: &str) -> io::Result<PathBuf> {
    let mut path = tree.to_owned();
    for part in directory.split('/').filter(|part| !part.is_empty()) {
        path.push(part);
        if !fs::symlink_metadata(&path)?.is_dir() {
            return Err(io::Error::other(format!("{part} is no directory")));
        }
    }
    Ok(path)
}
