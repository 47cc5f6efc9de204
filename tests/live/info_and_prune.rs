//! `remora info`, `remora du` and `remora prune`.

use std::time::Duration;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(
    info_tells_the_engine,
    info_tells_running_builds,
    prune_frees_what_a_dry_run_says,
    prune_keeps_what_is_young,
    du_tells_what_the_engine_holds_by_kind_and_age,
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

/// What each line says of one kind: its bytes, the words that follow them, and whether it is at most that.
fn freed(text: &str) -> Vec<(f64, String, bool)> {
    let line = |line: &str| {
        let at_most = line.contains(" at most ");
        let line = line.replace(" at most ", " ");
        let (_, said) = line.split_once("free ").or_else(|| line.split_once("freed ")).unwrap();
        let mut words = said.splitn(3, ' ');
        let (number, unit, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let factor = match unit {
            "B" => 1.0,
            "kB" => 1e3,
            "MB" => 1e6,
            other => panic!("unit {other}"),
        };
        (number.parse::<f64>().unwrap() * factor, rest.to_owned(), at_most)
    };
    text.lines().map(line).collect()
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

    let dry = client.run(&["prune", "--all", "--dry-run"]).code(0).stdout;
    let again = client.run(&["prune", "--all", "--dry-run"]).code(0).stdout;
    assert_eq!(dry, again, "a dry run changed something");
    let real = client.run(&["prune", "--all"]).code(0).stdout;
    let (would, did) = (freed(&dry), freed(&real));
    assert_eq!(would.len(), did.len(), "--- dry run\n{dry}\n--- prune\n{real}");
    for ((would, what, at_most), (did, same, _)) in would.iter().zip(&did) {
        assert_eq!(what, same);
        let right = if *at_most { did <= would } else { (did - would).abs() < 1.0 };
        assert!(right, "--- dry run\n{dry}\n--- prune\n{real}");
    }
    assert_ne!(dry, real, "a dry run says that it is one");
    let again = client.run(&["prune", "--all"]).code(0).stdout;
    assert_ne!(freed(&real), freed(&again), "{again}");
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

fn du_tells_what_the_engine_holds_by_kind_and_age(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let client = agent.client();
    let du = |args: &[&str]| -> serde_json::Value {
        let told = client.run(&[&["du", "--json"], args].concat()).code(0).stdout;
        serde_json::from_str(&told).unwrap()
    };
    let text = format!(
        "FROM {}\nCOPY file /\nRUN --mount=type=cache,target=/c head -c 3000000 /dev/urandom | tee /c/x >/x\n",
        registry.image("base:1")
    );
    let context = rig::context(&[("Dockerfile", &text), ("file", "hello")]);
    let tag = registry.image("held:1");
    client.build(context.path(), &["-t", &tag]).code(0);
    let all = du(&["--verbose"]);
    let names: Vec<_> = all["types"].as_array().unwrap().iter().map(|sum| sum["name"].as_str().unwrap()).collect();
    for name in ["image", "regular", "source.local", "exec.cachemount"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let total = all["total"]["bytes"].as_u64().unwrap();
    assert!((6_000_000..60_000_000).contains(&total), "{all:#}");
    assert_eq!(all["ages"][0]["count"], all["total"]["count"], "all of it was used just now");
    let records = all["records"].as_array().unwrap();
    assert!(records.iter().any(|record| record["description"].as_str().unwrap().contains("held:1")), "{records:#?}");
    assert!(records.iter().any(|record| record["description"].as_str().unwrap().contains("/dev/urandom")));

    let mounts = du(&["--filter", "type=exec.cachemount"]);
    assert_eq!((mounts["types"].as_array().unwrap().len(), &mounts["total"]["count"]), (1, &1.into()), "{mounts:#}");
    assert!(mounts["total"]["reclaimableBytes"].as_u64().unwrap() >= 3_000_000);
    assert_eq!(du(&["--filter", "unused-for=24h"])["total"]["count"], 0);
    client.run(&["du", "--filter", "type=imgae"]).code(0).says("nothing of type=imgae was found; the types are image,");
    let table = client.run(&["du"]).code(0).stdout;
    assert!(table.contains("exec.cachemount") && table.contains("within an hour"), "{table}");
    client.run(&["du", "--filter", "size=3"]).code(2).says("type=TYPE");
}
