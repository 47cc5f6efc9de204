//! Two agents, each with an engine of its own, behind one name.

use std::time::Duration;

use crate::rig::{self, Agent, Authority, Client, Engine, Kind, Registry};

on_one_engine!(Docker28: a_pool_of_two_survives_one_of_them);

const TOKEN: &str = "pool";

/// Somebody beside the agent of this name.
fn beside(authority: &Authority, name: &str) -> Client {
    Client::new(&format!("unix://{}", authority.file(&format!("{name}.sock")))).env("REMORA_TOKEN", TOKEN)
}

/// An agent of this name at an address of `pool.test`, ready.
fn replica(engine: &Engine, authority: &Authority, name: &str, address: &str) -> Agent {
    let [cert, key, socket] = ["agent.crt", "agent.key", &format!("{name}.sock")].map(|name| authority.file(name));
    let (listen, socket) = (format!("tcp://{address}"), format!("unix://{socket}"));
    let mut flags = vec!["--name", name, "--listen", &listen, "--listen", &socket, "--tls-cert", &cert];
    flags.extend(["--tls-key", &key, "--max-builds", "1", "--allow-entitlement", "network.host"]);
    let agent = Agent::start_with_token(engine, &flags, TOKEN);
    let client = beside(authority, name);
    let answers = || client.run(&["info", "--wait", "5s"]).status.success().then_some(());
    rig::eventually("the agent is ready", Duration::from_secs(10), answers);
    agent
}

fn a_pool_of_two_survives_one_of_them(kind: Kind) {
    let registry = Registry::start();
    let engines = [Engine::start(kind), Engine::start(kind)];
    // tests/run.sh gives the name both addresses.
    let port = 30_000 + u16::try_from(std::process::id() % 2000).unwrap();
    let address = |last: u8| format!("127.0.0.{last}:{port}");
    let names = ["remora-0", "remora-1"];
    let authority = Authority::new();
    authority.sign("agent", 1);
    let start = |which: usize, address: &str| replica(&engines[which], &authority, names[which], address);
    let agents = [start(0, &address(1)), start(1, &address(2))];
    // A name is spoken to by TLS, whatever address it has.
    let pool = Client::new(&format!("dns:///pool.test:{port}")).env("REMORA_TOKEN", TOKEN);
    let pool = pool.env("REMORA_TLS_CA", &authority.file("ca.crt"));

    let salt = rig::unique();
    let image = registry.image(&format!("team/app{salt}:1"));
    let text = format!("FROM {}\nRUN echo {salt}\nCOPY more* /\n", registry.image("base:1"));
    let context = rig::context(&[("Dockerfile", &text)]);
    let build = |context: &std::path::Path| pool.build(context, &["--progress", "plain", "-t", &image]).code(0);
    let first = build(context.path());
    let home = names.iter().position(|name| first.stderr.contains(&format!("agent {name}: home"))).unwrap();
    build(context.path()).says(names[home]).assert_step("RUN echo", "CACHED");

    // It was not pushed, and lies on one of them.
    pool.run(&["push", &image]).code(0);
    let apart = registry.image(&format!("team/app{salt}:2"));
    beside(&authority, names[1 - home]).build(context.path(), &["-t", &apart]).code(0);
    pool.run(&["push", &apart]).code(0);
    let told = pool.run(&["info"]).code(0).stdout;
    assert!(names.iter().all(|name| told.contains(&format!("# {name}"))), "{told}");

    let seconds = format!("3{}", &salt[salt.len() - 4..]);
    let slow = format!("FROM {}\nRUN timeout 4 sleep {seconds} || echo {salt}\n", registry.image("base:1"));
    let slow = rig::context(&[("Dockerfile", &slow)]);
    let asleep = || (!rig::processes(&["sleep", &seconds]).is_empty()).then_some(());
    let running = pool.spawn_build(slow.path(), &["--push", "--progress", "plain", "-t", &image]);
    rig::eventually("the RUN begins", Duration::from_secs(60), asleep);
    let listed = pool.run(&["ps"]).code(0).stdout;
    assert!(listed.lines().any(|line| line.contains(names[home]) && line.contains("sleep")), "{listed}");
    let waiting = pool.spawn_build(context.path(), &["--progress", "plain", "-t", &image]);
    agents[home].signal("KILL");
    let ended = running.wait().code(0).says("another agent is asked");
    assert!(ended.stderr.contains(&format!("agent {}", names[1 - home])), "{}", ended.stderr);
    assert!(registry.digest(&format!("team/app{salt}"), "1").is_some());
    waiting.wait().code(0);
    pool.run(&["prune", "--all"]).code(0).says("cannot reach the agent");
}
