//! What lies at a cache ref is not what it should be, or does not stay there: the image is right all the same.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{CHANCE, anew, application, differences, edit};
use crate::rig::{self, Agent, Engine, FaultyRegistry, Image, Kind, Manifest, Registry};

on_both_stores!(
    a_cache_ref_that_holds_something_else_changes_no_image,
    a_cache_of_all_stages_that_is_nonsense_changes_no_image,
);
// A graphdriver store asks for a layer that is gone for a minute.
on_one_engine!(Containerd28: a_cache_whose_layers_are_gone_fails_no_build);

on_every_engine!(
    a_cache_ref_that_is_overwritten_after_it_was_read,
    a_cache_ref_that_is_deleted_after_it_was_read,
    two_branches_and_each_has_its_own_content,
);

const RECORD: &str = "moby.buildkit.cache.v0";
const ALL: &[&str] = &["deps", "make", "prepare", "finish"];

/// An image that was pushed for `main`, to be made something else of.
struct Pushed {
    registry: Registry,
    manifest: Manifest,
    config: Value,
}

impl Pushed {
    fn layers(&self) -> Vec<Value> {
        self.manifest.json["layers"].as_array().unwrap().clone()
    }

    fn put(&self, config: &Value, layers: &[Value]) {
        self.registry.put_image("app", "cache_odd_final", &self.manifest, config, layers);
    }

    fn put_with(&self, key: &str, value: Value) {
        let mut config = self.config.clone();
        config[key] = value;
        self.put(&config, &self.layers());
    }
}

struct Case {
    what: &'static str,
    put: fn(&Pushed),
    /// The steps that run anew.
    anew: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case { what: "the image itself", put: |it| it.put(&it.config, &it.layers()), anew: &[] },
    Case {
        what: "squashed to one layer, with the old record",
        put: |it| {
            let mut config = it.config.clone();
            config["rootfs"]["diff_ids"] = json!([it.config["rootfs"]["diff_ids"][0]]);
            config["history"] = json!([{ "created": "2024-01-01T00:00:00Z", "comment": "squashed" }]);
            it.put(&config, &it.layers()[..1]);
        },
        anew: ALL,
    },
    Case {
        what: "squashed to one layer, with the old record and the old history",
        put: |it| {
            let mut config = it.config.clone();
            config["rootfs"]["diff_ids"] = json!([it.config["rootfs"]["diff_ids"][0]]);
            it.put(&config, &it.layers()[..1]);
        },
        anew: ALL,
    },
    Case {
        what: "a layer less than the record knows of",
        put: |it| {
            let mut config = it.config.clone();
            config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
            let layers = it.layers();
            it.put(&config, &layers[..layers.len() - 1]);
        },
        anew: ALL,
    },
    Case { what: "of another architecture", put: |it| it.put_with("architecture", "s390x".into()), anew: ALL },
    Case { what: "without a record", put: |it| it.put_with(RECORD, Value::Null), anew: ALL },
    Case { what: "with an empty record", put: |it| it.put_with(RECORD, "".into()), anew: ALL },
    Case { what: "with a record of nothing", put: |it| it.put_with(RECORD, "W10=".into()), anew: ALL },
    Case { what: "with a record that is no text", put: |it| it.put_with(RECORD, json!([{ "layer": 0 }])), anew: ALL },
    Case {
        what: "with a truncated record",
        put: |it| {
            let record = it.config[RECORD].as_str().unwrap();
            it.put_with(RECORD, record[..record.len() / 2].into());
        },
        anew: ALL,
    },
    Case {
        what: "with a history that is too short",
        put: |it| it.put_with("history", json!([it.config["history"][0]])),
        anew: ALL,
    },
    Case {
        what: "an index of other architectures",
        put: |it| it.registry.put_index("app", "cache_odd_final", &[(&it.manifest, "s390x"), (&it.manifest, "mips")]),
        anew: ALL,
    },
    Case {
        what: "an index with an image of another architecture before this one's",
        put: |it| {
            let other = it.registry.manifest("base", "1");
            it.registry.put_blob_of(&other, "base", "app");
            it.registry.put_manifest("app", "other", &other.json);
            let other = it.registry.manifest("app", "other");
            let own = match it.config["architecture"].as_str().unwrap() {
                "arm64" => "arm64",
                _ => "amd64",
            };
            it.registry.put_index("app", "cache_odd_final", &[(&other, "s390x"), (&it.manifest, own)]);
        },
        anew: &[],
    },
    Case {
        what: "somebody else's image with this one's record",
        put: |it| {
            // As many layers, upon another base image, of other steps.
            let (other, mut config) = foreign(it);
            config[RECORD] = it.config[RECORD].clone();
            it.put(&config, other.json["layers"].as_array().unwrap());
        },
        anew: ALL,
    },
    Case {
        what: "somebody else's image with its own record",
        put: |it| {
            let (other, config) = foreign(it);
            it.put(&config, other.json["layers"].as_array().unwrap());
        },
        anew: ALL,
    },
];

