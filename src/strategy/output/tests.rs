#![allow(clippy::unwrap_used)]
use std::time::Duration;

use super::*;
use crate::model::{CacheRequest, SessionId};

fn tag(text: &str) -> Reference {
    text.parse().unwrap()
}

fn request() -> BuildRequest {
    BuildRequest {
        session: SessionId(String::new()),
        dockerfile: "Dockerfile".to_owned(),
        tags: vec![tag("r.example/app:1"), tag("r.example/app:latest"), tag("other.example/app:1")],
        target: None,
        build_args: BTreeMap::new(),
        labels: BTreeMap::new(),
        no_cache: false,
        pull: false,
        platforms: Vec::new(),
        network: Network::Default,
        cache_from: Vec::new(),
        cache: CacheRequest::default(),
        push: false,
        load: false,
        wait: Duration::ZERO,
    }
}

fn engine(kind: EngineKind, image_store: Option<ImageStore>) -> Capabilities {
    Capabilities {
        kind,
        version: String::new(),
        api_version: String::new(),
        image_store,
        storage_driver: String::new(),
        platforms: Vec::new(),
        exporters: Vec::new(),
        cache_exports: Vec::new(),
        git: true,
    }
}

fn graphdriver() -> Capabilities {
    engine(EngineKind::Dockerd, Some(ImageStore::Graphdriver))
}

fn containerd() -> Capabilities {
    engine(EngineKind::Dockerd, Some(ImageStore::Containerd))
}

fn buildkitd() -> Capabilities {
    engine(EngineKind::Buildkitd, None)
}

fn decide(request: &BuildRequest, capabilities: &Capabilities) -> Result<Plan, Failure> {
    plan(Facts { request, capabilities, allowed: &[], insecure: &[] })
}

#[test]
fn tags_of_one_repository_are_one_push() {
    let groups = push_groups(&[tag("r.example/a:1"), tag("r.example/b:1"), tag("r.example/a:2"), tag("r.example/a:1")]);
    assert_eq!(
        groups,
        [
            PushGroup { first: tag("r.example/a:1"), rest: vec![tag("r.example/a:2")] },
            PushGroup { first: tag("r.example/b:1"), rest: vec![] },
        ]
    );
}

#[test]
fn a_graphdriver_store_exports_first_and_pushes_then() {
    let plan = decide(&BuildRequest { push: true, ..request() }, &graphdriver()).unwrap();
    let exporter = plan.exporter.unwrap();
    assert_eq!(exporter.kind, "moby");
    assert_eq!(exporter.attrs["name"], "r.example/app:1,r.example/app:latest,other.example/app:1");
    assert_eq!(plan.push, PushMechanism::EngineApi);
}

#[test]
fn the_containerd_store_pushes_in_the_solve_and_unpacks_nothing() {
    let plan = decide(&BuildRequest { push: true, ..request() }, &containerd()).unwrap();
    let exporter = plan.exporter.unwrap();
    assert_eq!(exporter.kind, "image");
    assert_eq!(exporter.attrs["name"], "r.example/app:1,other.example/app:1");
    assert_eq!(exporter.attrs["unpack"], "false");
    assert_eq!(plan.push, PushMechanism::InSolve);
    assert_eq!(plan.groups[0].rest, [tag("r.example/app:latest")]);
    assert!(plan.local_tags.is_empty());
}

#[test]
fn push_and_load_gives_the_engine_every_tag() {
    let plan = decide(&BuildRequest { push: true, load: true, ..request() }, &containerd()).unwrap();
    assert_eq!(plan.exporter.unwrap().attrs["unpack"], "true");
    assert_eq!(plan.local_tags, [tag("r.example/app:latest")]);
}

#[test]
fn a_buildkitd_pushes_or_keeps_the_result_to_itself() {
    assert_eq!(decide(&BuildRequest { push: true, ..request() }, &buildkitd()).unwrap().push, PushMechanism::InSolve);
    let quiet = decide(&request(), &buildkitd()).unwrap();
    assert_eq!(quiet.exporter, None);
    assert_eq!(quiet.notes.len(), 1, "the user must learn that there is no image");
    let refused = decide(&BuildRequest { load: true, ..request() }, &buildkitd()).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Usage);
}

#[test]
fn the_tags_are_the_cache_where_none_is_named() {
    let bare = BuildRequest { tags: vec![tag("app"), tag("me/app")], ..request() };
    let imports = decide(&bare, &graphdriver()).unwrap().imports;
    assert_eq!(imports, [(tag("me/app"), false)]);
    let named = BuildRequest { cache_from: vec![tag("r.example/cache:main")], ..request() };
    assert_eq!(decide(&named, &graphdriver()).unwrap().imports, [(tag("r.example/cache:main"), false)]);
}

#[test]
fn insecure_registries_are_said_to_be_so() {
    let insecure = ["r.example".to_owned()];
    let mixed = BuildRequest { push: true, ..request() };
    let alone = BuildRequest { tags: vec![tag("r.example/app:1")], ..mixed.clone() };
    let engine = buildkitd();
    let facts = |request| Facts { request, capabilities: &engine, allowed: &[], insecure: &insecure };
    let decided = plan(facts(&alone)).unwrap();
    assert_eq!(decided.exporter.unwrap().attrs["registry.insecure"], "true");
    assert!(decided.imports[0].1);
    let refused = plan(facts(&mixed)).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Usage, "a registry with TLS would lose its check of certificates");
}

#[test]
fn the_hosts_network_needs_leave() {
    let request = BuildRequest { network: Network::Host, ..request() };
    assert_eq!(decide(&request, &graphdriver()).unwrap_err().kind, FailureKind::Policy);
    let allowed = ["network.host".to_owned()];
    let facts = Facts { request: &request, capabilities: &graphdriver(), allowed: &allowed, insecure: &[] };
    assert_eq!(plan(facts).unwrap().entitlements, ["network.host"]);
}

#[test]
fn what_cannot_work_is_refused_before_it_begins() {
    let nameless = BuildRequest { tags: Vec::new(), push: true, ..request() };
    assert_eq!(decide(&nameless, &graphdriver()).unwrap_err().kind, FailureKind::Usage);
    let platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
    let multi = BuildRequest { platforms, ..request() };
    assert_eq!(decide(&multi, &graphdriver()).unwrap_err().kind, FailureKind::Usage);
    assert!(decide(&multi, &containerd()).is_ok());
}
