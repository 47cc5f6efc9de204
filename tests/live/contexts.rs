//! Contexts that are no directory: archives on standard input and from a server, and further contexts by name.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use crate::rig::{self, Agent, Engine, Image, Kind, Outcome, Registry};

mod archives;
mod named;
mod odd;
mod parity;
mod urls;

/// The archive that this command of a shell writes, run in the directory.
#[track_caller]
fn written(directory: &Path, command: &str) -> Vec<u8> {
    let mut shell = Command::new("sh");
    let done = shell.args(["-c", command]).current_dir(directory).stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "{command}");
    done.stdout
}

/// Builds what comes on standard input.
#[track_caller]
fn build(agent: &Agent, archive: impl AsRef<[u8]>, args: &[&str]) -> Outcome {
    agent.client().with_input(archive).run(&[&["build", "--network", "host"], args, &["-"]].concat())
}
