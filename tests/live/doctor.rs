//! `remora doctor`, on engines that something is wrong with.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use crate::rig::{self, Agent, Client, Engine, Kind, Pod, Registry};

on_every_engine!(nothing_is_wrong_with_an_engine_that_works, an_engine_that_makes_builds_crawl_or_hang_is_found);
on_one_engine!(Docker28: an_agent_without_an_engine_says_why, registries_are_asked_with_the_clients_credentials);

/// Levels by what was looked at; the worst where there are several.
fn levels(client: &Client, code: i32, more: &[&str]) -> BTreeMap<String, String> {
    let told = client.run(&[&["doctor", "--json"], more].concat()).code(code).stdout;
    let findings: Vec<Value> = serde_json::from_str(&told).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let mut levels = BTreeMap::new();
    for finding in findings {
        let level = text(&finding, "level");
        assert_eq!(level == "ok", text(&finding, "next").is_empty(), "{finding}: what now?");
        let worst = levels.entry(text(&finding, "about")).or_insert_with(|| level.clone());
        if *worst == "ok" || level == "error" {
            *worst = level;
        }
    }
    levels
}

fn nothing_is_wrong_with_an_engine_that_works(kind: Kind) {
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let mut found = levels(&agent.client(), 0, &[]);
    // Whether there is a way out of here, and how full the disk is, is the machine's business.
    assert_ne!(found.remove("network").as_deref(), None);
    assert_ne!(found.remove("disk").as_deref(), None);
    assert!(found.values().all(|level| level == "ok"), "{found:?}");
    let told = agent.client().run(&["doctor"]).code(0).stdout;
    assert!(told.contains("dockerd") && told.contains(kind.image_store()), "{told}");
}

/// What an engine is started with that nobody prepared for its pod.
fn careless(kind: Kind, dir: &Path) -> Value {
    let mut config = json!({
        "data-root": dir.join("data"),
        "exec-root": dir.join("exec"),
        "pidfile": dir.join("docker.pid"),
        "hosts": [format!("unix://{}", dir.join("engine.sock").display()), "tcp://127.0.0.1:2375"],
        "iptables": false,
        "ip6tables": false,
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "storage-driver": "vfs",
    });
    match kind {
        Kind::Docker20 => config["deprecated-key-path"] = json!(dir.join("key.json")),
        // The snapshotter that copies has another name.
        Kind::Containerd28 => {
            config["features"] = json!({ "containerd-snapshotter": true });
            config["storage-driver"] = json!("native");
        }
        _ => {}
    }
    config
}

fn an_engine_that_makes_builds_crawl_or_hang_is_found(kind: Kind) {
    let pod = Pod::new(1430);
    let engine = Engine::not_started(kind);
    let config = engine.dir().join("careless.json");
    fs::write(&config, careless(kind, engine.dir()).to_string()).unwrap();
    engine.run_in(&pod, &config);
    let agent = Agent::start_in_pod(&pod, &engine);
    let found = levels(&agent.client(), 1, &[]);
    for about in ["network", "storage", "access"] {
        assert_eq!(found[about], "error", "{about}");
    }
    let told = agent.client().run(&["doctor"]).code(1).stdout;
    assert!(told.contains("1430") && told.contains("1500") && told.contains("tcp://127.0.0.1:2375"), "{told}");
    // From a network of its own the agent does not see the engine's way out.
    let elsewhere = Pod::new(1430);
    let apart = Agent::start_in_pod(&elsewhere, &engine);
    assert_eq!(levels(&apart.client(), 1, &[])["network"], "ok");
    // Whoever reads the agent's log and asks nothing knows it too.
    let logged = || agent.log().contains("downloads in RUN steps may hang").then_some(());
    rig::eventually("the agent's log has it", std::time::Duration::from_secs(10), logged);
}

fn an_agent_without_an_engine_says_why(kind: Kind) {
    let engine = Engine::not_started(kind);
    let agent = Agent::start_with(&engine, &[]);
    let found = levels(&agent.client(), 1, &[]);
    assert_eq!((found["engine"].as_str(), found["socket"].as_str()), ("error", "ok"));
}

fn registries_are_asked_with_the_clients_credentials(kind: Kind) {
    let (open, closed) = (Registry::start(), Registry::start_with_auth());
    let agent = Agent::start(&Engine::shared(kind));
    let (there, missing) = (open.image("base:1"), open.image("nothing:1"));
    assert_eq!(levels(&agent.client(), 0, &[&there, &missing])["registry"], "ok");
    let shut = closed.image("app:1");
    assert_eq!(levels(&agent.client(), 1, &[&shut])["registry"], "error");
    let config = closed.docker_config();
    let logged_in = agent.client().env("DOCKER_CONFIG", config.path().to_str().unwrap());
    assert_eq!(levels(&logged_in, 0, &[&shut])["registry"], "ok");
    let nobody = agent.client().run(&["doctor", "127.0.0.1:1/app"]).code(1).stdout;
    assert!(nobody.contains("127.0.0.1:1"), "{nobody}");
}
