//! Finds out, once per connection, what the engine is and can do.

use std::{net::IpAddr, time::Duration};

use bollard_buildkit_proto::{
    moby::buildkit::v1::{
        CacheOptions, ListWorkersRequest, SolveRequest, control_client::ControlClient, types::WorkerRecord,
    },
    pb,
};
use prost::Message as _;
use tonic::Request;

use super::{
    Error,
    dial::{Grpc, Transport},
    docker::{self, Docker, Version},
};
use crate::{
    digest::sha256,
    model::{Capabilities, EngineKind, EngineUrl, ImageStore},
};

/// What was found, and the connection that found it.
pub(super) struct Found {
    pub(super) capabilities: Capabilities,
    pub(super) transport: Transport,
    pub(super) connection: Grpc,
    /// Absent for a standalone buildkitd.
    pub(super) docker: Option<Docker>,
}

/// How long the engine may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first API version of Docker whose socket speaks gRPC itself and whose `/grpc` is deprecated.
const NATIVE_SINCE: (u32, u32) = (1, 53);
/// The first API version of Docker with a `BuildKit` that reads cache manifests: 25.0 has 0.12, 24.0 (1.43) has 0.11.
const CACHE_MANIFESTS_SINCE: (u32, u32) = (1, 44);
/// The first version of `BuildKit` that does.
const CACHE_MANIFESTS_SINCE_BUILDKIT: (u32, u32) = (0, 12);
/// The first API version of Docker that was seen to export inline cache whole: 28.0's.
const INLINE_WHOLE_SINCE: (u32, u32) = (1, 48);
/// The version of `BuildKit` in it.
const INLINE_WHOLE_SINCE_BUILDKIT: (u32, u32) = (0, 20);
/// The first API version of Docker whose frontend reads `ulimit`, `shm-size` and `cgroup-parent`: 23.0 has `BuildKit` 0.10.
const RUN_LIMITS_SINCE: (u32, u32) = (1, 42);
/// The first version of `BuildKit` that does.
const RUN_LIMITS_SINCE_BUILDKIT: (u32, u32) = (0, 10);
/// The first API version of Docker whose git looks at a repository's HEAD: 23.0 has `BuildKit` 0.10, which does since 0.9.
const GIT_HEAD_SINCE: (u32, u32) = (1, 42);
/// The first API version of Docker with a `BuildKit` that knows annotations and attestations: 24.0 has 0.11.
const ATTESTATIONS_SINCE: (u32, u32) = (1, 43);
/// The first version of `BuildKit` that does.
const ATTESTATIONS_SINCE_BUILDKIT: (u32, u32) = (0, 11);

pub(super) async fn probe(url: &EngineUrl) -> Result<Found, Error> {
    match tokio::time::timeout(PATIENCE, docker::version(url)).await {
        Ok(Ok(version)) => dockerd(url, version).await,
        // A buildkitd speaks HTTP/2 only: it breaks the connection, where a Docker engine refuses in so many words.
        Ok(Err(Error::Broken { .. })) => buildkitd(url).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::Refused { call: "GET /version", problem: format!("nothing within {PATIENCE:?}") }),
    }
}

async fn dockerd(url: &EngineUrl, version: Version) -> Result<Found, Error> {
    let docker = Docker::new(url, &version)?;
    let (info, grpc) = tokio::join!(tokio::time::timeout(PATIENCE, docker.bollard.info()), async {
        if docker::api_version(&version.api_version) >= NATIVE_SINCE
            && let Ok(found) = workers(url, Transport::Native).await
        {
            return Ok(found);
        }
        workers(url, Transport::Hijack).await
    });
    let info =
        info.map_err(|_| Error::Refused { call: "GET /info", problem: format!("nothing within {PATIENCE:?}") })?;
    let info = info.map_err(|e| Error::docker("GET /info", &e))?;
    let (transport, connection, worker) = grpc?;
    let containerd =
        info.driver_status.iter().flatten().any(
            |pair| matches!(pair.as_slice(), [key, value] if key == "driver-type" && value.contains("snapshotter")),
        );
    let git = has_git(&connection).await;
    let api = docker::api_version(&version.api_version);
    let (cache_manifests, run_limits) = (api >= CACHE_MANIFESTS_SINCE, api >= RUN_LIMITS_SINCE);
    let capabilities = Capabilities {
        kind: EngineKind::Dockerd,
        version: version.version,
        api_version: version.api_version,
        image_store: Some(if containerd { ImageStore::Containerd } else { ImageStore::Graphdriver }),
        storage_driver: info.driver.unwrap_or_default(),
        platforms: platforms(&worker),
        // BuildKit offers no list of them: these were seen to work.
        exporters: if containerd {
            vec!["moby", "image", "oci", "docker", "local", "tar"]
        } else {
            vec!["moby", "local", "tar"]
        },
        cache_exports: if containerd { vec!["inline", "registry", "local"] } else { vec!["inline"] },
        cache_manifests,
        inline_forgets: api < INLINE_WHOLE_SINCE,
        run_limits,
        // On a graphdriver store dockerd makes the manifest, when it pushes.
        attestations: containerd && api >= ATTESTATIONS_SINCE,
        host_gateway: host_gateway(&worker),
        git,
        git_head: api >= GIT_HEAD_SINCE,
    };
    Ok(Found { capabilities, transport, connection, docker: Some(docker) })
}

