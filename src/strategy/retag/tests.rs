#![allow(clippy::unwrap_used)]
use serde_json::Value;

use super::*;
use crate::{
    model::{BuildRequest, CacheRequest},
    strategy::{
        output,
        sample::{containerd, graphdriver, request},
    },
};

/// What an engine gave for one Dockerfile: see the tests of `republish`.
const WANTED: &str = include_str!("../republish/fixtures/28-one-wanted.json");
const CACHED: &str = include_str!("../republish/fixtures/28-one-pushed.json");

fn layers() -> Vec<String> {
    let manifest: Value = serde_json::from_str(include_str!("../republish/fixtures/28-manifest.json")).unwrap();
    manifest["layers"].as_array().unwrap().iter().map(|l| l["digest"].as_str().unwrap().to_owned()).collect()
}

fn judge(request: &BuildRequest, wanted: &str, cached: Option<&str>) -> Retag {
    let capabilities = graphdriver();
    let facts = Facts { request, capabilities: &capabilities, allowed: &[], insecure: &[] };
    let image = |config: &'static str| CachedImage {
        reference: "r.example/app:cache_main".to_owned(),
        config: config.as_bytes(),
        layers: layers(),
    };
    let images: Vec<_> = match cached {
        Some(CACHED) => vec![image(CACHED)],
        Some(_) => vec![image("{}"), image(CACHED)],
        None => Vec::new(),
    };
    retag(facts, &output(facts).unwrap(), Some(wanted.as_bytes()), &images)
}

#[test]
fn a_person_learns_which_image_may_be_published() {
    let push = BuildRequest { push: true, ..request() };
    let same = judge(&push, WANTED, Some(CACHED));
    assert_eq!(
        (same.possible, same.why.as_str()),
        (true, "r.example/app:cache_main gets the new tags as it is, and no layer is downloaded")
    );
    let mut labelled: Value = serde_json::from_str(WANTED).unwrap();
    labelled["config"]["Labels"] = serde_json::json!({ "commit": "1" });
    let new = judge(&push, &labelled.to_string(), Some(CACHED));
    assert_eq!(
        (new.possible, new.why.as_str()),
        (true, "the layers of r.example/app:cache_main get a new config and the tags, and none is downloaded")
    );
    assert!(judge(&push, WANTED, Some("a foreign one first")).possible, "one that cannot be hides none that can");
}

#[test]
fn a_person_learns_why_no_image_may_be_published() {
    let push = BuildRequest { push: true, ..request() };
    let off = CacheRequest { mode: CacheMode::Off, ..CacheRequest::default() };
    let foreign = WANTED.replace("amd64", "s390x");
    for (request, wanted, cached, why) in [
        (request(), WANTED, Some(CACHED), "without --push nothing is published"),
        (BuildRequest { load: true, ..push.clone() }, WANTED, Some(CACHED), "--load wants the layers in the engine"),
        (BuildRequest { no_cache: true, ..push.clone() }, WANTED, None, "--no-cache runs every step"),
        (BuildRequest { cache: off, ..push.clone() }, WANTED, None, "--cache off"),
        (push.clone(), WANTED, None, "no image with inline cache of the target was found"),
        (
            push,
            foreign.as_str(),
            Some(CACHED),
            "r.example/app:cache_main: the cached image has another \"architecture\"",
        ),
    ] {
        let judged = judge(&request, wanted, cached);
        assert!(!judged.possible);
        assert_eq!(judged.why, why);
    }
}

#[test]
fn an_engine_that_pushes_by_reference_needs_no_retag() {
    let request = BuildRequest { push: true, ..request() };
    let capabilities = containerd();
    let facts = Facts { request: &request, capabilities: &capabilities, allowed: &[], insecure: &[] };
    let judged = retag(facts, &output(facts).unwrap(), Some(WANTED.as_bytes()), &[]);
    assert!(!judged.possible && judged.why.starts_with("not needed"), "{judged:?}");
}
