//! The fixtures are what real engines, 28 (graphdriver) and 20.10, gave for one Dockerfile of two stages: the config that
//! the frontend returned (`wanted`), the one that the engine pushed (`pushed`), and the manifest of `one`. `two` was
//! built upon `one` with another value in a LABEL, so that every step was cached.
#![allow(clippy::unwrap_used, clippy::panic)]
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/strategy/republish/fixtures/", $name, ".json"))
    };
}

mod odd;

struct Build {
    wanted: Value,
    cached: Value,
    layers: Vec<String>,
}

fn layers(manifest: &str) -> Vec<String> {
    let manifest: Value = serde_json::from_str(manifest).unwrap();
    manifest["layers"].as_array().unwrap().iter().map(|l| l["digest"].as_str().unwrap().to_owned()).collect()
}

impl Build {
    fn of(wanted: &str, cached: &str, manifest: &str) -> Self {
        let parse = |text| serde_json::from_str(text).unwrap();
        Self { wanted: parse(wanted), cached: parse(cached), layers: layers(manifest) }
    }

    /// Nothing changed.
    fn same() -> Self {
        Self::of(fixture!("28-one-wanted"), fixture!("28-one-pushed"), fixture!("28-manifest"))
    }

    fn changed(change: impl FnOnce(&mut Self)) -> Republish {
        let mut build = Self::same();
        change(&mut build);
        build.republish()
    }

    fn republish(&self) -> Republish {
        republish(self.wanted.to_string().as_bytes(), self.cached.to_string().as_bytes(), &self.layers)
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&STANDARD.decode(self.cached[record::KEY].as_str().unwrap()).unwrap()).unwrap()
    }

    fn change_record(&mut self, change: impl FnOnce(&mut Vec<Value>)) {
        let mut record = self.record();
        change(record.as_array_mut().unwrap());
        self.cached[record::KEY] = STANDARD.encode(record.to_string()).into();
    }
}

