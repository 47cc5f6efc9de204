//! The agent, as a process.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{Client, Engine};

/// A running `remora-agent`. Ends with this value.
pub(crate) struct Agent {
    process: Child,
    dir: TempDir,
}

impl Agent {
    /// An agent beside this running engine, ready. It lets RUN steps use the host's network: the engines here have no
    /// other.
    pub(crate) fn start(engine: &Engine) -> Self {
        let agent = Self::start_with(engine, &["--allow-entitlement", "network.host"]);
        agent.ready();
        agent
    }

    /// Waits until it answers for its engine.
    pub(crate) fn ready(&self) {
        let client = self.client();
        let answers = || client.run(&["info", "--wait", "5s"]).status.success().then_some(());
        super::eventually("the agent is ready", Duration::from_secs(10), answers);
    }

    /// An agent with these flags and no others, which listens, and may not know its engine yet. It finds the engine by `DOCKER_HOST` and its like.
    pub(crate) fn start_with(engine: &Engine, args: &[&str]) -> Self {
        Self::spawn(engine, args, &[])
    }

    /// The same with these variables.
    pub(crate) fn start_where(engine: &Engine, args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(engine, args, variables)
    }

    /// One that finds no git, ready.
    pub(crate) fn start_without_git(engine: &Engine) -> Self {
        let agent = Self::spawn(engine, &["--allow-entitlement", "network.host"], &[("PATH", "/nonexistent")]);
        agent.ready();
        agent
    }

    /// One whose temporary directory is this, ready.
    pub(crate) fn start_with_temporary(engine: &Engine, directory: &std::path::Path) -> Self {
        let directory = directory.to_str().unwrap();
        let agent = Self::spawn(engine, &["--allow-entitlement", "network.host"], &[("TMPDIR", directory)]);
        agent.ready();
        agent
    }

    /// One in the same pod as this engine, ready.
    pub(crate) fn start_in_pod(pod: &super::Pod, engine: &Engine) -> Self {
        let socket = format!("unix://{}/engine.sock", engine.dir().display());
        let shell = pod.command("/bin/sh");
        let agent = Self::spawn_by(shell, engine, &["--engine", &socket], &[]);
        agent.ready();
        agent
    }

    /// One that wants this token. It listens where the flags say.
    pub(crate) fn start_with_token(engine: &Engine, args: &[&str], token: &str) -> Self {
        Self::spawn(engine, args, &[("REMORA_TOKEN", token)])
    }

    fn spawn(engine: &Engine, args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn_by(super::program("/bin/sh"), engine, args, variables)
    }

    fn spawn_by(mut shell: Command, engine: &Engine, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let dir = super::scratch();
        let log = File::create(dir.path().join("agent.log")).unwrap();
        let socket = format!("unix://{}/agent.sock", dir.path().display());
        let listen = if args.contains(&"--listen") { vec![] } else { vec!["--listen", &socket] };
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        // As strict as a service may be.
        let process = shell
            .args(["-c", "umask 077; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_remora-agent")])
            .env("TMPDIR", dir.path().join("tmp"))
            .envs(variables.iter().copied())
            .args(listen)
            .args(args)
            .envs(engine.env())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        if !args.contains(&"--listen") {
            let listens = || dir.path().join("agent.sock").exists().then_some(());
            super::eventually("the agent listens", Duration::from_secs(5), listens);
        }
        Self { process, dir }
    }

    /// One that listens on this address of loopback and wants this token, ready.
    pub(crate) fn start_on(engine: &Engine, url: &str, token: &str) -> Self {
        let args = ["--allow-entitlement", "network.host", "--listen", url];
        let agent = Self::spawn(engine, &args, &[("REMORA_TOKEN", token)]);
        let client = Client::new(url).env("REMORA_TOKEN", token);
        let answers = || client.run(&["info", "--wait", "5s"]).status.success().then_some(());
        super::eventually("the agent is ready", Duration::from_secs(10), answers);
        agent
    }

    /// Where it listens, unless it was told otherwise.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}/agent.sock", self.dir.path().display())
    }

    /// A client of this agent.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// Sends a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("agent.log")).unwrap()
    }

    /// What lies in its temporary directory.
    pub(crate) fn temporary(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("tmp")).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// How many processes it has started that still run.
    pub(crate) fn children(&self) -> usize {
        let file = format!("/proc/{0}/task/{0}/children", self.process.id());
        let tasks = std::path::Path::new(&file).parent().and_then(std::path::Path::parent).unwrap().to_owned();
        let lists = std::fs::read_dir(tasks).unwrap().flatten().map(|task| task.path().join("children"));
        lists.filter_map(|list| std::fs::read_to_string(list).ok()).map(|list| list.split_whitespace().count()).sum()
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether this is anywhere in its memory.
    pub(crate) fn remembers(&self, text: &str) -> bool {
        let proc = std::path::PathBuf::from(format!("/proc/{}", self.process.id()));
        let memory = File::open(proc.join("mem")).unwrap();
        let maps = std::fs::read_to_string(proc.join("maps")).unwrap();
        let writable = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")));
        let ranges = writable.filter_map(|line| line.split(' ').next()?.split_once('-'));
        ranges.map(|(from, to)| [from, to].map(|at| u64::from_str_radix(at, 16).unwrap())).any(|[from, to]| {
            let mut content = vec![0; usize::try_from(to - from).unwrap()];
            // A part that cannot be read is not there.
            memory.read_exact_at(&mut content, from).is_ok() && contains(&content, text.as_bytes())
        })
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("agent.log")).unwrap_or_default();
            eprintln!("--- the agent's log\n{log}");
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn contains(content: &[u8], text: &[u8]) -> bool {
    content.windows(text.len()).any(|part| part == text)
}
