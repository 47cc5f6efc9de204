//! The agent's program: what it answers to those who start it in a pod.
#![cfg(all(feature = "client", feature = "agent"))]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

fn agent(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remora-agent"));
    // Not with settings of whoever runs the tests.
    command.env_clear().args(args).stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn says(output: &Output, code: i32, word: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(word), "'{word}' is not in: {told}");
}

/// An agent whose engine is not there.
struct Lonely(Child);

impl Lonely {
    fn start(dir: &Path) -> (Self, String) {
        let url = format!("unix://{}/agent.sock", dir.display());
        let engine = format!("unix://{}/engine.sock", dir.display());
        let child = agent(&["--engine", &engine, "--listen", &url]).stderr(Stdio::null()).spawn().unwrap();
        let agent = Self(child);
        says(&healthcheck(&url, &["--live", "--wait", "10s"]), 0, "");
        (agent, url)
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Lonely {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn healthcheck(url: &str, more: &[&str]) -> Output {
    agent(&["healthcheck", "--agent", url]).args(more).output().unwrap()
}

#[test]
fn a_probe_tells_an_agent_without_an_engine_from_none() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, url) = Lonely::start(dir.path());
    says(&healthcheck(&url, &[]), 1, "engine.sock");
    says(&healthcheck(&url, &["--live"]), 0, "");
    drop(agent);
    says(&healthcheck(&url, &["--live"]), 1, "no agent answers");
}

#[test]
fn a_probe_of_a_mute_agent_ends_before_kubernetes_gives_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, url) = Lonely::start(dir.path());
    agent.signal("-STOP");
    let start = Instant::now();
    says(&healthcheck(&url, &["--live"]), 1, "does not answer");
    assert!(start.elapsed() < Duration::from_millis(1000), "{:?}", start.elapsed());
    agent.signal("-CONT");
}

#[test]
fn a_probe_that_asks_nobody_is_a_usage_error() {
    says(&agent(&["healthcheck", "--agent", "agent.sock"]).output().unwrap(), 2, "--agent");
    says(&agent(&["healthcheck"]).env("REMORA_LISTEN", "agent.sock").output().unwrap(), 2, "REMORA_LISTEN");
}

#[test]
fn the_client_is_installed_where_steps_find_it() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("remora/bin");
    for _ in 0..2 {
        let output = agent(&["install", bin.to_str().unwrap()]).output().unwrap();
        // What cargo builds for tests is not static.
        says(&output, 0, "linked dynamically");
        assert!(String::from_utf8_lossy(&output.stdout).contains(bin.to_str().unwrap()));
    }
    assert!(Command::new(bin.join("remora")).arg("--version").status().unwrap().success());
    says(&agent(&["install", "/proc/nowhere"]).output().unwrap(), 1, "/proc/nowhere");
}
