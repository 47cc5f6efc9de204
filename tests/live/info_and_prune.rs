//! `remora info` and `remora prune`.

use std::time::Duration;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(
    info_tells_the_engine,
    info_tells_running_builds,
    prune_frees_what_a_dry_run_says,
    prune_keeps_what_is_young
);

fn info_tells_the_engine(kind: Kind) {
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let info = agent.client().run(&["info"]).code(0).stdout;
    let version = engine.docker(&["version", "--format", "{{.Server.Version}} {{.Server.APIVersion}}"]);
    for word in version.split(' ').chain([engine.kind().image_store()]) {
        assert!(info.contains(word), "'{word}' is not in\n{info}");
    }
}

fn info_tells_running_builds(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let seconds = rig::unique();
    let text = format!("FROM {}\nRUN sleep {seconds}\n", registry.image("base:1"));
    let context = rig::context(&[("Dockerfile", &text)]);
    let tag = registry.image(&format!("running-{seconds}:1"));
    let _running = agent.client().spawn_build(context.path(), &["-t", &tag]);
    let told = || agent.client().run(&["info"]).code(0).stdout.contains(&tag).then_some(());
    rig::eventually("info tells the build", Duration::from_secs(30), told);
}

/// The numbers in a text, with what follows each of them.
fn numbers(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let with_unit = |(n, word): (usize, &&str)| {
        number(word).then(|| format!("{word} {}", words.get(n + 1).copied().unwrap_or_default()))
    };
    words.iter().enumerate().filter_map(with_unit).collect()
}

fn prune_frees_what_a_dry_run_says(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let client = agent.client();
    let text = format!("FROM {}\nRUN head -c 3000000 /dev/urandom > /random\n", registry.image("base:1"));
    let context = rig::context(&[("Dockerfile", &text)]);
    let tag = registry.image("app:1");
    client.build(context.path(), &["-t", &tag]).code(0);
    // The same tag again: the first image dangles.
    client.build(context.path(), &["-t", &tag, "--no-cache"]).code(0);

    let before = client.run(&["info"]).code(0).stdout;
    let dry = client.run(&["prune", "--all", "--dry-run"]).code(0).told();
    assert_eq!(before, client.run(&["info"]).code(0).stdout, "a dry run changed something");
    let real = client.run(&["prune", "--all"]).code(0).told();
    assert_eq!(numbers(&dry), numbers(&real), "--- dry run\n{dry}\n--- prune\n{real}");
    assert_ne!(dry, real, "a dry run says that it is one");
    let again = client.run(&["prune", "--all"]).code(0).told();
    assert_ne!(numbers(&real), numbers(&again), "{again}");
    client.build(context.path(), &["-t", &tag]).code(0);
}

fn prune_keeps_what_is_young(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let client = agent.client();
    let context = rig::context(&[("Dockerfile", &format!("FROM {}\nRUN echo x > /x\n", registry.image("base:1")))]);
    client.build(context.path(), &[]).code(0);
    client.run(&["prune", "--filter", "unused-for=24h"]).code(0);
    client.build(context.path(), &[]).code(0).assert_all_cached();
    client.run(&["prune", "--keep-bytes", "10GB"]).code(0);
    client.build(context.path(), &[]).code(0).assert_all_cached();
}
