//! The caches of a target and of its stages become one in the registry, and are imported as that.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    agent::Agent,
    caching::{built_by, done, empty, graphdriver, pushed, refs_written, warnings},
    defining::definition,
    fake::{BuildKit, Seen},
    retrying::{
        put,
        registry::{self, Answer, Fake},
    },
    rig::sha256,
};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const MERGED: &str = "/v2/app/manifests/caches_main_stage-1";

/// A manifest and its config.
struct Image(String, String);

/// An image with a layer of its own above the base, and this record.
fn image(name: &str, record: &Value) -> Image {
    let layers = ["base", name];
    let config = json!({
        "architecture": "amd64", "os": "linux", "history": [{"created_by": "base"}, {"created_by": name}],
        "rootfs": {"type": "layers", "diff_ids": layers.map(|layer| sha256(format!("{layer}.tar").as_bytes()))},
        "moby.buildkit.cache.v0": STANDARD.encode(record.to_string()),
    });
    let config = config.to_string();
    let layer = |layer: &str| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": sha256(layer.as_bytes()), "size": 9});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI, "layers": layers.map(layer),
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config.as_bytes()),
            "size": config.len(),
        },
    });
    Image(manifest.to_string(), config)
}

/// The builder's, which has the layer of its step.
fn builder() -> Image {
    let make = json!({"digest": "make", "inputs": [[{"link": 0}]], "layers": [{"layer": 1}]});
    image("builder", &json!([{"digest": "base"}, make]))
}

/// The target's, which knows of that step alone.
fn target() -> Image {
    let make = json!({"digest": "make", "inputs": [[{"link": 0}]]});
    let copy = json!({"digest": "copy", "inputs": [[{"link": 0}], [{"link": 1}]], "layers": [{"layer": 1}]});
    image("stage-1", &json!([{"digest": "base"}, make, copy]))
}

/// A registry that has both images, and what is merged from them if `merged` is that.
pub(crate) fn holding(merged: Option<String>) -> impl Fn(usize, &registry::Seen) -> Answer + Send + Sync + 'static {
    let images = [("cache_main_builder", builder()), ("cache_main_stage-1", target())];
    move |_, request| {
        let ends = |what: &str| request.path.ends_with(what);
        match (request.method.as_str(), &merged) {
            ("GET", Some(merged)) if request.path == MERGED => return Answer::manifest(OCI, merged),
            ("HEAD", _) if request.path.contains("/blobs/") => return Answer::new(404, ""),
            ("POST", _) => return Answer::new(202, "").with("location", "/v2/app/blobs/uploads/one"),
            ("GET", _) => {
                for (tag, Image(manifest, config)) in &images {
                    if ends(&format!("/manifests/{tag}")) {
                        return Answer::manifest(OCI, manifest);
                    }
                    if ends(&sha256(config.as_bytes())) {
                        return Answer::new(200, config);
                    }
                }
            }
            _ => {}
        }
        empty(0, request)
    }
}

/// An engine that has done all steps, or finds them in the cache.
fn engine(cached: bool) -> BuildKit {
    BuildKit::new().definition(definition()).export(move |build| async move {
        build.tell(done(cached)).await;
        Ok(pushed())
    })
}

/// What was put there.
fn body(registry: &Fake, path: &str) -> Value {
    let seen = registry.seen();
    let put = seen.iter().find(|seen| seen.method == "PUT" && seen.path.contains(path));
    serde_json::from_str(&put.unwrap_or_else(|| panic!("{path}: {seen:?}")).body).unwrap()
}

/// The refs that the result is made with.
pub(crate) fn imports(fake: &BuildKit) -> Vec<String> {
    let refs = |seen: &Seen| match seen {
        Seen::Frontend { request, .. } if request.definition.is_some() => {
            Some(request.cache_imports.iter().map(|import| import.attrs["ref"].clone()).collect())
        }
        _ => None,
    };
    fake.seen().iter().rev().find_map(refs).unwrap_or_default()
}

