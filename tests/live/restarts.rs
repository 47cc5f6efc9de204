//! Pods start in any order, and engines come and go.

use std::time::Duration;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(an_engine_restarts_under_the_agent);
on_one_engine!(Docker28:
    the_agent_is_there_before_the_engine, the_client_is_there_before_the_agent, an_engine_dies_in_the_middle_of_a_build,
    sigterm_drains_the_agent, the_engine_of_a_pool_waits_for_an_agent_that_lives,
);

fn scratch_image() -> tempfile::TempDir {
    rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")])
}

fn the_agent_is_there_before_the_engine(kind: Kind) {
    let engine = Engine::not_started(kind);
    let agent = Agent::start_with(&engine, &["--allow-entitlement", "network.host"]);
    let context = scratch_image();
    let mut running = agent.client().spawn_build(context.path(), &["--wait", "60s"]);
    std::thread::sleep(Duration::from_millis(2500));
    assert!(running.runs(), "it does not wait");
    engine.run();
    let outcome = running.wait().code(0);
    let told = outcome.stderr.lines().filter(|line| line.to_lowercase().contains("wait")).count();
    assert_eq!(told, 1, "said once, not every second:\n{}", outcome.stderr);
}

fn the_client_is_there_before_the_agent(kind: Kind) {
    let engine = Engine::shared(kind);
    let dir = rig::scratch();
    let socket = format!("unix://{}/late.sock", dir.path().display());
    let context = scratch_image();
    let mut running = rig::Client::new(&socket).spawn_build(context.path(), &["--wait", "60s"]);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(running.runs(), "it does not wait");
    let _agent = Agent::start_with(&engine, &["--listen", &socket, "--allow-entitlement", "network.host"]);
    running.wait().code(0);
}

fn an_engine_restarts_under_the_agent(kind: Kind) {
    let engine = Engine::start(kind);
    let mut agent = Agent::start(&engine);
    let context = scratch_image();
    agent.client().build(context.path(), &[]).code(0);
    engine.stop();
    agent.client().build(context.path(), &["--wait", "300ms"]).code(11);
    engine.run();
    agent.client().build(context.path(), &[]).code(0);
    assert!(agent.lives());
}

fn an_engine_dies_in_the_middle_of_a_build(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let seconds = rig::unique();
    let text = format!("FROM {}\nRUN sleep {seconds}\n", registry.image("base:1"));
    let context = rig::context(&[("Dockerfile", &text)]);
    let running = agent.client().spawn_build(context.path(), &[]);
    let found = || (!rig::processes(&["sleep", &seconds]).is_empty()).then_some(());
    rig::eventually("the RUN begins", Duration::from_secs(60), found);
    engine.stop();
    running.wait().code(11);
    engine.run();
    agent.client().build(scratch_image().path(), &[]).code(0);
}

fn sigterm_drains_the_agent(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let mut agent = Agent::start(&engine);
    let salt = rig::unique();
    let text = format!("FROM {}\nRUN sleep 3 && echo {salt}\n", registry.image("base:1"));
    let context = rig::context(&[("Dockerfile", &text)]);
    let running = agent.client().spawn_build(context.path(), &[]);
    let begun = || (!rig::processes(&["sleep", "3"]).is_empty()).then_some(());
    rig::eventually("the RUN begins", Duration::from_secs(60), begun);
    agent.signal("TERM");
    running.wait().code(0);
    rig::eventually("the agent ends", Duration::from_secs(5), || (!agent.lives()).then_some(()));
}

/// What the engine's container runs before it ends (`preStop`), which asks again and again.
fn the_engine_of_a_pool_waits_for_an_agent_that_lives(kind: Kind) {
    let pool = std::fs::read_to_string(rig::repository("deploy/kubernetes/pool/statefulset.yaml")).unwrap();
    let asks = pool.lines().find_map(|line| line.trim().strip_prefix("- while ")?.strip_suffix("; do sleep 0.5; done"));
    let agent = Agent::start(&Engine::shared(kind));
    let url = agent.url();
    let (directory, _) = url.strip_prefix("unix://").unwrap().rsplit_once('/').unwrap();
    let asks = asks.unwrap().replace("/run/remora", directory);
    let waits = || rig::program("sh").args(["-c", &asks]).status().unwrap().success();
    assert!(waits(), "the engine ends under its builds");
    agent.signal("KILL");
    rig::eventually("the engine may end", Duration::from_secs(5), || (!waits()).then_some(()));
    assert!(std::path::Path::new(directory).join("agent.sock").exists(), "this was not the case that is tried");
}
