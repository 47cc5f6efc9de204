//! The rig itself: that each engine starts, takes Docker's own client, and pushes. Needs nothing of Remora.

use std::{process::Command, time::Duration};

use crate::rig::{self, Engine, Fault, FaultyRegistry, Kind, Registry, TokenService};

on_every_engine!(an_engine_builds_and_pushes, a_replaced_engine_is_empty, shared_engines_are_one);
on_one_engine!(Docker28: a_registry_with_auth_keeps_strangers_out, a_faulty_registry_recovers, a_token_ends);

fn an_engine_builds_and_pushes(kind: Kind) {
    let engine = Engine::shared(kind);
    let registry = Registry::start();
    let tag = registry.image("app:1");
    let context = rig::context(&[("Dockerfile", &format!("FROM {}\nRUN echo hello > /x\n", registry.image("base:1")))]);
    engine.docker(&["build", "--network", "host", "-t", &tag, context.path().to_str().unwrap()]);
    engine.docker(&["push", &tag]);
    assert!(registry.head("app", "1").is_some());
    assert!(registry.head("app", "2").is_none());
}

fn a_replaced_engine_is_empty(kind: Kind) {
    let engine = Engine::start(kind);
    let registry = Registry::start();
    engine.docker(&["pull", &registry.image("base:1")]);
    assert!(!engine.docker(&["images", "-q"]).is_empty());
    engine.replace();
    assert_eq!(engine.docker(&["images", "-q"]), "");
}

fn shared_engines_are_one(kind: Kind) {
    let id = |engine: &Engine| engine.docker(&["info", "--format", "{{.ID}}"]);
    assert_eq!(id(&Engine::shared(kind)), id(&Engine::shared(kind)));
    assert_ne!(id(&Engine::shared(kind)), id(&Engine::start(kind)));
}

fn a_registry_with_auth_keeps_strangers_out(kind: Kind) {
    let engine = Engine::shared(kind);
    let registry = Registry::start_with_auth();
    assert!(!engine.try_docker(&["pull", &registry.image("base:1")]).status.success());
    let digest = registry.digest("base", "1").expect("a digest for those with credentials");
    assert!(digest.starts_with("sha256:"));
}

fn a_faulty_registry_recovers(kind: Kind) {
    let engine = Engine::shared(kind);
    let registry = Registry::start();
    let fault = Fault { method: "GET", path: "/v2/base/manifests", times: 1, answer: Some("503 Service Unavailable") };
    let faulty = FaultyRegistry::before(&registry, fault);
    let image = format!("{}/base:1", faulty.host);
    // An engine asks with HEAD first where it can, and retries by itself or not: at the second try nothing is in the way.
    let first = engine.try_docker(&["pull", &image]).status.success();
    assert!(first || engine.try_docker(&["pull", &image]).status.success());
    assert!(faulty.struck() <= 1);
}

fn a_token_ends(_: Kind) {
    let service = TokenService::start(Duration::from_secs(2));
    let registry = Registry::start_with_tokens(&service);
    let curl =
        |args: &[&str]| String::from_utf8(Command::new("curl").arg("-s").args(args).output().unwrap().stdout).unwrap();
    let url = format!("{}?service=registry.test&scope=repository:app:pull,push", service.realm);
    let answer: serde_json::Value = serde_json::from_str(&curl(&["-u", "remora:s3cret", &url])).unwrap();
    let bearer = format!("Authorization: Bearer {}", answer["token"].as_str().unwrap());
    let begin = format!("http://{}/v2/app/blobs/uploads/", registry.host);
    let status = || curl(&["-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "-H", &bearer, &begin]);
    assert_eq!(status(), "202");
    rig::eventually("the token ends", Duration::from_secs(10), || (status() == "401").then_some(()));
}
