//! Which facts are trouble.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::model::{FailureKind, ImageStore, Level};

fn capabilities() -> Capabilities {
    Capabilities {
        kind: EngineKind::Dockerd,
        version: "28.5.2".to_owned(),
        api_version: "1.51".to_owned(),
        image_store: Some(ImageStore::Graphdriver),
        storage_driver: "overlay2".to_owned(),
        platforms: Vec::new(),
        exporters: Vec::new(),
        cache_exports: Vec::new(),
        cache_manifests: true,
        inline_forgets: false,
        run_limits: true,
        attestations: true,
        host_gateway: None,
        git: true,
        git_head: true,
    }
}

fn engine() -> EngineFacts {
    let volume = Volume { filesystem: "ext4".to_owned(), total: 100_000_000_000, free: 50_000_000_000 };
    EngineFacts {
        capabilities: capabilities(),
        same_network: true,
        networks: vec![("bridge".to_owned(), 1450)],
        data: Some(("/var/lib/docker".into(), volume)),
    }
}

fn facts(engine: EngineFacts) -> Facts {
    Facts {
        address: "unix:///run/engine/docker.sock".to_owned(),
        engine: Ok(engine),
        pod_mtu: Some(1450),
        open_tcp: Vec::new(),
        agent_git: false,
        registries: Vec::new(),
    }
}

/// What is said that is not well.
fn trouble(facts: &Facts) -> Vec<(Level, String)> {
    let trouble = findings(facts).into_iter().filter(|found| found.level > Level::Ok);
    trouble
        .map(|found| {
            assert!(!found.next.is_empty(), "{found:?}: and what now?");
            (found.level, found.about)
        })
        .collect()
}

fn of_engine(change: impl FnOnce(&mut EngineFacts)) -> Vec<(Level, String)> {
    let mut engine = engine();
    change(&mut engine);
    trouble(&facts(engine))
}

fn of_version(version: &str) -> Vec<(Level, String)> {
    of_engine(|engine| engine.capabilities.version = version.to_owned())
}

#[test]
fn an_engine_as_it_should_be_has_no_trouble() {
    assert_eq!(trouble(&facts(engine())), []);
    let there = findings(&facts(engine())).remove(0);
    assert_eq!(there.what, "dockerd 28.5.2 answers at unix:///run/engine/docker.sock");
}

#[test]
fn what_makes_builds_hang_fail_or_crawl_is_an_error() {
    let error = |about: &str| vec![(Level::Error, about.to_owned())];
    let warning = |about: &str| vec![(Level::Warning, about.to_owned())];
    let free = |bytes: u64| of_engine(|engine| engine.data.as_mut().unwrap().1.free = bytes);
    assert_eq!(of_engine(|engine| engine.networks[0].1 = 1500), error("network"));
    assert_eq!(of_engine(|engine| engine.capabilities.storage_driver = "vfs".to_owned()), error("storage"));
    assert_eq!(of_engine(|engine| engine.capabilities.image_store = Some(ImageStore::Containerd)), error("storage"));
    assert_eq!(free(900_000_000), error("disk"));
    assert_eq!(free(4_000_000_000), warning("disk"));
    assert_eq!(of_engine(|engine| engine.capabilities.git = false), warning("git"));
    let absent = Failure::new(FailureKind::Engine, "no engine").next("start it");
    assert_eq!(trouble(&Facts { engine: Err(absent), ..facts(engine()) }), error("engine"));
    let open = vec!["tcp://127.0.0.1:2375".to_owned()];
    assert_eq!(trouble(&Facts { open_tcp: open, ..facts(engine()) }), error("access"));
}

#[test]
fn a_network_that_no_step_uses_is_no_error() {
    let other = of_engine(|engine| engine.networks.push(("compose_default".to_owned(), 1500)));
    assert_eq!(other, [(Level::Warning, "network".to_owned())]);
}

#[test]
fn what_is_not_known_is_no_trouble() {
    assert_eq!(of_engine(|engine| engine.data = None), []);
    let elsewhere = of_engine(|engine| {
        engine.same_network = false;
        engine.networks[0].1 = 9000;
    });
    assert_eq!(elsewhere, []);
    assert_eq!(of_version("dev"), []);
}

#[test]
fn versions_that_spoil_a_cache_are_told() {
    let version = |level| vec![(level, "version".to_owned())];
    for (text, expected) in [
        ("19.03.15", version(Level::Error)),
        ("20.10.3", version(Level::Error)),
        ("20.10.4", vec![]),
        ("20.10.24+dfsg1", vec![]),
        ("23.0.0", version(Level::Error)),
        ("23.0.1", vec![]),
        ("27.1.2", version(Level::Warning)),
        ("27.2.0", vec![]),
    ] {
        assert_eq!(of_version(text), expected, "{text}");
    }
}

#[test]
fn a_registry_without_the_image_is_one_that_answers() {
    let refused = Failure::new(FailureKind::Registry, "401").next("docker login");
    let registries = [("r.ci/a", Ok(true)), ("r.ci/b", Ok(false)), ("r.ci/c", Err(refused))];
    let registries = registries.map(|(name, asked)| (name.to_owned(), asked)).to_vec();
    let found = findings(&Facts { registries, ..facts(engine()) });
    let levels: Vec<_> = found.iter().filter(|found| found.about == "registry").map(|found| found.level).collect();
    assert_eq!(levels, [Level::Ok, Level::Ok, Level::Error]);
}
