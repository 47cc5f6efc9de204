//! `remora push`, and registries that stumble.

use crate::rig::{self, Agent, Engine, Fault, FaultyRegistry, Kind, Registry};

on_every_engine!(
    a_tag_that_the_engine_holds,
    a_tag_that_exists_is_replaced,
    too_many_requests_are_retried,
    a_server_error_is_retried,
    a_broken_connection_is_retried,
);
on_one_engine!(Docker28: a_tag_that_nobody_knows, with_credentials);

fn image(engine: &Engine, tag: &str) {
    let context = rig::context(&[("Dockerfile", &format!("FROM scratch\nCOPY . /\nLABEL salt={}\n", rig::unique()))]);
    engine.docker(&["build", "-t", tag, context.path().to_str().unwrap()]);
}

fn a_tag_that_the_engine_holds(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let tags = ["app:1", "app:2", "other:1"].map(|name| registry.image(name));
    image(&engine, &tags[0]);
    engine.docker(&["tag", &tags[0], &tags[1]]);
    engine.docker(&["tag", &tags[0], &tags[2]]);
    let outcome = agent.client().run(&["push", &tags[0], &tags[1], &tags[2]]).code(0);
    for (repository, tag) in [("app", "1"), ("app", "2"), ("other", "1")] {
        let digest = registry.head(repository, tag).unwrap_or_else(|| panic!("no {repository}:{tag}"));
        assert!(
            (outcome.stdout.clone() + &outcome.stderr).contains(&digest),
            "{digest} of {repository}:{tag} is not told"
        );
    }
}

fn a_tag_that_exists_is_replaced(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let tag = registry.image("app:1");
    let mut seen = Vec::new();
    for _ in 0..2 {
        image(&engine, &tag);
        agent.client().run(&["push", &tag]).code(0);
        seen.push(registry.head("app", "1").unwrap());
    }
    assert_ne!(seen[0], seen[1]);
}

fn stumbles(kind: Kind, fault: Fault) {
    let registry = Registry::start();
    let faulty = FaultyRegistry::before(&registry, fault);
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let tag = format!("{}/app:1", faulty.host);
    let context = rig::context(&[("Dockerfile", &format!("FROM scratch\nCOPY . /\nLABEL salt={}\n", rig::unique()))]);
    agent.client().build(context.path(), &["--push", "-t", &tag]).code(0);
    assert!(registry.head("app", "1").is_some());
    assert_eq!(faulty.struck(), fault.times);
}

fn too_many_requests_are_retried(kind: Kind) {
    let answer = Some("429 Too Many Requests\r\nRetry-After: 1");
    stumbles(kind, Fault { method: "PUT", path: "/manifests/", times: 2, answer });
}

fn a_server_error_is_retried(kind: Kind) {
    let answer = Some("503 Service Unavailable");
    stumbles(kind, Fault { method: "PUT", path: "/manifests/", times: 2, answer });
}

fn a_broken_connection_is_retried(kind: Kind) {
    stumbles(kind, Fault { method: "POST", path: "/blobs/uploads/", times: 2, answer: None });
}

fn a_tag_that_nobody_knows(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let tag = registry.image("nobody/knows:1");
    let outcome = agent.client().run(&["push", &tag]);
    assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(&registry.host) && outcome.stderr.contains("nobody/knows"), "{}", outcome.stderr);
}

fn with_credentials(kind: Kind) {
    let registry = Registry::start_with_auth();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let tag = registry.image("app:1");
    image(&engine, &tag);
    agent.client().run(&["push", &tag]).code(12);
    let config = registry.docker_config();
    agent.client().env("DOCKER_CONFIG", config.path().to_str().unwrap()).run(&["push", &tag]).code(0);
    assert!(registry.digest("app", "1").is_some());
}