/// An image that has nothing in common with ours but the number of its layers.
fn foreign(it: &Pushed) -> (Manifest, Value) {
    let manifest = it.registry.manifest("app", "foreign");
    let config = it.registry.config("app", &manifest);
    assert_eq!(manifest.layers().len(), it.layers().len());
    (manifest, config)
}

fn a_cache_ref_that_holds_something_else_changes_no_image(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    // Somebody else's, on another base image.
    registry.move_base("foreign\n");
    let steps = ["RUN echo foreign >>/foreign\n"; 6].concat();
    let context = rig::context(&[("Dockerfile", &format!("FROM {}\n{steps}", registry.image("base:1")))]);
    agent.client().build(context.path(), &["--push", "-t", &registry.image("app:foreign")]).code(0);
    registry.seed_base();

    let (context, main) = (application(&registry.image("base:1")), registry.image("app:main"));
    agent.client().build(context.path(), &["--push", "-t", &main, "--cache-scope", "main"]).code(0);
    let (before, different) = differences(&engine, &registry, context.path(), &[], &main);
    assert!(different.is_empty(), "{different:?}");
    let manifest = registry.manifest("app", "main");
    let config = registry.config("app", &manifest);
    let pushed = Pushed { registry, manifest, config };
    let mut wrong = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        (case.put)(&pushed);
        engine.replace();
        let (tag, scope) = (pushed.registry.image(&format!("app:{number}")), format!("own/{number}"));
        let args = ["--push", "--cache-scope", &scope, "--cache-fallback", "odd", "-t", &tag];
        let built = agent.client().build(context.path(), &args);
        if built.status.code() != Some(0) {
            wrong.push(format!("{}: the build fails\n{}", case.what, built.stderr));
            continue;
        }
        engine.pull(&tag);
        let after = Image::of(&engine, &tag);
        let different = before.differences(&after, CHANCE);
        if !different.is_empty() {
            wrong.push(format!("{}: a wrong image: {}\n{}", case.what, different.join("\n"), built.stderr));
        }
        let ran = anew(&before, &after);
        if ran != case.anew {
            wrong.push(format!("{}: {ran:?} ran, and not {:?}\n{}", case.what, case.anew, built.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn a_cache_ref_that_is_overwritten_after_it_was_read(kind: Kind) {
    exchanged(kind, |registry, tag| {
        let other = registry.manifest("app", "other");
        registry.put_manifest("app", tag, &other.json);
    });
}

fn a_cache_ref_that_is_deleted_after_it_was_read(kind: Kind) {
    exchanged(kind, |registry, tag| registry.delete("app", &registry.manifest("app", tag).digest));
}

/// The target's cache ref becomes another once, right after the agent has read it.
fn exchanged(kind: Kind, exchange: fn(&Registry, &str)) {
    let registry = Arc::new(Registry::start());
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let main = "cache_main_final";
    let door = {
        let behind = Arc::clone(&registry);
        FaultyRegistry::armed_later(&registry, "GET", &format!("/manifests/{main}"), move || exchange(&behind, main))
    };
    let image = |name: &str| format!("{}/{name}", door.host);
    let context = application(&image("base:1"));
    let push = |tag: &str, scope: &str| {
        let args = ["--push", "--cache-scope", scope, "--cache-fallback", "main", "-t", &image(tag)];
        agent.client().build(context.path(), &args)
    };
    push("app:main", "main").code(0);
    edit(context.path(), "source/main", "hi", "other");
    push("app:other", "other").code(0);
    edit(context.path(), "source/main", "other", "hi");
    engine.replace();
    door.arm();
    let built = push("app:next", "next").code(0);
    assert_eq!(door.struck(), 1, "nobody asked for {main}\n{}", built.stderr);
    let (_, different) = differences(&engine, &registry, context.path(), &[], &image("app:next"));
    assert!(different.is_empty(), "{}\n{}", different.join("\n"), built.stderr);
}

fn two_branches_and_each_has_its_own_content(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let context = application(&registry.image("base:1"));
    let build = |scope: &str| {
        engine.replace();
        let tag = registry.image(&format!("app:{scope}"));
        let args = ["--push", "--cache-scope", scope, "--cache-fallback", "main", "-t", &tag];
        let built = agent.client().build(context.path(), &args).code(0);
        let (image, different) = differences(&engine, &registry, context.path(), &[], &tag);
        assert!(different.is_empty(), "{scope}: {}\n{}", different.join("\n"), built.stderr);
        image
    };
    let main = build("main");
    edit(context.path(), "source/main", "hi", "branch");
    edit(context.path(), "app.sh", "cat", "cat -n");
    let branch = build("branch");
    assert_eq!(anew(&branch, &build("branch")), [] as [&str; 0]);
    edit(context.path(), "source/main", "branch", "hi");
    let mixed = build("branch");
    assert_eq!(anew(&main, &mixed), ["finish"], "the builder as main has it, upon it what is the branch's own");
    edit(context.path(), "app.sh", "cat -n", "cat");
    assert_eq!(anew(&main, &build("main")), [] as [&str; 0]);
}

/// What is behind its manifest is for the engine to read.
fn a_cache_of_all_stages_that_is_nonsense_changes_no_image(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let (context, main) = (application(&registry.image("base:1")), registry.image("app:main"));
    agent.client().build(context.path(), &["--push", "-t", &main, "--cache-scope", "main"]).code(0);
    engine.pull(&main);
    let before = Image::of(&engine, &main);
    let of_main = registry.tags("app").into_iter().find(|tag| tag.starts_with("caches_main")).unwrap();
    for config in [
        "no JSON",
        "null",
        r#"{"layers": [{"blob": "sha256:x", "parent": 7}], "records": [{"digest": "sha256:x", "layers": [{"layer": 9}]}]}"#,
        r#"{"records": [{"digest": "sha256:x", "inputs": [[{"link": 0}]]}]}"#,
    ] {
        let mut manifest = registry.manifest("app", &of_main).json;
        let digest = registry.put_blob("app", config.as_bytes());
        let is_config = |blob: &&mut Value| blob["mediaType"] == "application/vnd.buildkit.cacheconfig.v0";
        // 20.10 has it among the entries of an index.
        let described = match manifest["manifests"].as_array_mut() {
            Some(blobs) => blobs.iter_mut().find(is_config).unwrap(),
            None => &mut manifest["config"],
        };
        (described["digest"], described["size"]) = (digest.into(), config.len().into());
        registry.put_manifest("app", "cache_odd_final", &manifest);
        engine.replace();
        let tag = registry.image("app:next");
        let args = ["--push", "--cache-scope", "own", "--cache-fallback", "odd", "-t", &tag];
        let built = agent.client().build(context.path(), &args).code(0);
        engine.pull(&tag);
        let different = before.differences(&Image::of(&engine, &tag), CHANCE);
        assert!(different.is_empty(), "{config}: {}\n{}", different.join("\n"), built.stderr);
        for tag in registry.tags("app").into_iter().filter(|tag| tag.contains("_own")) {
            registry.delete("app", &registry.manifest("app", &tag).digest);
        }
    }
}

fn a_cache_whose_layers_are_gone_fails_no_build(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let context = application(&registry.image("base:1"));
    let tag = registry.image("app:main");
    let push = || agent.client().build(context.path(), &["--push", "-t", &tag, "--cache-scope", "main"]).code(0);
    push();
    let base = registry.manifest("base", "1").layers();
    for layer in registry.manifest("app", "cache_main_final").layers().iter().filter(|layer| !base.contains(layer)) {
        registry.delete_blob("app", layer);
    }
    engine.replace();
    edit(context.path(), "source/main", "hi", "ha");
    let built = push().says("begins anew without it");
    let (_, different) = differences(&engine, &registry, context.path(), &[], &tag);
    assert!(different.is_empty(), "{}\n{}", different.join("\n"), built.stderr);
    engine.replace();
    push().assert_all_cached();
}
