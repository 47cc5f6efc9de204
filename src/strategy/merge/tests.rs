#![allow(clippy::unwrap_used)]
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::digest::sha256;

/// A digest that is easily told.
fn digest(name: &str) -> String {
    sha256(name.as_bytes())
}

/// An image of these layers, from the lowest, with this record.
struct Made {
    name: &'static str,
    config: Value,
    layers: Vec<String>,
}

impl Made {
    fn new(name: &'static str, layers: &[&str], record: &Value) -> Self {
        let entry = |layer: &&str| json!({ "created": "2026-01-02T03:04:05Z", "created_by": layer });
        let config = json!({
            "rootfs": { "diff_ids": layers.iter().map(|l| digest(&format!("{l}, unpacked"))).collect::<Vec<_>>() },
            "history": layers.iter().map(entry).chain([json!({ "empty_layer": true })]).collect::<Vec<_>>(),
            "moby.buildkit.cache.v0": STANDARD.encode(record.to_string()),
        });
        Self { name, config, layers: layers.iter().map(|layer| digest(layer)).collect() }
    }
}

fn merged(images: &[Made], form: Form) -> Option<Merged> {
    let configs: Vec<_> = images.iter().map(|image| (digest(image.name), image.config.to_string())).collect();
    let part = |(image, (digest, config)): (&'_ Made, &'static (String, String))| {
        let media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        let layers = image.layers.iter().map(|layer| LayerOf { digest: layer.clone().leak(), size: 9, media_type });
        Part { digest, config: config.as_bytes(), layers: layers.collect() }
    };
    let parts: Vec<_> = images.iter().zip(configs.leak().iter()).map(part).collect();
    merge(&parts, &[], form)
}

fn config(merged: &Merged) -> Value {
    serde_json::from_slice(&merged.config).unwrap()
}

fn record<'a>(config: &'a Value, name: &str) -> Vec<&'a Value> {
    config["records"].as_array().unwrap().iter().filter(|record| record["digest"] == name).collect()
}

/// The blobs of the chain that a record leads to, from the lowest.
fn chain(config: &Value, record: &Value) -> Vec<String> {
    let mut next = record["layers"].as_array().unwrap().last().unwrap()["layer"].as_i64().unwrap();
    let mut chain = Vec::new();
    while let Ok(index) = usize::try_from(next) {
        chain.insert(0, config["layers"][index]["blob"].as_str().unwrap().to_owned());
        next = config["layers"][index]["parent"].as_i64().unwrap();
    }
    chain
}

/// The builder's image: its dependencies, and what it makes of the source.
fn builder() -> Made {
    let record = json!([
        {"digest": "base"},
        {"digest": "source"},
        {"digest": "deps", "inputs": [[{"link": 0, "selector": "s"}]],
         "layers": [{"layer": 1, "createdAt": "2026-01-02T03:04:05.5Z"}]},
        {"digest": "make", "inputs": [[{"link": 2}], [{"link": 1}]], "layers": [{"layer": 2}]},
    ]);
    Made::new("builder", &["base", "deps", "make"], &record)
}

/// The final image, which knows the builder's steps without their layers, in another order.
fn target() -> Made {
    let record = json!([
        {"digest": "copy", "inputs": [[{"link": 3}], [{"link": 1}]], "layers": [{"layer": 1}]},
        {"digest": "make", "inputs": [[{"link": 2}], [{"link": 4}]]},
        {"digest": "deps", "inputs": [[{"link": 3, "selector": "s"}]]},
        {"digest": "base"},
        {"digest": "source"},
    ]);
    Made::new("target", &["base", "copy"], &record)
}