#[tokio::test]
async fn the_caches_of_all_stages_become_one_which_the_next_build_imports_alone() {
    let (first, fake) = (Fake::start(holding(None)).await, engine(true));
    let (events, report) = built_by(&Agent::beside(graphdriver(&fake).0).await, &first).await;
    let written = refs_written(&report.unwrap());
    assert!(written.contains(&format!("{}/app:caches_main_stage-1", first.host)), "{written:?}");
    assert_eq!(warnings(&events), [""; 0]);
    let puts = put(&first);
    let untagged = puts.iter().find_map(|path| path.strip_prefix("/v2/app/manifests/sha256:"));
    let united = untagged.unwrap_or_else(|| panic!("what was found is one for this build: {puts:?}"));
    assert_eq!(imports(&fake), [format!("{}/app@sha256:{united}", first.host)]);

    let (manifest, config) = (body(&first, MERGED), body(&first, "/blobs/uploads/"));
    let layers: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["digest"]).collect();
    for layer in ["base", "builder", "stage-1"] {
        assert_eq!(
            layers.iter().filter(|digest| **digest == &Value::from(sha256(layer.as_bytes()))).count(),
            1,
            "{layer}"
        );
    }
    let make: Vec<_> = config["records"].as_array().unwrap().iter().filter(|r| r["digest"] == "make").collect();
    assert_eq!(make.len(), 1, "{config}");
    let layer = &config["layers"][usize::try_from(make[0]["layers"][0]["layer"].as_u64().unwrap()).unwrap()];
    assert_eq!(layer["blob"], sha256(b"builder"));

    let (second, fake) = (Fake::start(holding(Some(manifest.to_string()))).await, engine(true));
    let (_, report) = built_by(&Agent::beside(graphdriver(&fake).0).await, &second).await;
    report.unwrap();
    assert_eq!(imports(&fake), [format!("{}/app@{}", second.host, sha256(manifest.to_string().as_bytes()))]);
}

#[tokio::test]
async fn what_a_build_wrote_is_merged_anew() {
    let stale = json!({
        "schemaVersion": 2, "mediaType": OCI, "layers": [],
        "config": {"mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": sha256(b"{}"), "size": 2},
    });
    let (registry, fake) = (Fake::start(holding(Some(stale.to_string()))).await, engine(false));
    let (_, report) = built_by(&Agent::beside(graphdriver(&fake).0).await, &registry).await;
    let at = |tag: &str| format!("{}/app:{tag}", registry.host);
    assert_eq!(
        refs_written(&report.unwrap()),
        ["cache_main_builder", "cache_main_stage-1", "caches_main_stage-1"].map(at)
    );
    assert_eq!(registry.seen().last().map(|seen| seen.path.clone()).as_deref(), Some(MERGED));
    let merged = format!("{},{}", sha256(target().0.as_bytes()), sha256(builder().0.as_bytes()));
    assert_eq!(body(&registry, MERGED)["annotations"]["dev.remora.merged"], merged);
}

#[tokio::test]
async fn a_registry_that_takes_no_manifest_without_a_tag_leaves_one_scopes_cache() {
    let holding = holding(None);
    let refusing = move |number: usize, request: &registry::Seen| match request.method.as_str() {
        "PUT" if request.path.contains("/manifests/sha256:") => Answer::new(400, ""),
        _ => holding(number, request),
    };
    let (registry, fake) = (Fake::start(refusing).await, engine(true));
    let (events, report) = built_by(&Agent::beside(graphdriver(&fake).0).await, &registry).await;
    report.unwrap();
    let images = [target(), builder()].map(|Image(manifest, _)| sha256(manifest.as_bytes()));
    assert_eq!(imports(&fake), images.map(|digest| format!("{}/app@{digest}", registry.host)));
    let [warning] = warnings(&events)[..] else { panic!("{events:?}") };
    assert!(warning.contains("/app could not unite what was found"), "{warning}");
}

#[tokio::test]
async fn caches_that_cannot_become_one_are_a_warning_and_no_failure() {
    let holding = holding(None);
    let refusing = move |number: usize, request: &registry::Seen| match request.method.as_str() {
        "PUT" if request.path == MERGED => Answer::new(403, ""),
        _ => holding(number, request),
    };
    let (registry, fake) = (Fake::start(refusing).await, engine(true));
    let (events, report) = built_by(&Agent::beside(graphdriver(&fake).0).await, &registry).await;
    let written = refs_written(&report.unwrap());
    assert!(!written.iter().any(|written| written.contains("caches_")), "{written:?}");
    let [warning] = warnings(&events)[..] else { panic!("{events:?}") };
    assert!(warning.contains("caches_main_stage-1 was not written"), "{warning}");
}
