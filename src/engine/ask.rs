//! What `BuildKit` is asked: a request and a plan as its messages.

use std::collections::{BTreeMap, HashMap};

use bollard_buildkit_proto::{
    google,
    moby::buildkit::v1::{
        CacheOptions, CacheOptionsEntry, Exporter, SolveRequest,
        frontend::{self, CacheOptionsEntry as FrontendCache},
    },
    pb,
};
use prost::Message as _;

use super::content;
use crate::{
    digest::sha256,
    model::{BuildRequest, HostAddress, Network, Reference, RunOptions, Subrequest, Ulimit},
    strategy,
};

/// What the outer solve of a result is given.
#[derive(Debug, Clone, Default)]
pub struct Outer<'a> {
    /// Where the result goes; `None` leaves it in the build cache.
    pub exporter: Option<&'a strategy::Exporter>,
    /// What carries cache for the next build.
    pub cache_exports: Vec<strategy::Exporter>,
    /// Entitlements of the build.
    pub entitlements: &'a [String],
    /// Platforms that the result is checked against.
    pub platforms: &'a [String],
    /// What is attested of the result.
    pub attestations: Option<&'a BTreeMap<String, String>>,
    /// Whether it is one that nobody asked for by itself, and that the engine keeps no record of.
    pub internal: bool,
}

