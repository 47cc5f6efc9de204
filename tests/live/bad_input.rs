//! Bad input gets one line that says what and where, one that says what next, and its exit code.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::rig::{self, Agent, Client, Engine, Fault, FaultyRegistry, Kind, Outcome, Registry};

on_every_engine!(
    a_failing_step_shows_its_line_and_its_output,
    a_broken_dockerfile,
    a_registry_that_refuses,
    no_host_network
);
on_one_engine!(Docker28:
    no_agent, an_agent_that_listens_but_does_not_answer, no_engine, no_dockerfile, no_context, a_bad_tag, a_bad_build_arg,
    a_broken_dockerignore, a_missing_copy_source, an_unknown_target, an_unknown_flag, a_base_image_that_is_not_there,
    a_registry_without_credentials, a_registry_that_is_down, a_registry_that_stays_broken, push_without_a_tag,
);

/// Checks that a failure is told in few lines, and names these words.
#[track_caller]
fn explains(outcome: Outcome, words: &[&str]) -> Outcome {
    let told = outcome.stderr.to_lowercase();
    for word in words {
        assert!(told.contains(&word.to_lowercase()), "'{word}' is not in:\n{}", outcome.stderr);
    }
    assert!(
        !told.contains("status { code") && !told.contains("transport error"),
        "not for people:\n{}",
        outcome.stderr
    );
    outcome
}

fn a_failing_step_shows_its_line_and_its_output(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let run = "RUN for n in 1 2 3; do echo line-$n; done; exit 42";
    let text = format!("FROM {}\nRUN true\n{run}\nRUN echo never\n", registry.image("base:1"));
    let context = rig::context(&[("Dockerfile", &text)]);
    let outcome = agent.client().build(context.path(), &[]).code(1);
    let outcome = explains(outcome, &["Dockerfile:3", "exit 42", "line-3", "42"]);
    outcome.assert_step("RUN for n in", "ERROR");
    assert!(!outcome.step("RUN echo never", "DONE"), "{}", outcome.stderr);
}

fn a_broken_dockerfile(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\nRUNN true\n")]);
    explains(agent.client().build(context.path(), &[]).code(1), &["Dockerfile", "line 2", "RUNN"]);
    let context = rig::context(&[("Dockerfile", "")]);
    explains(agent.client().build(context.path(), &[]).code(1), &["Dockerfile", "empty"]);
}

fn a_registry_that_refuses(kind: Kind) {
    let registry = Registry::start();
    let fault = Fault { method: "PUT", path: "/manifests/", times: usize::MAX, answer: Some("403 Forbidden") };
    let refusing = FaultyRegistry::before(&registry, fault);
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", &format!("FROM {}\nRUN echo x\n", registry.image("base:1")))]);
    let tag = format!("{}/app:1", refusing.host);
    explains(agent.client().build(context.path(), &["--push", "-t", &tag]).code(12), &[&refusing.host]);
}

fn no_host_network(kind: Kind) {
    let agent = Agent::start_with(&Engine::shared(kind), &[]);
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    explains(agent.client().build(context.path(), &[]).code(13), &["network.host", "--allow-entitlement"]);
    let context = context.path().to_str().unwrap();
    agent.client().run(&["build", context]).code(0);
}

fn no_agent(_: Kind) {
    let client = Client::new("unix:///nowhere/agent.sock");
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let build = ["build", context.path().to_str().unwrap()];
    let start = Instant::now();
    for args in [&["info"][..], &["prune"], &build, &["push", "127.0.0.1:9/app:1"]] {
        explains(client.run(&[args, &["--wait", "300ms"]].concat()).code(10), &["/nowhere/agent.sock"]);
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}

fn an_agent_that_listens_but_does_not_answer(_: Kind) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    explains(Client::new(&address).run(&["info", "--wait", "500ms"]).code(10), &[&address]);
}

fn no_engine(kind: Kind) {
    let engine = Engine::not_started(kind);
    let agent = Agent::start_with(&engine, &["--allow-entitlement", "network.host"]);
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    explains(agent.client().build(context.path(), &["--wait", "1s"]).code(11), &["engine.sock"]);
    // The agent itself is there, and says what is amiss.
    let info = agent.client().run(&["info"]);
    assert!(
        info.stdout.contains("engine.sock") || info.stderr.contains("engine.sock"),
        "{}{}",
        info.stdout,
        info.stderr
    );
}

