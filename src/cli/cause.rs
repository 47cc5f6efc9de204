//! What a failed step most likely met, by how it ended and what it said.

use crate::model::{Failure, Network};

/// What tells a cause, and what to do about it. The first that fits counts.
struct Sign {
    told_by: fn(&Told<'_>) -> bool,
    advice: fn(&Told<'_>) -> String,
}

/// What is known of a failure.
struct Told<'a> {
    failure: &'a Failure,
    network: Network,
    /// As the shell has it: 128 and a signal's number where one ended it.
    exit_code: Option<u32>,
}

const SIGNS: &[Sign] = &[
    Sign { told_by: disk_full, advice: |_| DISK.to_owned() },
    Sign { told_by: out_of_memory, advice: |_| MEMORY.to_owned() },
    Sign { told_by: killed, advice: |_| KILLED.to_owned() },
    Sign { told_by: other_platform, advice: |_| PLATFORM.to_owned() },
    Sign { told_by: no_stage, advice: stage_advice },
    Sign { told_by: empty_base, advice: |_| BASE.to_owned() },
    Sign { told_by: no_bridge, advice: |_| BRIDGE.to_owned() },
    Sign { told_by: no_library, advice: |_| LIBRARY.to_owned() },
    Sign { told_by: no_command, advice: command_advice },
    Sign { told_by: not_executable, advice: |_| EXECUTABLE.to_owned() },
    Sign { told_by: no_network, advice: network_advice },
];

const DISK: &str = "a disk is full, most likely the engine's: `remora prune` frees build cache; if the step wrote to a mount, \
                    that is what is full";
const MEMORY: &str =
    "the step ran out of memory: give the engine more, or let the step take less, such as with fewer jobs at once";
const KILLED: &str = "the step's process was killed (137 is SIGKILL), most likely for want of memory: give the engine more, or \
                      let the step take less, such as with fewer jobs at once";
const PLATFORM: &str = "the program is made for another platform than the one it ran on: check --platform and the base image, or \
                        install emulation (binfmt) where the engine runs";
const EXECUTABLE: &str = "the file is there and may not be executed: `git update-index --chmod=+x FILE`, COPY --chmod=755, or run \
                          it by its interpreter";
const LIBRARY: &str = "a program of the step lacks a shared library: install the package that has it, or use a base image with \
                       the libc that the program was made for";
const BASE: &str = "FROM names nothing: an ARG in it has no value; give it one with --build-arg NAME=VALUE, or a default in the \
                    Dockerfile";
const BRIDGE: &str = "the engine has no bridge network for its steps: --network host (the agent must allow it with \
                      --allow-entitlement network.host), or --network none";
const NO_NETWORK: &str = "the step was given no network (--network none): leave that flag out";
const NETWORK: &str = "the step did not reach a host, or found no address of it: --network host gives it the network of the \
                       engine's host (the agent must allow it with --allow-entitlement network.host); behind a proxy, \
                       --build-arg HTTPS_PROXY passes that on";

/// With what to do next, where the cause is known better than the engine knows it.
pub(super) fn explain(failure: Failure, network: Network) -> Failure {
    let told = Told { exit_code: exit_code(&failure.what), failure: &failure, network };
    match SIGNS.iter().find(|sign| (sign.told_by)(&told)).map(|sign| (sign.advice)(&told)) {
        Some(next) => failure.next(next),
        None => failure,
    }
}

impl Told<'_> {
    /// Whether the engine says one of these.
    fn engine_says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.failure.what.contains(word))
    }

    /// Whether the step's last lines have one of these, whatever their case.
    fn step_says(&self, words: &[&str]) -> bool {
        let has = |line: &String| {
            let line = line.to_ascii_lowercase();
            words.iter().any(|word| line.contains(word))
        };
        // What it quotes of itself is no sign of anything.
        self.exit_code.is_some() && self.failure.log.iter().any(has)
    }
}