#[test]
fn a_step_that_one_image_only_knows_of_has_the_layers_of_the_other() {
    let merged = merged(&[target(), builder()], Form::Manifest).unwrap();
    let config = config(&merged);
    for (name, layers) in
        [("deps", ["base", "deps"].as_slice()), ("make", &["base", "deps", "make"]), ("copy", &["base", "copy"])]
    {
        let records = record(&config, name);
        assert_eq!(records.len(), 1, "{name} is one step: {config}");
        assert_eq!(chain(&config, records[0]), layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(record(&config, "base").len(), 1, "BuildKit knows what has no inputs by its digest alone");
    assert_eq!(config["layers"].as_array().unwrap().len(), 4, "the base is one: {config}");
    let deps = record(&config, "deps")[0];
    assert_eq!(deps["inputs"][0][0]["selector"], "s");
    assert_eq!(deps["layers"][0]["createdAt"], "2026-01-02T03:04:05.5Z");
    let link = |record: &Value| usize::try_from(record["link"].as_u64().unwrap()).unwrap();
    assert_eq!(config["records"][link(&deps["inputs"][0][0])]["digest"], "base");
}

#[test]
fn a_manifest_names_every_layer_once_as_buildkit_does() {
    let images = [target(), builder()];
    let names = format!("{},{}", digest("target"), digest("builder"));
    for (form, media_type) in [
        (Form::Manifest, "application/vnd.oci.image.manifest.v1+json"),
        (Form::Index, "application/vnd.oci.image.index.v1+json"),
    ] {
        let merged = merged(&images, form).unwrap();
        let manifest: Value = serde_json::from_slice(&merged.manifest).unwrap();
        assert_eq!((merged.media_type, manifest["mediaType"].as_str()), (media_type, Some(media_type)));
        assert_eq!(manifest["annotations"]["dev.remora.merged"], names);
        assert_eq!(merged_images(&merged.manifest), [digest("target"), digest("builder")]);
        let (mut layers, config) = match form {
            Form::Manifest => (manifest["layers"].as_array().unwrap().clone(), manifest["config"].clone()),
            Form::Index => {
                let mut all = manifest["manifests"].as_array().unwrap().clone();
                let config = all.pop().unwrap();
                (all, config)
            }
        };
        assert_eq!(config["mediaType"], CACHE_CONFIG);
        assert_eq!((&config["digest"], &config["size"]), (&sha256(&merged.config).into(), &merged.config.len().into()));
        layers.sort_by_key(|layer| layer["digest"].to_string());
        let mut expected = ["base", "copy", "deps", "make"].map(|name| {
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(name), "size": 9,
                "annotations": {
                    "containerd.io/uncompressed": digest(&format!("{name}, unpacked")),
                    "buildkit/createdat": "2026-01-02T03:04:05Z",
                },
            })
        });
        expected.sort_by_key(|layer| layer["digest"].to_string());
        assert_eq!(layers, expected);
    }
    assert_eq!(merged(&images, Form::Index), merged(&images, Form::Index), "the same bytes each time");
}

#[test]
fn the_targets_layers_are_taken_where_several_images_have_some() {
    let step = |layers: &[&str], name| {
        let record =
            json!([{"digest": "base"}, {"digest": "step", "inputs": [[{"link": 0}]], "layers": [{"layer": 1}]}]);
        Made::new(name, layers, &record)
    };
    let merged = merged(&[step(&["base", "step"], "target"), step(&["base", "step again"], "stage")], Form::Manifest);
    let config = config(&merged.unwrap());
    let [step] = record(&config, "step")[..] else { panic!("{config}") };
    assert_eq!(step["layers"].as_array().unwrap().len(), 1);
    assert_eq!(chain(&config, step), [digest("base"), digest("step")]);
    assert_eq!(config["layers"].as_array().unwrap().len(), 2, "what nobody needs is not named: {config}");
}

/// A build with the changed source on an engine that remembers no layers of steps that were cached.
fn forgetful() -> Made {
    let mut image = builder();
    let record = json!([
        {"digest": "base"},
        {"digest": "other source"},
        {"digest": "deps", "inputs": [[{"link": 0, "selector": "s"}]]},
        {"digest": "make", "inputs": [[{"link": 2}], [{"link": 1}]], "layers": [{"layer": 2}]},
    ]);
    image.config["moby.buildkit.cache.v0"] = STANDARD.encode(record.to_string()).into();
    image
}

#[test]
fn layers_that_an_engine_forgot_come_from_what_it_imported() {
    for form in [Form::Manifest, Form::Index] {
        let before = merged(&[target(), builder()], form).unwrap();
        let (image, name) = (forgetful(), digest("now"));
        let config_of = image.config.to_string();
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        let layers = image.layers.iter().map(|digest| LayerOf { digest, size: 9, media_type }).collect();
        let part = Part { digest: &name, config: config_of.as_bytes(), layers };
        let known = [Known::Whole { config: &before.config, manifest: &before.manifest }];
        let again = merge(std::slice::from_ref(&part), &known, form).unwrap();
        let config = config(&again);
        assert_eq!(chain(&config, record(&config, "deps")[0]), [digest("base"), digest("deps")]);
        assert!(record(&config, "copy").is_empty(), "what no image knows any more is forgotten: {config}");
        assert_eq!(merged_images(&again.manifest), [digest("now")]);
        let builder = builder();
        let (old, layers) = (builder.config.to_string(), builder.layers.iter());
        let layers = layers.map(|digest| LayerOf { digest, size: 9, media_type }).collect();
        let known = [Known::Image(Part { digest: "old", config: old.as_bytes(), layers })];
        assert_eq!(merge(std::slice::from_ref(&part), &known, form).unwrap().config, again.config);
        for odd in ["", "{}", r#"{"layers":[{"blob":"x","parent":0}],"records":[]}"#] {
            let known = [Known::Whole { config: odd.as_bytes(), manifest: &before.manifest }];
            assert_eq!(merge(std::slice::from_ref(&part), &known, form), merge(std::slice::from_ref(&part), &[], form));
        }
    }
}