fn config(what: Republish) -> Value {
    match what {
        Republish::NewConfig(bytes) => serde_json::from_slice(&bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn why_not(what: Republish) -> String {
    match what {
        Republish::No(why) => why,
        other => panic!("published {other:?}"),
    }
}

#[test]
fn real_images_to_which_nothing_happened_are_published_as_they_are() {
    assert_eq!(Build::same().republish(), Republish::Same);
    let old = Build::of(fixture!("20.10-one-wanted"), fixture!("20.10-one-pushed"), fixture!("20.10-manifest"));
    assert_eq!(old.republish(), Republish::Same);
    let two = Build::of(fixture!("28-two-wanted"), fixture!("28-two-pushed"), fixture!("28-manifest"));
    assert_eq!(two.republish(), Republish::Same);
}

#[test]
fn a_new_label_gives_the_config_that_the_engine_itself_wrote() {
    for (wanted, cached, engines_own, manifest) in [
        (fixture!("28-two-wanted"), fixture!("28-one-pushed"), fixture!("28-two-pushed"), fixture!("28-manifest")),
        (
            fixture!("20.10-two-wanted"),
            fixture!("20.10-one-pushed"),
            fixture!("20.10-two-pushed"),
            fixture!("20.10-manifest"),
        ),
    ] {
        let build = Build::of(wanted, cached, manifest);
        let first = build.republish();
        assert_eq!(first, build.republish());
        assert_eq!(config(first), serde_json::from_str::<Value>(engines_own).unwrap());
    }
}

#[test]
fn what_is_published_is_the_same_again_the_next_time() {
    let mut build = Build::of(fixture!("28-two-wanted"), fixture!("28-one-pushed"), fixture!("28-manifest"));
    build.cached = config(build.republish());
    assert_eq!(build.republish(), Republish::Same);
}

#[test]
fn a_config_that_changed_alone_gets_into_the_image() {
    for (key, value) in [
        ("Env", json!(["PATH=/bin"])),
        ("Cmd", json!(["other"])),
        ("Entrypoint", json!(["/entry"])),
        ("Labels", json!({"a": "b"})),
        ("User", json!("root")),
        ("WorkingDir", json!("/")),
        ("ExposedPorts", json!({"80/tcp": {}})),
        ("Volumes", json!({"/data": {}})),
        ("StopSignal", json!("SIGINT")),
        ("Healthcheck", json!({"Test": ["CMD", "true"], "Interval": 5_000_000_000_u64})),
        ("OnBuild", json!(["RUN later"])),
        ("Shell", json!(["/bin/sh", "-e", "-c"])),
        ("SomethingNew", json!(1)),
    ] {
        let made = config(Build::changed(|b| b.wanted["config"][key] = value.clone()));
        assert_eq!(made["config"][key], value);
        let cached = Build::same().cached;
        for key in ["rootfs", "created", record::KEY, "history", "os", "architecture"] {
            assert_eq!(made[key], cached[key], "{key}");
        }
    }
    let gone = config(Build::changed(|b| drop(b.wanted["config"].as_object_mut().unwrap().remove("User"))));
    assert_eq!(gone["config"].get("User"), None);
    let author = config(Build::changed(|b| b.wanted["author"] = "somebody".into()));
    assert_eq!(author["author"], "somebody");
}

#[test]
fn null_is_nothing() {
    let what = Build::changed(|b| {
        b.wanted["config"]["OnBuild"] = Value::Null;
        b.cached["config"]["Shell"] = Value::Null;
        b.cached["author"] = Value::Null;
        b.cached["variant"] = Value::Null;
    });
    assert_eq!(what, Republish::Same);
}

#[test]
fn history_without_layers_is_the_builds_own() {
    let entry = json!({"created_by": "LABEL x=y", "comment": "buildkit.dockerfile.v0", "empty_layer": true});
    let added = |at| {
        config(Build::changed(|b| b.wanted["history"].as_array_mut().unwrap().insert(at, entry.clone())))["history"][at]
            .clone()
    };
    let cached = Build::same().cached["history"].clone();
    assert_eq!(added(10)["created"], cached[9]["created"]);
    assert_eq!(added(1)["created"], cached[2]["created"]);
    // The engine fills in the date before, wherever it is.
    assert_eq!(added(4)["created"], cached[3]["created"]);
    assert_eq!(added(4)["created_by"], "LABEL x=y");
}

#[test]
fn dates_that_the_frontend_gives_are_kept() {
    // SOURCE_DATE_EPOCH dates every entry.
    let date = "2001-01-01T00:00:00Z";
    let made = config(Build::changed(|b| {
        for entry in b.wanted["history"].as_array_mut().unwrap() {
            entry["created"] = date.into();
        }
    }));
    assert_eq!(made["created"], date);
    assert!(made["history"].as_array().unwrap().iter().all(|entry| entry["created"] == date));
    let made = config(Build::changed(|b| b.wanted["created"] = date.into()));
    assert_eq!(made["created"], date);
}

#[test]
fn an_image_of_another_platform_is_not_published() {
    for (key, value) in [
        ("architecture", "arm64"),
        ("os", "windows"),
        ("variant", "v7"),
        ("os.version", "10.0"),
        ("moby.buildkit.buildinfo.v1", "something"),
    ] {
        assert!(why_not(Build::changed(|b| b.wanted[key] = value.into())).contains(key));
        assert!(why_not(Build::changed(|b| b.cached[key] = value.into())).contains(key));
    }
    assert!(why_not(Build::changed(|b| b.wanted["os.features"] = json!(["x"]))).contains("os.features"));
    for key in ["os", "architecture"] {
        let neither = Build::changed(|b| {
            b.wanted[key] = "".into();
            b.cached[key] = "".into();
        });
        assert_eq!(why_not(neither), format!("the frontend's config has no {key}"));
    }
}

#[test]
fn another_step_is_another_layer() {
    let change = |at: usize, key: &str, value: Value| {
        why_not(Build::changed(|b| b.wanted["history"][at][key] = value));
    };
    change(4, "created_by", "RUN /bin/sh -c echo other > /srv/built # buildkit".into());
    change(2, "created_by", "WORKDIR /other".into());
    change(0, "created_by", "/bin/sh -c #(nop) ADD file in /".into());
    change(3, "comment", "somebody".into());
    change(4, "empty_layer", true.into());
    change(1, "empty_layer", false.into());
    change(1, "empty_layer", "yes".into());
    change(1, "created", 5.into());
    let why = why_not(Build::changed(|b| b.wanted["history"].as_array_mut().unwrap().swap(3, 4)));
    assert_eq!(why, "layer 3 of the cached image was made by another step");
    let why = why_not(Build::changed(|b| drop(b.wanted["history"].as_array_mut().unwrap().remove(5))));
    assert_eq!(why, "the build has 4 layers, the cached image 5");
    let entry = Build::same().wanted["history"][4].clone();
    why_not(Build::changed(|b| b.wanted["history"].as_array_mut().unwrap().push(entry)));
    why_not(Build::changed(|b| b.wanted["history"] = json!({})));
    why_not(Build::changed(|b| b.wanted["history"] = json!([1])));
}

#[test]
fn an_image_that_does_not_fit_itself_is_not_published() {
    // Squashed, with the record and the history of the image before.
    let why = why_not(Build::changed(|b| {
        b.layers.truncate(1);
        b.cached["rootfs"]["diff_ids"].as_array_mut().unwrap().truncate(1);
    }));
    assert_eq!(why, "the cached image's record leads to 5 of its 1 layers");
    let why = why_not(Build::changed(|b| drop(b.layers.pop())));
    assert_eq!(why, "the cached image's config names 5 layers, its manifest 4");
    why_not(Build::changed(|b| b.layers.push(format!("sha256:{}", "0".repeat(64)))));
    why_not(Build::changed(|b| b.layers.clear()));
    why_not(Build::changed(|b| drop(b.cached["rootfs"]["diff_ids"].as_array_mut().unwrap().pop())));
    why_not(Build::changed(|b| drop(b.cached["history"].as_array_mut().unwrap().remove(4))));
    why_not(Build::changed(|b| b.cached["rootfs"] = Value::Null));
    why_not(Build::changed(|b| b.cached["rootfs"]["diff_ids"][1] = 5.into()));
}

#[test]
fn another_base_image_is_not_published() {
    let why = why_not(Build::changed(|b| b.wanted["rootfs"]["diff_ids"][0] = format!("sha256:{:064}", 1).into()));
    assert_eq!(why, "the cached image has another base image");
    why_not(Build::changed(|b| b.cached["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse()));
    // An image from scratch has no base, and the frontend of an old engine names none.
    assert_eq!(Build::changed(|b| b.wanted["rootfs"]["diff_ids"] = Value::Null), Republish::Same);
}

#[test]
fn a_record_that_is_none_publishes_nothing() {
    let with = |value: Value| why_not(Build::changed(|b| b.cached[record::KEY] = value));
    let whole = Build::same().cached[record::KEY].as_str().unwrap().to_owned();
    for value in [
        Value::Null,
        json!(5),
        json!("not base64!"),
        json!(&whole[..whole.len() / 8 * 4]),
        json!(STANDARD.encode("{}")),
        json!(STANDARD.encode("[[[")),
        json!(STANDARD.encode("")),
    ] {
        assert_eq!(with(value), "the cached image has no cache record that can be read");
    }
    assert!(with(json!(STANDARD.encode("[]"))).contains("leads to 0 of its 5 layers"));
    let changed = |change: fn(&mut Vec<Value>)| why_not(Build::changed(|b| b.change_record(change)));
    // The record of an image with fewer layers, and of one with more.
    changed(|records| records.retain(|record| record["layers"][0]["layer"] != 4));
    changed(|records| records[0]["layers"] = json!([{"layer": 5}]));
    // Of an image put together from several trees.
    let why = changed(|records| records[0]["chains"] = json!([{"layers": [0, 2, 4]}]));
    assert_eq!(why, "the cached image was put together from several trees");
    // Links that lead nowhere, or in a circle.
    changed(|records| records[0]["inputs"] = json!([[{"link": 99}]]));
    changed(|records| records[0]["inputs"] = json!([[{"link": -1}]]));
    changed(|records| records[0]["inputs"] = json!([[{"link": 0}]]));
    changed(|records| records[0]["inputs"] = json!([[]]));
}

#[test]
fn the_key_of_the_top_tells_caches_apart() {
    let key = |build: &Build| inline_cache(build.cached.to_string().as_bytes()).unwrap().key_of_top();
    let same = key(&Build::same());
    assert!(same.is_some());
    let mut build = Build::same();
    // Dates are not part of it, nor is the order of the records.
    build.change_record(|records| {
        for record in records.iter_mut() {
            for layer in record["layers"].as_array_mut().into_iter().flatten() {
                layer["createdAt"] = "2001-01-01T00:00:00Z".into();
            }
            for link in record["inputs"].as_array_mut().into_iter().flatten().flat_map(|i| i.as_array_mut().unwrap()) {
                link["link"] = (8 - link["link"].as_u64().unwrap()).into();
            }
        }
        records.reverse();
    });
    assert_eq!(key(&build), same);
    // A new label alone leaves the cache as it was; another input far below does not.
    let two = Build::of(fixture!("28-two-wanted"), fixture!("28-two-pushed"), fixture!("28-manifest"));
    assert_eq!(key(&two), same);
    for change in [
        (|records| records[8]["digest"] = "sha256:other".into()) as fn(&mut Vec<Value>),
        |records| records[2]["inputs"][0][0]["selector"] = "other".into(),
        |records| records.iter_mut().for_each(|record| drop(record["inputs"].take())),
    ] {
        let mut build = Build::same();
        build.change_record(change);
        assert_ne!(key(&build), same);
    }
    build.change_record(|records| records.iter_mut().for_each(|record| drop(record["layers"].take())));
    assert_eq!(key(&build), None);
}

#[test]
fn a_long_chain_of_records_is_no_trouble() {
    let records: Vec<Value> = (0..20_000_usize)
        .map(|i| match i {
            0 => json!({"digest": "base"}),
            // Two ways to each: without memory that would be 2^20000.
            _ => json!({"digest": "step", "inputs": [[{"link": i - 1}, {"link": i - 1, "selector": "x"}]],
                        "layers": [{"layer": i}]}),
        })
        .collect();
    let mut build = Build::same();
    build.cached[record::KEY] = STANDARD.encode(Value::from(records).to_string()).into();
    let cache = inline_cache(build.cached.to_string().as_bytes()).unwrap();
    assert_eq!(cache.top_layer(), Some(19_999));
    assert!(cache.key_of_top().is_some());
}

#[test]
fn a_manifest_gets_another_config_and_keeps_the_rest() {
    let manifest = fixture!("28-manifest").replace("\"config\": {", "\"annotations\": {\"a\": \"b\"}, \"config\": {");
    let made = with_config(manifest.as_bytes(), "sha256:new", 7).unwrap();
    assert_eq!(made, with_config(&made, "sha256:new", 7).unwrap());
    let (made, mut old): (Value, Value) =
        (serde_json::from_slice(&made).unwrap(), serde_json::from_str(&manifest).unwrap());
    old["config"]["digest"] = "sha256:new".into();
    old["config"]["size"] = 7.into();
    assert_eq!(made, old);
    for odd in ["", "[]", "{}", r#"{"config":{}}"#, r#"{"config":5,"layers":[]}"#, r#"{"manifests":[]}"#] {
        assert_eq!(with_config(odd.as_bytes(), "sha256:new", 7), None, "{odd}");
    }
}

#[test]
fn an_image_upon_another_base_is_known_by_its_layers() {
    let same = Build::same();
    let upon = |wanted: &Value, cached: &Value| same_base(wanted.to_string().as_bytes(), cached.to_string().as_bytes());
    assert!(upon(&same.wanted, &same.cached));
    let mut other = same.cached.clone();
    other["rootfs"]["diff_ids"][0] = format!("sha256:{}", "0".repeat(64)).into();
    assert!(!upon(&same.wanted, &other));
    assert!(!upon(&same.wanted, &json!({})), "it has no layers at all");
    assert!(upon(&json!({}), &same.cached), "a build from scratch has no base");
    assert!(!upon(&same.wanted, &json!(7)));
}