fn build(kind: Kind, context: &Path, args: &[&str]) -> Outcome {
    Agent::start(&Engine::shared(kind)).client().build(context, args)
}

fn no_dockerfile(kind: Kind) {
    let context = rig::context(&[("README", "nothing to build")]);
    explains(build(kind, context.path(), &[]).code(2), &["Dockerfile", "-f"]);
    explains(build(kind, context.path(), &["-f", "other/Dockerfile.x"]).code(2), &["other/Dockerfile.x"]);
}

fn no_context(kind: Kind) {
    explains(build(kind, Path::new("/no/such/context"), &[]).code(2), &["/no/such/context"]);
    let context = rig::context(&[("file", "FROM scratch\n")]);
    explains(build(kind, &context.path().join("file"), &[]).code(2), &["file", "directory"]);
}

fn a_bad_tag(kind: Kind) {
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    for tag in ["lower/UPPER:1", "app:", "app:bad tag", "http://127.0.0.1/app", "app@sha256:abc", ""] {
        explains(build(kind, context.path(), &["-t", tag]).code(2), &[tag]);
    }
    explains(build(kind, context.path(), &["--cache-from", "UPPER:1"]).code(2), &["UPPER:1"]);
}

fn a_bad_build_arg(kind: Kind) {
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    explains(build(kind, context.path(), &["--build-arg", "=value"]).code(2), &["=value", "--build-arg"]);
    explains(build(kind, context.path(), &["--label", "=value"]).code(2), &["=value", "--label"]);
}

/// The context's fault or the build's: both are told apart from everything else.
#[track_caller]
fn refused(outcome: Outcome) -> Outcome {
    let code = if outcome.status.code() == Some(2) { 2 } else { 1 };
    outcome.code(code)
}

fn a_broken_dockerignore(kind: Kind) {
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n"), (".dockerignore", "a\n!\n")]);
    explains(refused(build(kind, context.path(), &[])), &[".dockerignore"]);
    fs::write(context.path().join(".dockerignore"), "a[\n").unwrap();
    explains(refused(build(kind, context.path(), &[])), &[".dockerignore", "a["]);
}

fn a_missing_copy_source(kind: Kind) {
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY not-there.txt /\n")]);
    explains(build(kind, context.path(), &[]).code(1), &["not-there.txt", "Dockerfile:2"]);
}

fn an_unknown_target(kind: Kind) {
    let context = rig::context(&[("Dockerfile", "FROM scratch AS one\nCOPY . /\n")]);
    explains(build(kind, context.path(), &["--target", "two"]).code(1), &["two"]);
}

fn an_unknown_flag(kind: Kind) {
    build(kind, Path::new("."), &["--no-such-flag"]).code(2).says("--no-such-flag");
}

fn a_base_image_that_is_not_there(kind: Kind) {
    let registry = Registry::start();
    let base = registry.image("no/such/base:1");
    let context = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN true\n"))]);
    let outcome = build(kind, context.path(), &[]);
    let code = outcome.status.code();
    // The Dockerfile's mistake or the registry's: both are told apart from everything else.
    assert!(matches!(code, Some(1 | 12)), "{code:?}: {}", outcome.stderr);
    explains(outcome, &[&base]);
}

fn a_registry_without_credentials(kind: Kind) {
    let registry = Registry::start_with_auth();
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let tag = registry.image("app:1");
    let outcome = build(kind, context.path(), &["--push", "-t", &tag]).code(12);
    explains(outcome, &[&registry.host, "login"]);
}

fn a_registry_that_is_down(kind: Kind) {
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let outcome = build(kind, context.path(), &["--push", "-t", "127.0.0.1:9/app:1"]).code(12);
    explains(outcome, &["127.0.0.1:9"]);
}

fn a_registry_that_stays_broken(kind: Kind) {
    let registry = Registry::start();
    let fault =
        Fault { method: "PUT", path: "/manifests/", times: usize::MAX, answer: Some("500 Internal Server Error") };
    let broken = FaultyRegistry::before(&registry, fault);
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let tag = format!("{}/app:1", broken.host);
    build(kind, context.path(), &["--push", "-t", &tag]).code(12);
    assert!(broken.struck() < 100, "tried {} times", broken.struck());
}

fn push_without_a_tag(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    agent.client().run(&["push"]).code(2);
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let outcome = agent.client().build(context.path(), &["--push"]).code(2);
    explains(outcome, &["--push", "-t"]);
}