/// A registry cache with these layers, each a blob and the place of the one below it, and these records.
fn whole(layers: &[(&str, i64)], records: &Value) -> (String, String) {
    let above = |(blob, parent): &(&str, i64)| json!({ "blob": digest(blob), "parent": parent });
    let descriptor = |(blob, _): &(&str, i64)| {
        let annotations = json!({ "containerd.io/uncompressed": digest(&format!("{blob}, unpacked")) });
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        json!({ "mediaType": media_type, "digest": digest(blob), "size": 9, "annotations": annotations })
    };
    let config = json!({ "layers": layers.iter().map(above).collect::<Value>(), "records": records });
    let manifest = json!({ "layers": layers.iter().map(descriptor).collect::<Value>() });
    (config.to_string(), manifest.to_string())
}

fn united(several: &[(String, String)]) -> Option<Value> {
    let known = |(config, manifest): &'_ (String, String)| {
        let (config, manifest): (&'static str, &'static str) = (config.clone().leak(), manifest.clone().leak());
        Known::Whole { config: config.as_bytes(), manifest: manifest.as_bytes() }
    };
    let several: Vec<_> = several.iter().map(known).collect();
    unite(&several, Form::Manifest).map(|united| config(&united))
}

/// A branch's cache: the dependencies as everywhere, and its own source. `BuildKit` writes layers in any order.
fn of_branch(name: &'static str) -> (String, String) {
    let records = json!([
        {"digest": "base"},
        {"digest": format!("{name}'s source")},
        {"digest": "deps", "inputs": [[{"link": 0}]], "layers": [{"layer": 2}]},
        {"digest": "make", "inputs": [[{"link": 2}], [{"link": 1}]], "layers": [{"layer": 0}]},
    ]);
    let (deps, make) = (format!("{name}'s deps"), format!("{name}'s make"));
    whole(&[(&make, 2), ("base", -1), (&deps, 1)], &records)
}

#[test]
fn a_build_finds_the_steps_of_its_branch_and_those_of_main_in_one() {
    let config = united(&[of_branch("feature"), of_branch("main")]).unwrap();
    let makes: Vec<_> = record(&config, "make").into_iter().map(|record| chain(&config, record)).collect();
    assert_eq!(
        makes,
        [["base", "feature's deps", "feature's make"].map(digest), ["base", "main's deps", "main's make"].map(digest),]
    );
    let [deps] = record(&config, "deps")[..] else { panic!("{config}") };
    assert_eq!(chain(&config, deps), ["base", "feature's deps"].map(digest), "what both have is the branch's own");
    assert_eq!(config["layers"].as_array().unwrap().len(), 5);
}

#[test]
fn what_cannot_be_one_with_others_is_left_out() {
    let circle = whole(&[("a", 1), ("b", 0)], &json!([{"digest": "x", "layers": [{"layer": 0}]}]));
    let beyond = whole(&[("a", 7)], &json!([{"digest": "x", "layers": [{"layer": 0}]}]));
    for odd in [circle, beyond, (String::new(), String::new())] {
        let config = united(&[of_branch("feature"), odd.clone(), of_branch("main")]).unwrap();
        assert_eq!(Some(config), united(&[of_branch("feature"), of_branch("main")]));
        assert_eq!(united(&[odd.clone(), of_branch("main")]), None, "the best one would be lost");
        assert_eq!(united(&[of_branch("main"), odd]), None, "there is but one");
    }
    assert_eq!(united(&[]), None);
}

