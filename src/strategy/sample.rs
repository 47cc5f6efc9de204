//! A request, engines and graphs, for the tests of this room.

use std::{collections::BTreeMap, time::Duration};

use crate::model::{
    BuildRequest, CacheRequest, Capabilities, EngineKind, Export, Graph, ImageStore, Network, Node, NodeKind,
    Reference, RunOptions, SessionId,
};

pub(super) fn tag(text: &str) -> Reference {
    text.parse().unwrap_or_else(|invalid| panic!("{invalid}"))
}

pub(super) fn request() -> BuildRequest {
    BuildRequest {
        session: SessionId(String::new()),
        dockerfile: "Dockerfile".to_owned(),
        remote: None,
        dockerfile_lent: false,
        contexts: BTreeMap::new(),
        tags: vec![tag("r.example/app:1"), tag("r.example/app:latest"), tag("other.example/app:1")],
        target: None,
        build_args: BTreeMap::new(),
        labels: BTreeMap::new(),
        no_cache: false,
        no_cache_stages: Vec::new(),
        pull: false,
        platforms: Vec::new(),
        network: Network::Default,
        run: RunOptions::default(),
        entitlements: Vec::new(),
        cache_from: Vec::new(),
        cache: CacheRequest::default(),
        export: Export::Image,
        export_options: BTreeMap::new(),
        annotations: Vec::new(),
        attestations: BTreeMap::new(),
        subrequest: None,
        push: false,
        load: false,
        raw_status: false,
        provenance: None,
        wait: Duration::ZERO,
    }
}

/// Operations by name, kind and inputs, of which the first is the base. Their digests are their numbers.
pub(super) fn graph(nodes: &[(&str, NodeKind, &[usize])]) -> Graph {
    let node = |(index, (name, kind, inputs)): (usize, &(&str, NodeKind, &[usize]))| Node {
        digest: index.to_string(),
        name: (*name).to_owned(),
        kind: *kind,
        inputs: inputs.to_vec(),
        base: inputs.first().copied(),
    };
    Graph { nodes: nodes.iter().enumerate().map(node).collect() }
}

fn engine(kind: EngineKind, image_store: Option<ImageStore>, cache_exports: &[&'static str]) -> Capabilities {
    Capabilities {
        kind,
        version: String::new(),
        api_version: String::new(),
        image_store,
        storage_driver: String::new(),
        platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
        exporters: Vec::new(),
        cache_exports: cache_exports.to_vec(),
        cache_manifests: true,
        inline_forgets: false,
        run_limits: true,
        git_head: true,
        attestations: image_store != Some(ImageStore::Graphdriver),
        host_gateway: None,
        git: true,
    }
}

pub(super) fn graphdriver() -> Capabilities {
    engine(EngineKind::Dockerd, Some(ImageStore::Graphdriver), &["inline"])
}

pub(super) fn containerd() -> Capabilities {
    engine(EngineKind::Dockerd, Some(ImageStore::Containerd), &["inline", "registry", "local"])
}

pub(super) fn buildkitd() -> Capabilities {
    engine(EngineKind::Buildkitd, None, &["inline", "registry", "local"])
}