async fn buildkitd(url: &EngineUrl) -> Result<Found, Error> {
    let (transport, connection, worker) = workers(url, Transport::Native).await?;
    let version = worker.buildkit_version.as_ref().map(|v| v.version.clone()).unwrap_or_default();
    let capabilities = Capabilities {
        kind: EngineKind::Buildkitd,
        // The first ones do not tell it.
        cache_manifests: docker::api_version(version.trim_start_matches('v')) >= CACHE_MANIFESTS_SINCE_BUILDKIT,
        inline_forgets: docker::api_version(version.trim_start_matches('v')) < INLINE_WHOLE_SINCE_BUILDKIT,
        run_limits: docker::api_version(version.trim_start_matches('v')) >= RUN_LIMITS_SINCE_BUILDKIT,
        attestations: docker::api_version(version.trim_start_matches('v')) >= ATTESTATIONS_SINCE_BUILDKIT,
        version,
        api_version: String::new(),
        image_store: None,
        storage_driver: worker.labels.get("org.mobyproject.buildkit.worker.snapshotter").cloned().unwrap_or_default(),
        platforms: platforms(&worker),
        exporters: vec!["image", "oci", "docker", "local", "tar"],
        cache_exports: vec!["inline", "registry", "local"],
        host_gateway: host_gateway(&worker),
        git: has_git(&connection).await,
        git_head: true,
    };
    Ok(Found { capabilities, transport, connection, docker: None })
}

async fn workers(url: &EngineUrl, transport: Transport) -> Result<(Transport, Grpc, WorkerRecord), Error> {
    let connection = Grpc::connect(url, transport).await?;
    let worker = list_workers(&connection, PATIENCE).await?;
    let worker = worker.ok_or(Error::Refused { call: "ListWorkers", problem: "it has no worker".to_owned() })?;
    Ok((transport, connection, worker))
}

async fn list_workers(connection: &Grpc, patience: Duration) -> Result<Option<WorkerRecord>, Error> {
    let mut control = ControlClient::new(connection.channel.clone());
    let answer = tokio::time::timeout(patience, control.list_workers(ListWorkersRequest { filter: Vec::new() }))
        .await
        .map_err(|_| Error::Refused { call: "ListWorkers", problem: format!("nothing within {patience:?}") })?
        .map_err(|status| Error::refused("ListWorkers", &status))?;
    Ok(answer.into_inner().record.into_iter().next())
}

/// Whether the engine still answers.
pub(super) async fn alive(connection: &Grpc) -> Result<(), Error> {
    list_workers(connection, 3 * PATIENCE).await.map(drop)
}

/// Whether the engine can run git, learnt from how it fails to fetch from where nothing listens.
async fn has_git(connection: &Grpc) -> bool {
    let source = pb::Op {
        op: Some(pb::op::Op::Source(pb::SourceOp {
            identifier: "git://127.0.0.1:1/probe".to_owned(),
            attrs: [("git.fullurl".to_owned(), "git://127.0.0.1:1/probe".to_owned())].into(),
        })),
        ..pb::Op::default()
    }
    .encode_to_vec();
    let terminal =
        pb::Op { inputs: vec![pb::Input { digest: sha256(&source), index: 0 }], ..pb::Op::default() }.encode_to_vec();
    let request = SolveRequest {
        r#ref: uuid::Uuid::new_v4().simple().to_string(),
        definition: Some(pb::Definition { def: vec![source, terminal], ..pb::Definition::default() }),
        cache: Some(CacheOptions::default()),
        internal: true,
        ..SolveRequest::default()
    };
    let mut control = ControlClient::new(connection.channel.clone());
    match tokio::time::timeout(PATIENCE, control.solve(Request::new(request))).await {
        Ok(Err(status)) => {
            let lacks = ["executable file not found", "unknown scheme git"];
            !lacks.iter().any(|text| status.message().contains(text))
        }
        _ => true,
    }
}

fn host_gateway(worker: &WorkerRecord) -> Option<IpAddr> {
    worker.labels.get("org.mobyproject.buildkit.worker.moby.host-gateway-ip")?.parse().ok()
}

fn platforms(worker: &WorkerRecord) -> Vec<String> {
    let name = |p: &pb::Platform| match p.variant.as_str() {
        "" => format!("{}/{}", p.os, p.architecture),
        variant => format!("{}/{}/{variant}", p.os, p.architecture),
    };
    worker.platforms.iter().map(name).collect()
}
