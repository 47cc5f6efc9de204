#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use super::*;
use crate::model::{Annotated, CacheMode, Export, HostAddress, Provenance, Subrequest, Ulimit};

#[test]
fn a_request_of_a_newer_client_is_refused_and_not_half_done() {
    let request = pb::PruneRequest { revision: REVISION + 1, ..pb::PruneRequest::default() };
    let failure = PruneRequest::try_from(request).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Usage);
    assert!(failure.next.contains("update the agent"));
}

#[test]
fn bad_values_are_named() {
    let session = "0".repeat(32);
    let bad_tag = pb::BuildRequest { tags: vec!["App".to_owned()], session, ..pb::BuildRequest::default() };
    assert!(BuildRequest::try_from(bad_tag).unwrap_err().what.contains("'App'"));
    let session = "0".repeat(32);
    let digest = vec![format!("r.example/a@sha256:{}", "a".repeat(64))];
    let by_digest = pb::BuildRequest { tags: digest.clone(), session, ..pb::BuildRequest::default() };
    assert!(BuildRequest::try_from(by_digest).unwrap_err().what.contains("digest"));
    let by_digest = pb::PushRequest { tags: digest, ..pb::PushRequest::default() };
    assert!(PushRequest::try_from(by_digest).is_err(), "it would push another image than the one named");
    assert!(BuildRequest::try_from(pb::BuildRequest::default()).is_err());
    assert!(PushRequest::try_from(pb::PushRequest::default()).is_err());
}

#[test]
fn a_build_survives_the_wire() {
    let sent = pb::BuildRequest::from(request());
    assert!(BuildRequest::try_from(sent).unwrap() == request());
    let plain = BuildRequest { cache: CacheRequest::default(), ..request() };
    let sent = pb::BuildRequest::from(plain.clone());
    assert!(BuildRequest::try_from(sent).unwrap() == plain);
}

#[test]
fn an_older_agent_builds_in_a_ci_and_refuses_what_is_asked_of_the_cache() {
    let variables = request().cache.variables;
    let said = CacheRequest { variables, ..CacheRequest::default() };
    let plain = BuildRequest {
        run: RunOptions::default(),
        entitlements: Vec::new(),
        no_cache_stages: Vec::new(),
        export: Export::Image,
        remote: None,
        dockerfile_lent: false,
        contexts: BTreeMap::new(),
        raw_status: false,
        export_options: BTreeMap::new(),
        annotations: Vec::new(),
        attestations: BTreeMap::new(),
        subrequest: None,
        ..request()
    };
    let revision = |cache| pb::BuildRequest::from(BuildRequest { cache, ..plain.clone() }).revision;
    for cache in [CacheRequest::default(), said.clone()] {
        assert_eq!(revision(cache.clone()), 1, "{cache:?}");
    }
    for asked in [
        CacheRequest { mode: CacheMode::Off, ..said.clone() },
        CacheRequest { scope: request().cache.scope, ..said.clone() },
        CacheRequest { fallbacks: request().cache.fallbacks, ..said.clone() },
        CacheRequest { repository: request().cache.repository, ..said.clone() },
    ] {
        assert_eq!(revision(asked.clone()), 2, "{asked:?}");
    }
    for asked in [
        BuildRequest { run: request().run, ..plain.clone() },
        BuildRequest { entitlements: request().entitlements, ..plain.clone() },
        BuildRequest { no_cache_stages: request().no_cache_stages, ..plain.clone() },
        BuildRequest { export: Export::Tar, ..plain.clone() },
        BuildRequest { remote: request().remote, ..plain.clone() },
        BuildRequest { contexts: request().contexts, ..plain.clone() },
        BuildRequest { raw_status: true, ..plain.clone() },
        BuildRequest { export_options: request().export_options, ..plain.clone() },
        BuildRequest { annotations: request().annotations, ..plain.clone() },
        BuildRequest { attestations: request().attestations, ..plain.clone() },
        BuildRequest { subrequest: request().subrequest, ..plain.clone() },
    ] {
        assert_eq!(pb::BuildRequest::from(asked).revision, 3);
    }
}

fn request() -> BuildRequest {
    BuildRequest {
        session: SessionId("0".repeat(32)),
        dockerfile: "d/Dockerfile".to_owned(),
        remote: Some("https://git.example/a.git#main:d".to_owned()),
        dockerfile_lent: true,
        contexts: [("base".to_owned(), "docker-image://r.example/b:1".to_owned())].into(),
        tags: vec!["r.example/a:1".parse().unwrap()],
        target: Some("t".to_owned()),
        build_args: [("A".to_owned(), "1".to_owned())].into(),
        labels: [("l".to_owned(), String::new())].into(),
        no_cache: true,
        no_cache_stages: vec!["builder".to_owned()],
        pull: true,
        platforms: vec!["linux/arm64".to_owned()],
        network: Network::Host,
        run: RunOptions {
            hosts: vec![("a.example".to_owned(), HostAddress::Gateway)],
            cgroup_parent: "ci".to_owned(),
            shm_bytes: 1 << 20,
            ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: 1, hard: -1 }],
        },
        entitlements: vec!["network.host".to_owned()],
        cache_from: vec![format!("r.example/c@sha256:{}", "a".repeat(64)).parse().unwrap()],
        cache: CacheRequest {
            mode: CacheMode::Registry,
            scope: Some("feature/x".to_owned()),
            fallbacks: vec!["main".to_owned(), "ü".to_owned()],
            repository: Some("r.example/cache".parse().unwrap()),
            variables: [("GIT_BRANCH".to_owned(), "origin/main".to_owned())].into(),
        },
        export: Export::Oci,
        export_options: [("compression".to_owned(), "zstd".to_owned())].into(),
        annotations: vec![Annotation {
            of: Annotated::ManifestDescriptor,
            platform: Some("linux/arm64".to_owned()),
            key: "org.example.a".to_owned(),
            value: "b".to_owned(),
        }],
        attestations: [("provenance".to_owned(), "mode=max".to_owned())].into(),
        subrequest: Some(Subrequest::Outline),
        push: true,
        load: true,
        raw_status: true,
        provenance: Some(Provenance::Max),
        wait: Duration::from_secs(60),
    }
}