pub(super) fn outer_request(id: &str, session: &str, outer: &Outer<'_>) -> SolveRequest {
    let exporter = outer.exporter;
    let attrs = |e: &strategy::Exporter| e.attrs.clone().into_iter().collect::<HashMap<_, _>>();
    let exports = outer.cache_exports.iter();
    SolveRequest {
        r#ref: id.to_owned(),
        session: session.to_owned(),
        // Docker 20.10 reads the first pair of fields, newer engines the last.
        exporter_deprecated: exporter.map(|e| e.kind.to_owned()).unwrap_or_default(),
        exporter_attrs_deprecated: exporter.map(attrs).unwrap_or_default(),
        exporters: exporter.map(|e| Exporter { r#type: e.kind.to_owned(), attrs: attrs(e) }).into_iter().collect(),
        cache: Some(CacheOptions {
            exports: exports.map(|e| CacheOptionsEntry { r#type: e.kind.to_owned(), attrs: attrs(e) }).collect(),
            ..CacheOptions::default()
        }),
        entitlements: outer.entitlements.to_vec(),
        frontend_attrs: platform_attr(outer.platforms)
            .chain(outer.attestations.into_iter().flat_map(attestation_attrs))
            .collect(),
        internal: outer.internal,
        ..SolveRequest::default()
    }
}

/// A solve of a definition, without a gateway.
pub(super) fn whole_request(
    id: &str,
    session: &str,
    outer: &Outer<'_>,
    definition: pb::Definition,
    imports: &[(Reference, bool)],
) -> SolveRequest {
    let mut request = outer_request(id, session, outer);
    request.definition = Some(definition);
    if let Some(cache) = &mut request.cache {
        let import = |(reference, insecure): &(Reference, bool)| CacheOptionsEntry {
            r#type: "registry".to_owned(),
            attrs: import_attrs(reference, *insecure).into_iter().collect(),
        };
        cache.imports = imports.iter().map(import).collect();
    }
    request
}

/// The input that the frontend takes for the main context.
pub const MAIN_INPUT: &str = "context";

/// Build contexts that are taken whole, as a repository's are: their names, and where they are.
pub(super) type Inputs = HashMap<String, pb::Definition>;

/// The session's own checkouts as inputs of the frontend: the name of each, and that of its directory. The frontend takes
/// them as it takes what the engine's git fetches, and reads no `.dockerignore` there.
pub(super) fn inputs<'a>(checkouts: impl Iterator<Item = (&'a str, &'a str)>, session: &str) -> Inputs {
    checkouts.map(|(input, directory)| (input.to_owned(), whole_directory(directory, session))).collect()
}

/// A directory of the session, copied whole. The key that `BuildKit` makes of a whole directory has the root's mode in it,
/// and not that of what a session sends: so `COPY .` has the key that it has of what the engine's git fetched.
///
/// `BuildKit` takes operations that look the same for one, in builds that run at the same time too: the session tells the
/// directories of two builds apart.
fn whole_directory(name: &str, session: &str) -> pb::Definition {
    let attrs = [("local.session".to_owned(), session.to_owned())].into();
    let source = pb::SourceOp { identifier: format!("local://{name}"), attrs };
    let source = pb::Op { op: Some(pb::op::Op::Source(source)), ..pb::Op::default() }.encode_to_vec();
    let copy = pb::FileActionCopy {
        src: "/".to_owned(),
        dest: "/".to_owned(),
        mode: -1,
        dir_copy_contents: true,
        timestamp: -1,
        ..pb::FileActionCopy::default()
    };
    let action =
        pb::FileAction { input: -1, secondary_input: 0, output: 0, action: Some(pb::file_action::Action::Copy(copy)) };
    let to = |op: &[u8]| vec![pb::Input { digest: sha256(op), index: 0 }];
    let file = pb::op::Op::File(pb::FileOp { actions: vec![action] });
    let file = pb::Op { inputs: to(&source), op: Some(file), ..pb::Op::default() }.encode_to_vec();
    let end = pb::Op { inputs: to(&file), ..pb::Op::default() }.encode_to_vec();
    let named = |name: &str| pb::OpMetadata {
        description: [("llb.customname".to_owned(), name.to_owned())].into(),
        ..pb::OpMetadata::default()
    };
    let metadata = [
        (sha256(&source), named("[internal] load git context")),
        (sha256(&file), named("[internal] copy git context")),
    ];
    pb::Definition { def: vec![source, file, end], metadata: metadata.into(), ..pb::Definition::default() }
}

/// Asks the Dockerfile frontend something else than a build. One that knows nothing but builds is to refuse.
pub(super) fn subrequest(request: &BuildRequest, inputs: Inputs, subrequest: Subrequest) -> frontend::SolveRequest {
    let id = match subrequest {
        Subrequest::Lint => "frontend.lint",
        Subrequest::Outline => "frontend.outline",
        Subrequest::Targets => "frontend.targets",
    };
    let mut solve = frontend_request(request, inputs, &[]);
    let attrs = [("requestid", id), ("frontend.caps", "moby.buildkit.frontend.subrequests")];
    solve.frontend_opt.extend(attrs.map(|(key, value)| (key.to_owned(), value.to_owned())));
    solve
}

/// Asks the Dockerfile frontend for the build's definition, without doing any of it.
pub(super) fn frontend_request(
    request: &BuildRequest,
    inputs: Inputs,
    imports: &[(Reference, bool)],
) -> frontend::SolveRequest {
    let mut inputs = inputs;
    // The Dockerfile is in the main context, unless the client has it.
    if let Some(context) = inputs.get(MAIN_INPUT).filter(|_| !request.dockerfile_lent).cloned() {
        inputs.insert("dockerfile".to_owned(), context);
    }
    frontend::SolveRequest {
        frontend: "dockerfile.v0".to_owned(),
        frontend_opt: frontend_attrs(request, imports),
        frontend_inputs: inputs,
        allow_result_return: true,
        allow_result_array_ref: true,
        ..frontend::SolveRequest::default()
    }
}

/// Asks for the result of a definition, which is made when something needs it.
pub(super) fn definition_request(
    definition: pb::Definition,
    cache_imports: Vec<FrontendCache>,
) -> frontend::SolveRequest {
    frontend::SolveRequest {
        definition: Some(definition),
        allow_result_return: true,
        allow_result_array_ref: true,
        cache_imports,
        ..frontend::SolveRequest::default()
    }
}

/// Caches that lie in registries.
pub(super) fn in_registries(imports: &[(Reference, bool)]) -> Vec<FrontendCache> {
    let import = |(reference, insecure): &(Reference, bool)| FrontendCache {
        r#type: "registry".to_owned(),
        attrs: import_attrs(reference, *insecure).into_iter().collect(),
    };
    imports.iter().map(import).collect()
}

/// A cache that the engine reads through the session, by the digest of its index.
pub(super) fn in_session(index: &str) -> FrontendCache {
    let attrs = [("src", content::STORE), ("digest", index)];
    let attrs = attrs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    FrontendCache { r#type: "local".to_owned(), attrs }
}

pub(super) fn rpc_status(status: &tonic::Status) -> google::rpc::Status {
    google::rpc::Status { code: status.code() as i32, message: status.message().to_owned(), details: Vec::new() }
}

fn platform_attr(platforms: &[String]) -> impl Iterator<Item = (String, String)> {
    let platforms = (!platforms.is_empty()).then(|| platforms.join(","));
    platforms.into_iter().map(|platforms| ("platform".to_owned(), platforms))
}

fn attestation_attrs(asked: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    asked.iter().map(|(kind, parameters)| (format!("attest:{kind}"), parameters.clone()))
}

fn frontend_attrs(request: &BuildRequest, imports: &[(Reference, bool)]) -> HashMap<String, String> {
    let mut attrs: HashMap<_, _> =
        platform_attr(&request.platforms).chain(attestation_attrs(&request.attestations)).collect();
    let mut set = |key: &str, value: String| attrs.insert(key.to_owned(), value);
    set("filename", request.dockerfile.clone());
    if let Some(remote) = &request.remote {
        set("context", remote.clone());
    }
    if request.dockerfile_lent {
        set("dockerfilekey", "dockerfile".to_owned());
    }
    if !request.contexts.is_empty() {
        // A frontend that knows no further contexts refuses, unless the Dockerfile names one that may.
        set("frontend.caps", "moby.buildkit.frontend.contexts+forward".to_owned());
    }
    for (name, place) in &request.contexts {
        set(&format!("context:{name}"), place.clone());
    }
    if let Some(target) = &request.target {
        set("target", target.clone());
    }
    for (key, value) in &request.build_args {
        set(&format!("build-arg:{key}"), value.clone());
    }
    for (key, value) in &request.labels {
        set(&format!("label:{key}"), value.clone());
    }
    if request.no_cache {
        // Without a list of stages it means all of them.
        set("no-cache", String::new());
    } else if !request.no_cache_stages.is_empty() {
        set("no-cache", request.no_cache_stages.join(","));
    }
    if request.pull {
        set("image-resolve-mode", "pull".to_owned());
    }
    match request.network {
        Network::Default => {}
        Network::None => drop(set("force-network-mode", "none".to_owned())),
        Network::Host => drop(set("force-network-mode", "host".to_owned())),
    }
    let RunOptions { hosts, cgroup_parent, shm_bytes, ulimits } = &request.run;
    if !hosts.is_empty() {
        let host = |(name, address): &(String, HostAddress)| format!("{name}={address}");
        set("add-hosts", hosts.iter().map(host).collect::<Vec<_>>().join(","));
    }
    if !cgroup_parent.is_empty() {
        set("cgroup-parent", cgroup_parent.clone());
    }
    if *shm_bytes > 0 {
        set("shm-size", shm_bytes.to_string());
    }
    if !ulimits.is_empty() {
        let ulimit = |Ulimit { name, soft, hard }: &Ulimit| format!("{name}={soft}:{hard}");
        set("ulimit", ulimits.iter().map(ulimit).collect::<Vec<_>>().join(","));
    }
    if !imports.is_empty() {
        let import = |(reference, insecure): &(Reference, bool)| {
            let attrs: serde_json::Map<_, _> =
                import_attrs(reference, *insecure).into_iter().map(|(key, value)| (key, value.into())).collect();
            serde_json::json!({ "Type": "registry", "Attrs": attrs })
        };
        let imports: Vec<_> = imports.iter().map(import).collect();
        set("cache-imports", serde_json::Value::from(imports).to_string());
    }
    attrs
}

fn import_attrs(reference: &Reference, insecure: bool) -> Vec<(String, String)> {
    let mut attrs = vec![("ref".to_owned(), reference.to_string())];
    if insecure {
        attrs.push(("registry.insecure".to_owned(), "true".to_owned()));
    }
    attrs
}
