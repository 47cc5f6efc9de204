//! Images that the registry has already: published as they lie there, or else not at all.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexStatus};
use remora::{
    model::Failure,
    pb::{self, event::Kind},
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tonic::Status;

use super::{
    agent::{Agent, build, lend_nothing},
    caching::{built_by, empty, graphdriver, warnings},
    defining::{RESULT, RUN, definition, told},
    fake::{Build, BuildKit, Seen},
    progress::of,
    retrying::{
        DIGEST, put,
        registry::{self, Answer, Fake},
    },
    rig::{sha256, soon},
};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// What the frontend says of the image.
fn wanted() -> Value {
    json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:a"]},
        "history": [{"created_by": "base"}, {"created_by": "ENV A=1", "empty_layer": true}, {"created_by": "COPY out"}],
    })
}

fn layers() -> [String; 2] {
    [sha256(b"a layer"), sha256(b"another layer")]
}

/// The image that the last build pushed: its manifest and its config.
fn cached() -> (String, String) {
    let record = json!([
        {"digest": "sha256:base"},
        {"digest": "sha256:step", "inputs": [[{"link": 0}]], "layers": [{"layer": 1, "createdAt": "2026-01-02T03:04:05Z"}]},
    ]);
    let mut config = wanted();
    config["created"] = "2026-01-02T03:04:05.6Z".into();
    config["rootfs"]["diff_ids"] = json!(["sha256:a", "sha256:b"]);
    config["moby.buildkit.cache.v0"] = STANDARD.encode(record.to_string()).into();
    let config = config.to_string();
    let layer =
        |digest| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": 9});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI, "layers": layers().map(layer),
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config.as_bytes()),
            "size": config.len(),
        },
    });
    (manifest.to_string(), config)
}

/// A registry that has it as the main branch's cache.
pub(crate) fn holding(_: usize, request: &registry::Seen) -> Answer {
    let (manifest, config) = cached();
    let ends = |what: &str| request.path.ends_with(what);
    match request.method.as_str() {
        "GET" | "HEAD" if ends("/manifests/cache_main_stage-1") || ends(&sha256(manifest.as_bytes())) => {
            Answer::manifest(OCI, &manifest)
        }
        "GET" if ends(&sha256(config.as_bytes())) => Answer::new(200, &config),
        "HEAD" if request.path.contains("/blobs/") => Answer::new(404, ""),
        "POST" => Answer::new(202, "").with("location", "/v2/app/blobs/uploads/one"),
        _ => empty(0, request),
    }
}

/// What the engine says when it fetches these layers for the result, which it knows from the cache.
fn fetching(layers: &[String]) -> StatusResponse {
    let result = Vertex { cached: true, inputs: vec!["some".to_owned()], ..told(RESULT, 1, Some(1)) };
    let layer = |layer: &String| VertexStatus {
        vertex: result.digest.clone(),
        id: format!("pulling {layer}"),
        ..VertexStatus::default()
    };
    StatusResponse { statuses: layers.iter().map(layer).collect(), ..of([result.clone()]) }
}

/// An engine that sets out to fetch the cached image when its result is wanted.
pub(crate) fn fetches() -> BuildKit {
    loads(async |build| {
        let top = stand_ins(&build).await.map_or(layers().to_vec(), |layers| layers[1..].to_vec());
        build.tell(fetching(&top)).await;
        std::future::pending().await
    })
}

