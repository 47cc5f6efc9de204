#![allow(clippy::unwrap_used)]
use super::*;
use crate::model::Subrequest;
use crate::strategy::sample::{buildkitd, containerd, graphdriver, request, tag};

fn decide(request: &BuildRequest, capabilities: &Capabilities) -> Result<Output, Failure> {
    output(Facts { request, capabilities, allowed: &[], insecure: &[] })
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
    let output = decide(&BuildRequest { push: true, ..request() }, &graphdriver()).unwrap();
    let exporter = output.exporter.unwrap();
    assert_eq!(exporter.kind, "moby");
    assert_eq!(exporter.attrs["name"], "r.example/app:1,r.example/app:latest,other.example/app:1");
    assert_eq!(output.push, PushMechanism::EngineApi);
}

#[test]
fn the_containerd_store_pushes_in_the_solve_and_unpacks_nothing() {
    let output = decide(&BuildRequest { push: true, ..request() }, &containerd()).unwrap();
    let exporter = output.exporter.unwrap();
    assert_eq!(exporter.kind, "image");
    assert_eq!(exporter.attrs["name"], "r.example/app:1,other.example/app:1");
    assert_eq!(exporter.attrs["unpack"], "false");
    assert_eq!(output.push, PushMechanism::InSolve);
    assert_eq!(output.groups[0].rest, [tag("r.example/app:latest")]);
    assert!(output.local_tags.is_empty());
}

#[test]
fn push_and_load_gives_the_engine_every_tag() {
    let output = decide(&BuildRequest { push: true, load: true, ..request() }, &containerd()).unwrap();
    assert_eq!(output.exporter.unwrap().attrs["unpack"], "true");
    assert_eq!(output.local_tags, [tag("r.example/app:latest")]);
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
fn insecure_registries_are_said_to_be_so() {
    let insecure = ["r.example".to_owned()];
    let mixed = BuildRequest { push: true, ..request() };
    let alone = BuildRequest { tags: vec![tag("r.example/app:1")], ..mixed.clone() };
    let engine = buildkitd();
    let facts = |request| Facts { request, capabilities: &engine, allowed: &[], insecure: &insecure };
    assert_eq!(output(facts(&alone)).unwrap().exporter.unwrap().attrs["registry.insecure"], "true");
    let refused = output(facts(&mixed)).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Usage, "a registry with TLS would lose its check of certificates");
}

#[test]
fn the_hosts_network_needs_leave() {
    let request = BuildRequest { network: Network::Host, ..request() };
    assert_eq!(decide(&request, &graphdriver()).unwrap_err().kind, FailureKind::Policy);
    let allowed = ["network.host".to_owned()];
    let facts = Facts { request: &request, capabilities: &graphdriver(), allowed: &allowed, insecure: &[] };
    assert_eq!(output(facts).unwrap().entitlements, ["network.host"]);
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

#[test]
fn a_dockerfile_is_checked_whatever_its_image_would_need() {
    let platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
    let attestations = [("provenance".to_owned(), String::new())].into();
    let check = BuildRequest { platforms, attestations, subrequest: Some(Subrequest::Lint), ..request() };
    assert_eq!(decide(&check, &graphdriver()).unwrap().exporter, None);
    let network = BuildRequest { network: Network::Host, ..check };
    assert_eq!(decide(&network, &graphdriver()).unwrap_err().kind, FailureKind::Policy);
}

#[test]
fn what_is_written_to_the_cache_stays_nowhere_else() {
    let insecure = ["plain.example".to_owned()];
    let (request, engine) = (request(), containerd());
    let facts = Facts { request: &request, capabilities: &engine, allowed: &[], insecure: &insecure };
    let image = pushed_image(facts, &tag("r.example/app:cache_main"));
    assert_eq!((image.kind, image.attrs["name"].as_str()), ("image", "r.example/app:cache_main"));
    let attr = |exporter: &Exporter, key: &str| exporter.attrs.get(key).cloned().unwrap_or_default();
    assert_eq!(["push", "store", "unpack"].map(|key| attr(&image, key)), ["true", "false", "false"]);
    assert_eq!(attr(&image, "registry.insecure"), "");
    let blobs = pushed_blobs(facts, &tag("plain.example/app:cache_main"));
    assert_eq!(["name", "push-by-digest"].map(|key| attr(&blobs, key)), ["plain.example/app", "true"]);
    assert_eq!(attr(&blobs, "registry.insecure"), "true");
    let local = local_image(&tag("r.example/app:cache_main"));
    assert_eq!((local.kind, attr(&local, "name").as_str(), local.attrs.len()), ("moby", "r.example/app:cache_main", 1));
}