/// `... did not complete successfully: exit code: 127`, and Docker 20.10's `executor failed running [...]: exit code: 127`.
fn exit_code(what: &str) -> Option<u32> {
    let (_, rest) = what.rsplit_once("exit code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn disk_full(told: &Told<'_>) -> bool {
    let engine = told.exit_code.is_none() && told.engine_says(&["no space left on device", "disk quota exceeded"]);
    engine || told.step_says(&["no space left on device", "enospc", "disk quota exceeded"])
}

/// BuildKit says so where it sees that the kernel killed a process of the step for it.
fn out_of_memory(told: &Told<'_>) -> bool {
    told.failure.what.ends_with("did not complete successfully: cannot allocate memory")
        || told.step_says(&[
            "cannot allocate memory",
            "heap out of memory",
            "java.lang.outofmemoryerror",
            "killed signal terminated program",
            "virtual memory exhausted",
        ])
}

fn killed(told: &Told<'_>) -> bool {
    told.exit_code == Some(137)
}

fn other_platform(told: &Told<'_>) -> bool {
    let engine = told.engine_says(&["exec format error"]) && told.engine_says(&["failed to create", "failed running"]);
    engine || told.step_says(&["exec format error"])
}

/// A name without a registry that was taken for an image, and BuildKit offers a stage of a like name.
fn no_stage(told: &Told<'_>) -> bool {
    told.exit_code.is_none() && stage_meant(&told.failure.what).is_some()
}

fn stage_advice(told: &Told<'_>) -> String {
    let stage = stage_meant(&told.failure.what).unwrap_or_default();
    format!("no stage and no --build-context has that name, so it was taken for an image: is {stage} meant?")
}

fn stage_meant(what: &str) -> Option<&str> {
    let (before, meant) = what.rsplit_once("(did you mean ")?;
    // Of flags and instructions it says so too.
    before.contains("failed to resolve source metadata").then_some(meant.split('?').next()?)
}

fn empty_base(told: &Told<'_>) -> bool {
    told.engine_says(&["should not be blank"])
}

fn no_bridge(told: &Told<'_>) -> bool {
    told.exit_code.is_none() && told.engine_says(&["network bridge not found"])
}

/// The loaders of glibc and musl end with 127 as well.
fn no_library(told: &Told<'_>) -> bool {
    told.step_says(&["error while loading shared libraries", "error loading shared library", "error relocating"])
}

fn no_command(told: &Told<'_>) -> bool {
    told.exit_code == Some(127)
}

fn command_advice(told: &Told<'_>) -> String {
    let name = told.failure.log.iter().rev().find_map(|line| missing_command(line));
    if let Some(word) = name.filter(|name| name.starts_with('[')) {
        return format!(
            "the shell ran '{word}': the instruction is no JSON array, which wants commas and double quotes"
        );
    }
    let which = name.map_or("a command of the step was not found".to_owned(), |name| format!("'{name}' was not found"));
    format!(
        "{which}: install it in an earlier step, or check its name and PATH; a script that is there lacks the interpreter of \
         its first line, which must not end with CRLF"
    )
}

/// `sh: make: not found`, `/bin/sh: 1: make: not found`, `bash: line 1: make: command not found`,
/// `exec: "make": executable file not found in $PATH`.
fn missing_command(line: &str) -> Option<&str> {
    if let Some((before, _)) = line.split_once(": executable file not found") {
        return before.rsplit('"').nth(1);
    }
    let before = line.strip_suffix(": command not found").or_else(|| line.strip_suffix(": not found"))?;
    before.rsplit(": ").next().filter(|name| !name.is_empty())
}

fn not_executable(told: &Told<'_>) -> bool {
    told.exit_code == Some(126)
}

fn no_network(told: &Told<'_>) -> bool {
    told.step_says(&[
        "temporary failure in name resolution",
        "temporary failure resolving",
        "bad address '",
        "could not resolve host",
        "couldn't resolve host",
        "unable to resolve host",
        "name or service not known",
        "name does not resolve",
        "no such host",
        "getaddrinfo",
        "network is unreachable",
        "network unreachable",
        "dns error",
    ])
}

fn network_advice(told: &Told<'_>) -> String {
    match told.network {
        Network::None => NO_NETWORK.to_owned(),
        Network::Host => {
            "the engine's host did not reach a host, or found no address of it: check its network and DNS; behind \
                          a proxy, --build-arg HTTPS_PROXY passes that on"
                .to_owned()
        }
        Network::Default => NETWORK.to_owned(),
    }
}

#[cfg(test)]
mod tests;
