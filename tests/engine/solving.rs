//! What BuildKit is asked, and what of its answer comes back.

use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::v1::{SolveRequest, frontend};
use remora::{
    engine::Outcome,
    model::{BuildRequest, Network},
};
use serde_json::json;

use super::{
    dockerd::Dockerd,
    fake::{BuildKit, Seen},
    rig::{Client, Rig, digest_at, request},
    socket::Daemon,
};

/// What the outer solve and the frontend were asked, the latter in the end, and what came back.
async fn asked(
    daemon: impl Fn(BuildKit) -> Daemon,
    request: &BuildRequest,
) -> (SolveRequest, frontend::SolveRequest, Outcome) {
    let fake = BuildKit::new();
    let rig = Rig::new(daemon(fake.clone())).await;
    let outcome = rig.build(request).await.0.unwrap();
    let outer = fake.see(|seen| if let Seen::Outer { request, .. } = seen { Some((**request).clone()) } else { None });
    let inner = fake.seen().into_iter().rev().find_map(|seen| match seen {
        Seen::Frontend { build, request, .. } => Some((build, request)),
        _ => None,
    });
    let (outer, (build, inner)) = (outer.await, inner.unwrap());
    assert_eq!(outer.r#ref, build, "the frontend's solve names the build that exports it");
    (outer, inner, outcome)
}

fn map(entries: &[(&str, &str)]) -> HashMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn on_graphdriver(fake: BuildKit) -> Daemon {
    Dockerd::graphdriver(fake).into()
}

fn on_containerd(fake: BuildKit) -> Daemon {
    Dockerd::containerd(fake).into()
}

#[tokio::test]
async fn old_and_new_engines_both_read_the_exporter() {
    let tags = ["r.example.com/app:1", "app:2"].map(|tag| tag.parse().unwrap()).to_vec();
    let (outer, _, outcome) = asked(on_graphdriver, &BuildRequest { tags, load: true, ..request() }).await;
    let attrs = map(&[("name", "r.example.com/app:1,docker.io/library/app:2")]);
    assert_eq!((outer.exporter_deprecated.as_str(), &outer.exporter_attrs_deprecated), ("moby", &attrs));
    let [exporter] = outer.exporters.as_slice() else { panic!("{outer:?}") };
    assert_eq!((exporter.r#type.as_str(), &exporter.attrs), ("moby", &attrs));
    assert_eq!(outcome.exporter["containerimage.digest"], "sha256:abc");
}

#[tokio::test]
async fn containerds_store_pushes_in_the_same_solve() {
    let tags = ["r.example.com/app:1", "r.example.com/app:2"].map(|tag| tag.parse().unwrap()).to_vec();
    let (outer, ..) = asked(on_containerd, &BuildRequest { tags, push: true, ..request() }).await;
    let attrs = [("name", "r.example.com/app:1"), ("push", "true"), ("store", "false"), ("unpack", "false")];
    assert_eq!((outer.exporter_deprecated.as_str(), outer.exporter_attrs_deprecated), ("image", map(&attrs)));
}

#[tokio::test]
async fn a_buildkitd_without_a_push_exports_nothing() {
    let (outer, ..) = asked(Daemon::from, &request()).await;
    assert_eq!((outer.exporter_deprecated.as_str(), outer.exporters.len()), ("", 0));
}

#[tokio::test]
async fn the_next_job_finds_its_cache_in_the_image() {
    for daemon in [on_graphdriver as fn(BuildKit) -> Daemon, on_containerd, Daemon::from] {
        let (outer, ..) = asked(daemon, &request()).await;
        let exports = outer.cache.unwrap().exports;
        assert_eq!(exports.iter().map(|e| e.r#type.as_str()).collect::<Vec<_>>(), ["inline"]);
    }
}

#[tokio::test]
async fn a_plain_build_asks_for_nothing_but_its_dockerfile() {
    let (outer, inner, _) = asked(Daemon::from, &request()).await;
    assert_eq!(inner.frontend, "dockerfile.v0");
    assert_eq!(inner.frontend_opt, map(&[("filename", "Dockerfile")]));
    assert_eq!((outer.entitlements.len(), outer.frontend.as_str()), (0, ""));
}

#[tokio::test]
async fn every_flag_reaches_the_frontend() {
    let everything = BuildRequest {
        dockerfile: "docker/Dockerfile.ci".to_owned(),
        target: Some("tests".to_owned()),
        build_args: [("VERSION", "1=2"), ("EMPTY", ""), ("UMLAUT", "ä\n")].map(|(k, v)| (k.into(), v.into())).into(),
        labels: [("org.example.commit".to_owned(), "abc def".to_owned())].into(),
        no_cache: true,
        pull: true,
        platforms: vec!["linux/arm64".to_owned(), "linux/amd64".to_owned()],
        network: Network::Host,
        cache_from: vec!["r.example.com/app:main".parse().unwrap()],
        ..request()
    };
    let (outer, inner, _) = asked(Daemon::from, &everything).await;
    let expected = [
        ("filename", "docker/Dockerfile.ci"),
        ("target", "tests"),
        ("build-arg:VERSION", "1=2"),
        ("build-arg:EMPTY", ""),
        ("build-arg:UMLAUT", "ä\n"),
        ("label:org.example.commit", "abc def"),
        ("no-cache", ""),
        ("image-resolve-mode", "pull"),
        ("platform", "linux/arm64,linux/amd64"),
        ("force-network-mode", "host"),
    ];
    assert_eq!(inner.frontend_opt, map(&expected), "and no cache-imports: nothing is taken from the cache");
    assert_eq!(outer.entitlements, ["network.host"]);
}

#[tokio::test]
async fn no_network_needs_no_entitlement() {
    let (outer, inner, _) = asked(Daemon::from, &BuildRequest { network: Network::None, ..request() }).await;
    assert_eq!((inner.frontend_opt["force-network-mode"].as_str(), outer.entitlements.len()), ("none", 0));
}

#[tokio::test]
async fn cache_refs_reach_the_only_place_where_they_have_an_effect() {
    let cache_from = ["r.example.com/app:main", "plain.example.com/app:1"].map(|tag| tag.parse().unwrap()).to_vec();
    let (_, inner, _) = asked(Daemon::from, &BuildRequest { cache_from, ..request() }).await;
    let imports: serde_json::Value = serde_json::from_str(&inner.frontend_opt["cache-imports"]).unwrap();
    let at = |name: &str, tag: &str| format!("{name}@{}", digest_at(&format!("{name}:{tag}")));
    let (one, other) = (at("r.example.com/app", "main"), at("plain.example.com/app", "1"));
    assert_eq!(
        imports,
        json!([
            { "Type": "registry", "Attrs": { "ref": one } },
            { "Type": "registry", "Attrs": { "ref": other, "registry.insecure": "true" } },
        ])
    );
}

#[tokio::test]
async fn what_the_frontend_made_is_what_is_exported() {
    let fake = BuildKit::new();
    let rig = Rig::new(fake.clone()).await;
    rig.build(&request()).await.0.unwrap();
    let returned = fake.see(|seen| match seen {
        Seen::Returned(request) => Some(request.clone()),
        _ => None,
    });
    let returned = returned.await;
    let result = returned.result.unwrap();
    let Some(frontend::result::Result::Ref(made)) = result.result else { panic!("{result:?}") };
    assert_eq!((made.id.as_str(), returned.error), ("made", None));
    assert_eq!(result.metadata["containerimage.config"], b"{}", "without it the image has no command");
}

#[tokio::test]
async fn what_the_exporter_answers_comes_back_whole() {
    let fake = BuildKit::new().export(async |_| Ok(map(&[("a", "1"), ("containerimage.config.digest", "sha256:c")])));
    let outcome = Rig::new(fake).await.build(&request()).await.0.unwrap();
    assert_eq!(
        outcome.exporter.into_iter().collect::<HashMap<_, _>>(),
        map(&[("a", "1"), ("containerimage.config.digest", "sha256:c")])
    );
}

#[tokio::test]
async fn builds_share_neither_connection_nor_session() {
    let fake = BuildKit::new();
    let rig = Rig::new(fake.clone()).await;
    let client = Client::lend(&[]).await;
    let request = request();
    let (one, two) = tokio::join!(rig.build_with(&request, &client.lent), rig.build_with(&request, &client.lent));
    one.0.unwrap();
    two.0.unwrap();
    let outers: Vec<_> = fake
        .seen()
        .into_iter()
        .filter_map(
            |seen| if let Seen::Outer { connection, request } = seen { Some((connection, request)) } else { None },
        )
        .collect();
    let [(first, one), (second, two)] = outers.as_slice() else { panic!("{outers:?}") };
    assert_ne!(first, second);
    assert_ne!(one.session, two.session);
    for seen in fake.seen() {
        if let Seen::Frontend { connection, build, .. } = seen {
            assert_eq!(connection, if build == one.r#ref { *first } else { *second });
        }
    }
    // The supervisor's is left.
    rig.socket.connections(1).await;
}