/// What the cache that this solve was given through its session has in the place of layers; `None` where it was given one
/// that lies in a registry.
async fn stand_ins(build: &Build) -> Option<Vec<String>> {
    let of_build = |seen: &Seen| match seen {
        Seen::Frontend { build: id, request, .. } if *id == build.id => Some(request.cache_imports.clone()),
        _ => None,
    };
    let imports = build.state.seen.borrow().iter().find_map(of_build).unwrap();
    let import = imports.iter().find(|import| import.r#type == "local")?;
    let index = read(build, &import.attrs["digest"]).await;
    assert_eq!(sha256(&index), import.attrs["digest"]);
    let index: Value = serde_json::from_slice(&index).unwrap();
    let blobs = index["manifests"].as_array().unwrap().iter();
    let layers = blobs.filter(|blob| blob["mediaType"].as_str().unwrap().contains("rootfs"));
    Some(layers.map(|blob| blob["digest"].as_str().unwrap().to_owned()).collect())
}

/// Reads a blob of the session's local cache through the session, as an engine does.
async fn read(build: &Build, digest: &str) -> Vec<u8> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Request {
        #[prost(string, tag = "1")]
        digest: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Response {
        #[prost(bytes = "vec", tag = "2")]
        data: Vec<u8>,
    }
    let mut client = tonic::client::Grpc::new(build.session().await.channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/containerd.services.content.v1.Content/Read");
    let mut request = tonic::Request::new(Request { digest: digest.to_owned() });
    request.metadata_mut().insert("buildkit-attachable-store-id", "local:remora".parse().unwrap());
    let codec = tonic_prost::ProstCodec::<Request, Response>::default();
    let mut parts = client.server_streaming(request, path, codec).await.unwrap().into_inner();
    let mut blob = Vec::new();
    while let Some(Response { data }) = parts.message().await.unwrap() {
        blob.extend(data);
    }
    blob
}

fn loads<F>(load: impl Fn(Build) -> F + Send + Sync + 'static) -> BuildKit
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    BuildKit::new().definition(definition()).config(wanted().to_string()).load(load)
}

/// What came of a build on a graphdriver engine.
struct Came {
    events: Vec<Kind>,
    report: Result<pb::Report, Failure>,
    /// How often the engine was told to push.
    pushes: usize,
    /// Manifests that were put.
    put: Vec<String>,
    fake: BuildKit,
    registry: Fake,
}

async fn build_with(fake: BuildKit, answer: impl Fn(usize, &registry::Seen) -> Answer + Send + Sync + 'static) -> Came {
    let registry = Fake::start(answer).await;
    let (dockerd, asked) = graphdriver(&fake);
    let (events, report) = built_by(&Agent::beside(dockerd).await, &registry).await;
    let pushes = asked.lock().unwrap().iter().filter(|asked| asked.path.contains("/push?tag=1")).count();
    Came { events, report, pushes, put: put(&registry), fake, registry }
}

impl Came {
    #[track_caller]
    fn assert_ordinary(&self, why: &str) {
        assert_eq!(self.report.as_ref().unwrap().digest, DIGEST, "{why}");
        assert_eq!(self.pushes, 1, "{why}");
        assert!(!self.put.iter().any(|path| path == "/v2/app/manifests/1"), "{why}: {:?}", self.put);
    }
}

#[tokio::test]
async fn an_image_in_which_nothing_changed_gets_its_tag_and_no_layer_moves() {
    let came = build_with(fetches(), holding).await;
    let report = came.report.unwrap();
    assert_eq!(report.digest, sha256(cached().0.as_bytes()), "the same as before");
    assert_eq!(report.image_id, sha256(cached().1.as_bytes()));
    assert_eq!((report.steps, report.cached_steps), (1, 1));
    assert_eq!((came.pushes, came.put.as_slice()), (0, ["/v2/app/manifests/1".to_owned()].as_slice()));
    let exported = |seen: &Seen| matches!(seen, Seen::Returned(returned) if returned.result.is_some());
    assert!(!came.fake.seen().iter().any(exported), "nothing was exported");
    assert_eq!(warnings(&came.events), [""; 0]);
    // The engine is told to stop: both what looked and what would have exported.
    came.fake.see(|seen| matches!(seen, Seen::Dropped { .. }).then_some(())).await;
}

#[tokio::test]
async fn a_label_that_changed_with_the_commit_is_a_new_config_over_the_same_layers() {
    let mut labelled = wanted();
    labelled["config"]["Labels"] = json!({"commit": "2"});
    let came = build_with(fetches().config(labelled.to_string()), holding).await;
    let report = came.report.unwrap();
    assert_ne!(report.digest, sha256(cached().0.as_bytes()));
    assert_eq!(came.pushes, 0);
    let seen = came.registry.seen();
    let uploaded = |end: &str| {
        let put =
            seen.iter().find(|seen| seen.method == "PUT" && seen.path.contains(end)).map(|seen| seen.body.clone());
        put.unwrap_or_else(|| panic!("{end}: {seen:?}"))
    };
    let (manifest, config) = (uploaded("/manifests/1"), uploaded("/blobs/uploads/one"));
    assert_eq!(sha256(manifest.as_bytes()), report.digest);
    let (manifest, config): (Value, Value) =
        (serde_json::from_str(&manifest).unwrap(), serde_json::from_str(&config).unwrap());
    assert_eq!(config["config"]["Labels"]["commit"], "2");
    let old: Value = serde_json::from_str(&cached().0).unwrap();
    assert_eq!((&manifest["layers"], &manifest["config"]["digest"]), (&old["layers"], &report.image_id.into()));
}

#[tokio::test]
async fn what_the_engine_would_make_of_other_layers_is_not_the_cached_image() {
    let other = [layers()[0].clone(), sha256(b"a third layer")];
    let one_more = [layers().as_slice(), &[sha256(b"a third layer")]].concat();
    for fetched in [other.to_vec(), layers()[..1].to_vec(), vec![]] {
        let fake = loads(move |build| {
            let fetched = fetched.clone();
            async move {
                build.tell(fetching(&fetched)).await;
                Ok(())
            }
        });
        build_with(fake, holding).await.assert_ordinary("other layers");
    }
    let fake = loads(move |build| {
        let one_more = one_more.clone();
        async move {
            build.tell(fetching(&one_more)).await;
            Ok(())
        }
    });
    build_with(fake, holding).await.assert_ordinary("one layer more");
}

#[tokio::test]
async fn a_result_of_fewer_layers_than_the_cached_image_is_another_one() {
    let fake = loads(async |build| {
        let Some(layers) = stand_ins(&build).await else { return Ok(()) };
        build.tell(fetching(&layers[..1])).await;
        std::future::pending().await
    });
    build_with(fake, holding).await.assert_ordinary("the lowest layer alone");
}

#[tokio::test]
async fn what_stands_for_a_layer_is_none_and_is_there_for_others_once_the_look_is_over() {
    let waiting = Arc::new(Notify::new());
    let seen = Arc::clone(&waiting);
    let fake = loads(move |build| {
        let seen = Arc::clone(&seen);
        async move {
            let layers = stand_ins(&build).await.unwrap();
            // Somebody else's solve goes on to fetch it.
            let (other, top) = (build.clone(), layers[1].clone());
            tokio::spawn(async move {
                let blob = read(&other, &top).await;
                assert_eq!((sha256(&blob), blob.is_ascii()), (top, true));
                seen.notify_one();
            });
            tokio::task::yield_now().await;
            build.tell(fetching(&layers[1..])).await;
            std::future::pending().await
        }
    });
    let came = build_with(fake, holding).await;
    assert_eq!((came.report.is_ok(), came.pushes), (true, 0));
    soon(waiting.notified()).await;
}

#[tokio::test]
async fn while_another_build_runs_the_engine_is_given_no_layers_that_do_not_exist() {
    let (registry, fake) = (Fake::start(holding).await, fetches().export(async |_| std::future::pending().await));
    let (dockerd, _) = graphdriver(&fake);
    let agent = Agent::beside(dockerd).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let _other = client.build(build(&session.id)).await.unwrap();
    fake.see(|seen| matches!(seen, Seen::Returned(_)).then_some(())).await;
    let (_, report) = built_by(&agent, &registry).await;
    assert_eq!(report.unwrap().digest, sha256(cached().0.as_bytes()));
    let local = |seen: &Seen| matches!(seen, Seen::Frontend { request, .. } if request.cache_imports.iter().any(|it| it.r#type == "local"));
    assert!(!fake.seen().iter().any(local));
}

#[tokio::test]
async fn a_build_that_has_to_run_something_is_no_cached_image() {
    let fake = loads(async |build| {
        build.tell(of([told(RUN, 1, None)])).await;
        // Nobody waits for it here: what runs goes on in the ordinary solve.
        std::future::pending().await
    });
    build_with(fake, holding).await.assert_ordinary("a step runs");
    let fake = loads(async |_| Err(Status::unknown("the look failed")));
    build_with(fake, holding).await.assert_ordinary("what fails in a look fails in the ordinary solve, or does not");
}

#[tokio::test]
async fn one_thing_that_changed_keeps_the_cached_image_from_being_published() {
    let other = |key: &str, value: Value| {
        let mut config = wanted();
        config[key] = value;
        config.to_string()
    };
    for config in [
        other("architecture", "arm64".into()),
        other("rootfs", json!({"type": "layers", "diff_ids": ["sha256:another"]})),
        other("history", json!([{"created_by": "base"}, {"created_by": "COPY something else"}])),
        other("history", json!([{"created_by": "base"}])),
        "{}".to_owned(),
        "no JSON".to_owned(),
    ] {
        build_with(fetches().config(config.clone()), holding).await.assert_ordinary(&config);
    }
}

#[tokio::test]
async fn a_registry_that_takes_no_manifest_is_pushed_to_as_ever() {
    let came = build_with(fetches(), |number, request| match request.method.as_str() {
        "PUT" if request.path.ends_with("/manifests/1") => Answer::new(403, ""),
        _ => holding(number, request),
    });
    let came = came.await;
    assert_eq!((came.report.unwrap().digest.as_str(), came.pushes), (DIGEST, 1));
}
