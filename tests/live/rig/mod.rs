//! What a live test stands on: engines, registries, an agent, and the client.

mod agent;
mod authority;
mod client;
mod cluster;
mod engine;
mod fault;
mod git;
mod image;
mod manifests;
mod pod;
mod registry;
mod terminal;
mod token;

pub(crate) use agent::Agent;
pub(crate) use authority::{ADDRESS, ApiServer, Authority, outside};
pub(crate) use client::{Client, Outcome};
pub(crate) use cluster::{Cluster, Namespace, REGISTRY, manifests, repository, static_programs, succeeded};
pub(crate) use engine::{Engine, Kind};
pub(crate) use fault::{Fault, FaultyRegistry};
pub(crate) use git::{GitServer, SshServer, git, ssh_keygen};
pub(crate) use image::Image;
pub(crate) use manifests::{Manifest, sha256};
pub(crate) use pod::Pod;
pub(crate) use registry::{Registry, Request};
pub(crate) use terminal::rows;
pub(crate) use token::TokenService;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Where everything of this run lies: `tests/run.sh` makes it and removes it.
fn live_dir() -> PathBuf {
    std::env::var_os("REMORA_LIVE_DIR").expect("live tests run under tests/run.sh").into()
}

/// A directory of one test, gone with it.
pub(crate) fn scratch() -> TempDir {
    TempDir::with_prefix_in("test-", live_dir()).unwrap()
}

/// One of our programs, which knows nothing of the job that these tests run in: neither its branch nor its settings.
pub(crate) fn program(path: &str) -> Command {
    const SHOWN_BY: &[&str] = &[
        "BUILDKITE",
        "BUILDKIT_COLORS",
        "BUILDKIT_PROGRESS",
        "BUILDKIT_TTY_LOG_LINES",
        "CI",
        "CIRCLECI",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "COLUMNS",
        "GITHUB_ACTIONS",
    ];
    let mut command = Command::new(path);
    for name in remora::model::CI_VARIABLES.iter().chain(SHOWN_BY) {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REMORA_")) {
        command.env_remove(name);
    }
    command
}

/// A registry, and an agent at the shared engine of this kind, which has the base image's layers already: it may have
/// begun to fetch them from another test's registry, which is gone by the time it goes on.
pub(crate) fn with_base(kind: Kind) -> (Registry, Agent) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    engine.pull(&registry.image("base:1"));
    (registry, Agent::start(&engine))
}

/// A build context with these files.
pub(crate) fn context(files: &[(&str, &str)]) -> TempDir {
    let dir = scratch();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none in time.
pub(crate) fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// MB that a process has used at most; 0 where it is gone.
pub(crate) fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// The processes, in whatever container, whose command line is these words.
pub(crate) fn processes(command: &[&str]) -> Vec<u32> {
    let wanted: Vec<u8> = command.iter().flat_map(|word| word.bytes().chain([0])).collect();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted))
        .collect()
}

/// A word that no other test uses: names of repositories, lengths of sleeps.
pub(crate) fn unique() -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{}{}", std::process::id(), nanos % 1_000_000_000)
}

/// Runs one of the scripts in tests/lib and returns the last line it printed.
pub(crate) fn script(name: &str, args: &[&str]) -> String {
    script_with(&[], name, args)
}

/// The same with these variables.
fn script_with(variables: &[(&str, &str)], name: &str, args: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lib").join(name);
    let output = Command::new(path).args(args).envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}
