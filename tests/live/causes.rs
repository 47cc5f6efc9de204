//! What is said of the cause of a failed step.

use tempfile::TempDir;

use crate::rig::{self, Kind, Registry, with_base};

on_every_engine!(a_command_that_is_not_there, a_file_that_may_not_run, no_network, a_missing_file, killed);
on_one_engine!(Docker28: a_full_disk, another_platform);

fn context(registry: &Registry, steps: &str, files: &[(&str, &str)]) -> TempDir {
    let text = format!("FROM {}\n{steps}\n", registry.image("base:1"));
    rig::context(&[&[("Dockerfile", text.as_str())], files].concat())
}

/// Builds these steps, and checks what is said of their failure.
#[track_caller]
fn fails(kind: Kind, steps: &str, files: &[(&str, &str)], words: &[&str]) {
    let (registry, agent) = with_base(kind);
    let outcome = agent.client().build(context(&registry, steps, files).path(), &[]).code(1);
    let said: String = outcome.stderr.lines().filter(|line| line.starts_with("remora: next: ")).collect();
    for word in words {
        assert!(said.contains(word), "'{word}' is not in '{said}' after:\n{}", outcome.stderr);
    }
}

fn a_command_that_is_not_there(kind: Kind) {
    fails(kind, "RUN make-tea", &[], &["'make-tea' was not found", "install it in an earlier step"]);
}

fn a_file_that_may_not_run(kind: Kind) {
    fails(kind, "COPY run.sh /\nRUN /run.sh", &[("run.sh", "#!/bin/sh\ntrue\n")], &["may not be executed", "chmod"]);
}

fn killed(kind: Kind) {
    fails(kind, "RUN sh -c 'kill -9 $$'; exit $?", &[], &["most likely for want of memory"]);
}

fn no_network(kind: Kind) {
    fails(kind, "RUN wget -q http://no-such-host.invalid/", &[], &["found no address", "DNS"]);
    let (registry, agent) = with_base(kind);
    let context = context(&registry, "RUN wget -q http://no-such-host.invalid/", &[]);
    let args = ["build", "--network", "none", context.path().to_str().unwrap()];
    agent.client().run(&args).code(1).says("no network (--network none)");
}

fn a_missing_file(kind: Kind) {
    let files = &[("package.json", "{}"), ("src/main.rs", ""), (".dockerignore", "# what is made\nsrc\n")];
    fails(kind, "COPY packge.json /", files, &["not in the build context", "package.json"]);
    fails(kind, "COPY src/main.rs /", files, &[".dockerignore:2 hides it", "!src"]);
}

fn a_full_disk(kind: Kind) {
    let step = "RUN --mount=type=tmpfs,target=/small,size=1048576 dd if=/dev/zero of=/small/file bs=1M count=3";
    fails(kind, step, &[], &["a disk is full"]);
}

fn another_platform(kind: Kind) {
    let files = &[("program", "\u{7f}ELF of some other kind")];
    fails(kind, "COPY --chmod=755 program /\nRUN [\"/program\"]", files, &["another platform"]);
}
