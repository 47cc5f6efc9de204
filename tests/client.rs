//! The client's own part: what it refuses, and how it ends, before there is an agent.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

/// Runs `remora` with nobody to talk to.
fn remora(dir: &Path, args: &[&str]) -> Output {
    let agent = format!("unix://{}/no.sock", dir.display());
    let base = ["--agent", &agent, "--wait", "0s"];
    // Nor with settings of whoever runs the tests.
    Command::new(env!("CARGO_BIN_EXE_remora")).env_clear().args(base).args(args).current_dir(dir).output().unwrap()
}

fn context() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    dir
}

#[track_caller]
fn refuses(output: &Output, code: i32, word: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(word), "'{word}' is not in: {told}");
}

#[test]
fn without_an_agent_the_exit_code_is_10() {
    let dir = context();
    refuses(&remora(dir.path(), &["build", "."]), 10, "cannot reach the agent");
}

#[test]
fn a_failed_build_leaves_no_id_of_an_earlier_one() {
    let dir = context();
    let (id, metadata) = (dir.path().join("id"), dir.path().join("metadata"));
    fs::write(&id, "sha256:old").unwrap();
    fs::write(&metadata, "{}").unwrap();
    refuses(&remora(dir.path(), &["build", "--iidfile", "id", "--metadata-file", "metadata", "."]), 10, "agent");
    assert!(!id.exists() && !metadata.exists(), "the next step would take the old image for the new one");
}

#[test]
fn links_and_devices_are_not_removed() {
    let dir = context();
    fs::write(dir.path().join("real"), "old").unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
    refuses(&remora(dir.path(), &["build", "--iidfile", "link", "--metadata-file", "/dev/full", "."]), 10, "agent");
    assert!(dir.path().join("link").is_symlink() && Path::new("/dev/full").exists());
    refuses(&remora(dir.path(), &["build", "--iidfile", "no/such/id", "."]), 2, "no/such/id");
}

#[test]
fn a_pipe_as_dockerfile_is_refused_at_once() {
    let dir = context();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    let start = Instant::now();
    refuses(&remora(dir.path(), &["build", "-f", "pipe", "."]), 2, "no file");
    assert!(start.elapsed() < Duration::from_secs(5), "it waited for somebody to write");
}

#[test]
fn a_build_arg_that_cannot_be_read_is_not_left_out() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let dir = context();
    let output = Command::new(env!("CARGO_BIN_EXE_remora"))
        .args(["build", "--build-arg", "ODD", "."])
        .env_clear()
        .env("ODD", OsStr::from_bytes(b"\xff"))
        .current_dir(dir.path())
        .output()
        .unwrap();
    refuses(&output, 2, "ODD");
}

#[test]
fn what_cannot_be_named_is_refused_by_its_flag() {
    let dir = context();
    let digest = format!("r.example/a@sha256:{}", "a".repeat(64));
    for (args, word) in [
        (vec!["build", "-t", "App", "."], "--tag"),
        (vec!["build", "-t", &digest, "."], "--tag"),
        (vec!["build", "--build-arg", "=x", "."], "--build-arg"),
        (vec!["build", "--platform", "a//b", "."], "--platform"),
        (vec!["build", "--push", "."], "-t"),
        (vec!["build", "nowhere"], "nowhere"),
        (vec!["build", "Dockerfile"], "directory"),
        (vec!["build", "-f", "nothing", "."], "nothing"),
        (vec!["push", &digest], "digest"),
        (vec!["prune", "--filter", "label=x"], "until"),
    ] {
        refuses(&remora(dir.path(), &args), 2, word);
    }
}

#[test]
fn what_is_to_be_lent_is_looked_for_before_anybody_is_asked() {
    let dir = context();
    fs::create_dir(dir.path().join("directory")).unwrap();
    for (flag, value, word) in [
        ("--secret", "id=token,src=no/such/file", "no/such/file"),
        ("--secret", "id=token,src=directory", "directory"),
        ("--secret", "id=token,env=NOT_SET", "NOT_SET"),
        ("--secret", "id=NOT_THERE", "NOT_THERE"),
        ("--secret", "src=Dockerfile", "id"),
        ("--ssh", "default", "SSH_AUTH_SOCK"),
        ("--ssh", "default=Dockerfile", "no socket"),
        ("--add-host", "db", "NAME:ADDRESS"),
        ("--ulimit", "files=1", "nofile"),
        ("--shm-size", "much", "64m"),
        ("--output", "type=zip,dest=x", "zip"),
        ("--output", "type=tar,dest=no/such/x.tar", "cannot reach the agent"),
        ("--cache-from", "type=gha", "gha"),
        ("--provenance", "--sbom=true", "not here yet"),
        ("--progress", "loud", "loud"),
        ("--progress=quiet", "--output=type=oci", "standard output"),
    ] {
        let code = if word.contains("agent") { 10 } else { 2 };
        refuses(&remora(dir.path(), &["build", flag, value, "."]), code, word);
    }
}

#[test]
fn what_may_be_a_secret_in_the_wrong_place_is_not_shown() {
    let dir = context();
    for (flag, value) in [
        ("--secret", "id=token,value=hunter2"),
        ("--secret", "hunter2"),
        ("--cache-from", "type=s3,secret_access_key=hunter2"),
        ("--cache-from", "type=registry,token=hunter2"),
        ("--cache-to", "type=s3,secret_access_key=hunter2"),
    ] {
        let output = remora(dir.path(), &["build", flag, value, "."]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(flag) && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn completions_are_printed_for_every_shell() {
    let dir = context();
    for shell in ["bash", "zsh", "fish"] {
        let output = remora(dir.path(), &["completion", shell]);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("no-cache-filter"), "{shell}: {told}");
    }
}

#[test]
fn the_version_is_told_without_an_agent_too() {
    let dir = context();
    let output = remora(dir.path(), &["version"]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("client"), "{output:?}");
    refuses(&output, 10, "cannot reach the agent");
}
