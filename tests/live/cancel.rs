//! Cancelling is normal: within two seconds nothing is left.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(
    ctrl_c_ends_the_run,
    sigterm_ends_the_run,
    sigkill_ends_the_run,
    remora_cancel_ends_the_run_and_its_client_says_by_whom,
);
on_one_engine!(Docker28:
    the_agents_end_ends_the_run, ctrl_c_while_it_waits_for_the_agent, others_build_on,
    sigterm_ends_a_client_whose_output_nobody_reads,
    no_build_is_ended_by_a_wrong_id,
);

const PROMISE: Duration = Duration::from_secs(2);

fn ctrl_c_ends_the_run(kind: Kind) {
    check(kind, "INT", Some(130));
}

fn sigterm_ends_the_run(kind: Kind) {
    check(kind, "TERM", Some(143));
}

fn sigkill_ends_the_run(kind: Kind) {
    check(kind, "KILL", None);
}

fn sleeper(registry: &Registry, seconds: &str) -> tempfile::TempDir {
    rig::context(&[("Dockerfile", &format!("FROM {}\nRUN sleep {seconds}\n", registry.image("base:1")))])
}

fn wait_for_sleep(seconds: &str) {
    let found = || (!rig::processes(&["sleep", seconds]).is_empty()).then_some(());
    rig::eventually("the RUN begins", Duration::from_secs(60), found);
}

fn wait_for_its_end(seconds: &str) {
    let gone = || rig::processes(&["sleep", seconds]).is_empty().then_some(());
    rig::eventually("the RUN's process is gone", PROMISE, gone);
}

fn check(kind: Kind, signal: &str, code: Option<i32>) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let seconds = rig::unique();
    let context = sleeper(&registry, &seconds);
    let running = agent.client().spawn_build(context.path(), &[]);
    wait_for_sleep(&seconds);
    let start = Instant::now();
    running.signal(signal);
    wait_for_its_end(&seconds);
    let outcome = running.wait();
    assert!(start.elapsed() < PROMISE, "{:?}", start.elapsed());
    assert_eq!(outcome.status.code(), code, "{}", outcome.stderr);
    // The agent has forgotten the build too.
    let info = || (!agent.client().run(&["info"]).code(0).stdout.contains(&seconds)).then_some(());
    rig::eventually("the agent forgets it", PROMISE, info);
}

fn sigterm_ends_a_client_whose_output_nobody_reads(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let seconds = rig::unique();
    // Far more than a pipe holds.
    let text = format!("FROM {}\nRUN seq 100000; sleep {seconds}\n", registry.image("base:1"));
    let context = rig::context(&[("Dockerfile", &text)]);
    let args = ["build", "--network", "host", context.path().to_str().unwrap()];
    let mut client = agent.client().spawn_unread(&args);
    wait_for_sleep(&seconds);
    let start = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &client.id().to_string()]).status().unwrap().success());
    assert_eq!(client.wait().unwrap().code(), Some(143));
    wait_for_its_end(&seconds);
    assert!(start.elapsed() < PROMISE, "{:?}", start.elapsed());
}

fn the_agents_end_ends_the_run(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let seconds = rig::unique();
    let context = sleeper(&registry, &seconds);
    let running = agent.client().spawn_build(context.path(), &[]);
    wait_for_sleep(&seconds);
    drop(agent);
    wait_for_its_end(&seconds);
    running.wait().code(10);
}

fn ctrl_c_while_it_waits_for_the_agent(_: Kind) {
    let client = rig::Client::new("unix:///nowhere/agent.sock");
    let mut running = client.spawn(&["info", "--wait", "100s"]);
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.runs());
    let start = Instant::now();
    running.signal("INT");
    running.wait().code(130);
    assert!(start.elapsed() < PROMISE);
}

fn others_build_on(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let seconds = rig::unique();
    let doomed = sleeper(&registry, &seconds);
    let salt = rig::unique();
    let text = format!("FROM {}\nRUN sleep 3 && echo {salt}\n", registry.image("base:1"));
    let other = rig::context(&[("Dockerfile", &text)]);
    let other = agent.client().spawn_build(other.path(), &[]);
    let running = agent.client().spawn_build(doomed.path(), &[]);
    wait_for_sleep(&seconds);
    running.signal("KILL");
    wait_for_its_end(&seconds);
    other.wait().code(0);
}

fn remora_cancel_ends_the_run_and_its_client_says_by_whom(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let (seconds, others) = (rig::unique(), rig::unique());
    let (context, other) = (sleeper(&registry, &seconds), sleeper(&registry, &others));
    let tag = registry.image(&format!("doomed-{seconds}:1"));
    let running = agent.client().spawn_build(context.path(), &["-t", &tag]);
    wait_for_sleep(&seconds);
    let mut other = agent.client().spawn_build(other.path(), &[]);
    wait_for_sleep(&others);
    let listed = agent.client().run(&["ps"]).code(0).stdout;
    let row = listed.lines().find(|line| line.contains(&tag)).expect(&listed);
    assert!(row.contains(&format!("RUN sleep {seconds}")), "{listed}");
    let short = row.split(' ').next().unwrap();
    let start = Instant::now();
    let ended = agent.client().env("USER", "alice").run(&["cancel", &short[..8]]).code(0).stdout;
    assert!(ended.starts_with(short), "{ended}");
    wait_for_its_end(&seconds);
    running.wait().code(130).says("cancelled by alice@");
    assert!(start.elapsed() < PROMISE, "{:?}", start.elapsed());
    assert!(other.runs() && !rig::processes(&["sleep", &others]).is_empty(), "the other build was ended too");
    let left = agent.client().run(&["ps", "-q"]).code(0).stdout;
    assert_eq!(left.lines().count(), 1, "{left}");
    agent.client().run(&["cancel", left.trim()]).code(0);
    other.wait().code(130);
}

fn no_build_is_ended_by_a_wrong_id(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let seconds = rig::unique();
    let context = sleeper(&registry, &seconds);
    let mut running = agent.client().spawn_build(context.path(), &[]);
    wait_for_sleep(&seconds);
    agent.client().run(&["cancel", "nothing-like-it"]).code(2).says("remora ps");
    agent.client().run(&["cancel", ""]).code(2);
    assert!(running.runs() && agent.client().run(&["ps", "--json"]).code(0).stdout.contains(&seconds));
}
