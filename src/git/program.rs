//! Runs git, and ends it.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
};

use super::{Login, Source};

/// Bytes of git's output that are kept: the last ones.
const KEPT: usize = 64 << 10;
/// Runs git with the permissions of files that `BuildKit`'s git makes: they are part of what a build sees.
const SHELL: &str = "umask 022; exec git \"$@\"";
/// How long git may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first git that takes its configuration from the environment.
const SINCE: (u32, u32) = (2, 31);
/// Variables of the agent that git needs as well: where programs, proxies and certificates are.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
];
/// What holds for every repository. Hosts that say nothing for a minute are given up.
const CONFIG: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("credential.helper", ""),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
    ("init.defaultBranch", "main"),
    ("advice.detachedHead", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
];

/// Whether there is a git that can be used here.
pub async fn is_there() -> bool {
    let mut command = Command::new("git");
    command.arg("version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => version(&String::from_utf8_lossy(&output.stdout)) >= Some(SINCE),
        _ => false,
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix("git version ")?.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Git with the environment for one repository.
pub(super) struct Git {
    work: PathBuf,
    variables: Vec<(OsString, OsString)>,
    secrets: Vec<String>,
}

/// What git said as it failed, without secrets.
#[derive(Debug)]
pub(super) struct Fault(pub(super) String);

impl Git {
    /// For work in `work`; what it writes besides lies in `home`. `agent` is the socket of an SSH agent.
    pub(super) fn new(home: &Path, work: &Path, source: &Source, login: &Login, agent: Option<&Path>) -> Self {
        let mut variables: Vec<(OsString, OsString)> =
            PASSED_ON.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
        let mut set = |name: &str, value: OsString| variables.push((name.into(), value));
        set("HOME", home.into());
        set("LC_ALL", "C".into());
        set("GIT_CONFIG_NOSYSTEM", "1".into());
        set("GIT_CONFIG_GLOBAL", "/dev/null".into());
        set("GIT_TERMINAL_PROMPT", "0".into());
        // Not `file`, and no program that a URL names: neither for the repository nor for its submodules.
        set("GIT_ALLOW_PROTOCOL", "http:https:ssh:git".into());
        set("GIT_SSH_VARIANT", "ssh".into());
        set("GIT_SSH_COMMAND", ssh(agent).into());
        if let Some(agent) = agent {
            set("SSH_AUTH_SOCK", agent.into());
        }
        for (name, value) in login.variables() {
            set(name, value.into());
        }
        let config = CONFIG.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let config: Vec<_> = config.chain(login.config(source)).collect();
        set("GIT_CONFIG_COUNT", config.len().to_string().into());
        for (at, (key, value)) in config.into_iter().enumerate() {
            set(&format!("GIT_CONFIG_KEY_{at}"), key.into());
            set(&format!("GIT_CONFIG_VALUE_{at}"), value.into());
        }
        let secrets = login.secrets().into_iter().filter(|secret| secret.len() > 3).map(str::to_owned).collect();
        Self { work: work.to_owned(), variables, secrets }
    }

    /// Runs it to its end; what it printed. Dropped, it is killed with all that it started.
    pub(super) async fn run(&self, args: &[&str]) -> Result<String, Fault> {
        let mut command = Command::new("sh");
        command
            .args(["-c", SHELL, "git"])
            .args(args)
            .current_dir(&self.work)
            .env_clear()
            .envs(self.variables.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let fault = |error: io::Error| Fault(format!("git cannot be run: {error}"));
        let mut child = command.spawn().map_err(fault)?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let mut group = Group(Some(child));
        let (output, errors, status) = tokio::join!(last(output), last(errors), group.wait());
        if status.map_err(fault)?.success() { Ok(output) } else { Err(Fault(self.without_secrets(errors))) }
    }

    fn without_secrets(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// What git runs as ssh, in a shell. It reads no configuration, offers no key of the agent's own user, and remembers a
/// host's key for this fetch only; one that the machine's `/etc/ssh/ssh_known_hosts` has must be that.
fn ssh(agent: Option<&Path>) -> String {
    let agent = if agent.is_some() { "SSH_AUTH_SOCK" } else { "none" };
    format!(
        "ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o PreferredAuthentications=publickey \
         -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=\"$HOME/known_hosts\" -o ConnectTimeout=30 \
         -o ServerAliveInterval=15 -o IdentityAgent={agent}"
    )
}

/// A process and all that it started.
struct Group(Option<Child>);

impl Group {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.0 {
            Some(child) => child.wait().await,
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its id is its own until it was waited for.
        let Some(mut child) = self.0.take() else { return };
        let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
        // It fails where all have ended by themselves.
        let _ = kill_process_group(id, Signal::KILL);
        // Else it stays in the table of processes until another one ends.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move { drop(child.wait().await) }));
        }
    }
}

async fn last(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        while let Ok(1..) = from.read_buf(&mut kept).await {
            if kept.len() > 2 * KEPT {
                kept.drain(..kept.len() - KEPT);
            }
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_git_prints_it() {
        assert_eq!(version("git version 2.39.5\n"), Some((2, 39)));
        assert_eq!(version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(version("gat"), None);
    }
}