#[test]
fn an_image_that_cannot_be_read_is_left_out_and_is_not_named() {
    let chains = json!([{"digest": "x", "chains": [{"layers": [0]}]}]);
    let circle = json!([{"digest": "x", "inputs": [[{"link": 0}]], "layers": [{"layer": 0}]}]);
    let beyond = json!([{"digest": "x", "layers": [{"layer": 1}]}]);
    let mut odd = builder();
    odd.config["rootfs"]["diff_ids"][0] = "sha256:another".into();
    let mut lying = builder();
    lying.config["rootfs"]["diff_ids"][0] = digest("something else").into();
    let mut bare = builder();
    bare.config = Value::Null;
    let with = |record| Made::new("stage", &["base"], record);
    for stage in [with(&chains), with(&circle), with(&beyond), odd, lying, bare] {
        let merged = merged(&[target(), stage], Form::Manifest).unwrap();
        assert_eq!(merged_images(&merged.manifest), [digest("target")]);
    }
    assert_eq!(merged(&[with(&chains), builder()], Form::Manifest), None, "nothing would have the target's steps");
    assert_eq!(merged(&[], Form::Manifest), None);
    assert_eq!(merged(&[with(&json!([{"digest": "x"}]))], Form::Manifest), None, "no layer, no cache");
}

#[test]
fn a_date_that_is_none_is_left_out_for_buildkit_would_leave_out_all() {
    let mut image = builder();
    image.config["history"][0]["created"] = "yesterday".into();
    let record = json!([{"digest": "x", "layers": [{"layer": 2, "createdAt": "2026-02-30T00:00:00Z"}]}]);
    image.config["moby.buildkit.cache.v0"] = STANDARD.encode(record.to_string()).into();
    let merged = merged(&[image], Form::Manifest).unwrap();
    let manifest: Value = serde_json::from_slice(&merged.manifest).unwrap();
    assert_eq!(manifest["layers"][0]["annotations"].get("buildkit/createdat"), None);
    assert_eq!(config(&merged)["records"][0]["layers"], json!([{"layer": 2}]));
}

#[test]
fn what_buildkit_would_not_read_is_not_written() {
    let many: Vec<_> =
        (0..20_000).map(|n| json!({"digest": digest(&n.to_string()), "layers": [{"layer": 0}]})).collect();
    assert_eq!(merged(&[Made::new("target", &["base"], &many.into())], Form::Manifest), None);
}

#[test]
fn a_long_chain_of_steps_is_no_trouble() {
    let step = |n: usize| match n {
        0 => json!({"digest": "0", "layers": [{"layer": 0}]}),
        _ => json!({"digest": n.to_string(), "inputs": [[{"link": n - 1}]]}),
    };
    let record = (0..15_000).rev().map(step).rev().collect();
    let merged = merged(&[Made::new("target", &["base"], &record)], Form::Manifest).unwrap();
    assert_eq!(config(&merged)["records"].as_array().unwrap().len(), 15_000);
}

#[test]
fn other_manifests_are_merged_of_nothing() {
    for text in ["", "[]", "{}", r#"{"annotations": null}"#, r#"{"annotations": {"dev.remora.merged": ""}}"#] {
        assert!(merged_images(text.as_bytes()).is_empty(), "{text}");
    }
}

proptest! {
    #[test]
    fn foreign_records_hurt_nobody(
        records in proptest::collection::vec(
            ("[a-c]", proptest::collection::vec(proptest::collection::vec(0_usize..6, 0..3), 0..3), proptest::option::of(0_usize..4)),
            0..6,
        ),
    ) {
        let record = |(digest, inputs, layer): &(String, Vec<Vec<usize>>, Option<usize>)| {
            let links = |input: &Vec<usize>| input.iter().map(|link| json!({ "link": link })).collect::<Value>();
            let layers: Vec<_> = layer.iter().map(|layer| json!({ "layer": layer })).collect();
            json!({ "digest": digest, "inputs": inputs.iter().map(links).collect::<Value>(), "layers": layers })
        };
        let records: Value = records.iter().map(record).collect();
        let strange = || Made::new("strange", &["base", "a", "b"], &records);
        let both = merged(&[target(), strange()], Form::Manifest).unwrap();
        let config = config(&both);
        let all = config["records"].as_array().unwrap();
        for (index, record) in all.iter().enumerate() {
            let links = record["inputs"].as_array().into_iter().flatten().flat_map(|input| input.as_array().unwrap());
            for link in links {
                prop_assert!(link["link"].as_u64().unwrap() < index as u64, "inputs come first: {}", config);
            }
        }
        prop_assert_eq!(&merged(&[target(), strange(), strange()], Form::Manifest).unwrap().config, &both.config);
    }
}
