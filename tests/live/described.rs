//! What is said of an image beside its layers: annotations and attestations.

use serde_json::Value;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(@ containerd Containerd28
    annotations_are_those_that_were_asked_for
    attestations_are_those_that_docker_makes
    attestations_stay_with_every_tag_and_the_cache_stays_warm
    an_archive_and_a_directory_are_attested
);
on_every_engine!(@ docker_28 Docker28 what_an_engine_would_lose_is_refused);
on_every_engine!(@ docker_20_10 Docker20 what_an_engine_would_lose_is_refused);
on_every_engine!(@ docker_26_over_tls Tls26 what_an_engine_would_lose_is_refused);

fn dockerfile(registry: &Registry) -> String {
    format!("FROM {}\nRUN echo {} >/made\n", registry.image("base:1"), rig::unique())
}

fn annotations_are_those_that_were_asked_for(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let context = rig::context(&[("Dockerfile", &dockerfile(&registry))]);
    let annotations = |tag: &str| registry.manifest("app", tag).json["annotations"].clone();
    let build = |tags: &[&str], args: &[&str]| {
        let tags: Vec<_> = tags.iter().map(|tag| registry.image(&format!("app:{tag}"))).collect();
        let tags: Vec<_> = tags.iter().flat_map(|tag| ["-t", tag.as_str()]).collect();
        agent.client().build(context.path(), &[&["--push"], args, &tags[..]].concat()).code(0);
    };
    build(&["plain"], &[]);
    assert_eq!(annotations("plain"), Value::Null);
    build(&["one", "two"], &["--annotation", "org.example.a=1", "--annotation", "manifest:org.example.b=x=y"]);
    for tag in ["one", "two"] {
        assert_eq!(annotations(tag), serde_json::json!({"org.example.a": "1", "org.example.b": "x=y"}), "{tag}");
    }
    build(&["other"], &["--annotation", "org.example.a=2"]);
    assert_eq!(annotations("other"), serde_json::json!({"org.example.a": "2"}));
    // The cached image has annotations, and this one is to have none.
    build(&["again"], &["--cache-from", &registry.image("app:one")]);
    assert_eq!(annotations("again"), Value::Null);

    let both = [
        "--platform",
        "linux/amd64,linux/arm64",
        "--annotation",
        "index:i=1",
        "--annotation",
        "manifest[linux/arm64]:m=2",
    ];
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let tag = registry.image("both:1");
    agent.client().build(context.path(), &[&["--push", "-t", &tag], &both[..]].concat()).code(0);
    let index = registry.manifest("both", "1").json;
    assert_eq!(index["annotations"], serde_json::json!({"i": "1"}));
    let of = |arch: &str| {
        let image =
            index["manifests"].as_array().unwrap().iter().find(|image| image["platform"]["architecture"] == arch);
        registry.manifest("both", image.unwrap()["digest"].as_str().unwrap()).json["annotations"].clone()
    };
    assert_eq!((of("amd64"), of("arm64")), (Value::Null, serde_json::json!({"m": "2"})));
    let alone = agent.client().build(context.path(), &["--annotation", "index:i=1"]);
    alone.code(2).says("has no index");
}

/// The provenance that hangs on an image.
fn provenance(registry: &Registry, repository: &str, tag: &str) -> Value {
    let index = registry.manifest(repository, tag).json;
    let attestation = index["manifests"]
        .as_array()
        .expect("an index")
        .iter()
        .find(|manifest| manifest["annotations"]["vnd.docker.reference.type"] == "attestation-manifest");
    let manifest = registry.manifest(repository, attestation.expect("an attestation")["digest"].as_str().unwrap());
    let layer = &manifest.json["layers"][0];
    assert!(layer["annotations"]["in-toto.io/predicate-type"].as_str().unwrap().contains("slsa.dev/provenance"));
    registry.blob(repository, layer["digest"].as_str().unwrap())
}

fn attestations_are_those_that_docker_makes(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let context = rig::context(&[("Dockerfile", &dockerfile(&registry))]);
    let path = context.path().to_str().unwrap();
    for (flag, value) in
        [("--provenance", "true"), ("--provenance", "mode=max"), ("--attest", "type=provenance,mode=max,version=v0.2")]
    {
        let (ours, theirs) = (registry.image("app:ours"), registry.image("app:theirs"));
        agent.client().build(context.path(), &["--push", "-t", &ours, flag, value]).code(0);
        engine.docker(&["build", "--network", "host", "--push", "-t", &theirs, flag, value, path]);
        let told = |tag: &str| {
            let found = provenance(&registry, "app", tag)["predicate"].clone();
            let definition =
                if found["buildDefinition"].is_null() { &found["invocation"] } else { &found["buildDefinition"] };
            let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            (
                names(&found),
                names(definition),
                found["buildType"].clone(),
                found["materials"].clone(),
                definition["parameters"]["args"].clone(),
            )
        };
        assert_eq!(told("ours"), told("theirs"), "{flag} {value}");
    }
    agent.client().build(context.path(), &["--push", "-t", &registry.image("app:none"), "--provenance=false"]).code(0);
    assert_eq!(registry.manifest("app", "none").json["manifests"], Value::Null);
}

fn attestations_stay_with_every_tag_and_the_cache_stays_warm(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::start(kind));
    let (base, salt) = (registry.image("base:1"), rig::unique());
    let dockerfile =
        format!("FROM {base} AS one\nRUN echo {salt} >/made\nFROM {base}\nCOPY --from=one /made /\nRUN cat /made\n");
    let context = rig::context(&[("Dockerfile", &dockerfile)]);
    let build = |tags: &[&str], args: &[&str]| {
        let tags: Vec<_> = tags.iter().map(|tag| registry.image(&format!("app:{tag}"))).collect();
        let tags: Vec<_> = tags.iter().flat_map(|tag| ["-t", tag.as_str()]).collect();
        let args = [&["--push", "--cache-scope", "main"], args, &tags[..]].concat();
        Agent::start(&engine).client().build(context.path(), &args).code(0)
    };
    let attested = ["--provenance", "mode=min"];
    build(&["1", "2"], &attested).assert_step("RUN echo", "DONE");
    // Each time another machine, which has nothing.
    engine.replace();
    build(&["3", "4"], &attested).assert_all_cached();
    for tag in ["1", "2", "3", "4"] {
        assert!(provenance(&registry, "app", tag).is_object(), "{tag} has lost its provenance");
    }
    engine.replace();
    build(&["5"], &[]).assert_all_cached();
    assert_eq!(registry.manifest("app", "5").json["manifests"], Value::Null, "nobody asked for an attestation");
    // The image with attestations is an index, and its cache is inline.
    engine.replace();
    let from = registry.image("app:1");
    let inline = ["--push", "-t", &registry.image("app:6"), "--cache-from", &from, "--cache", "inline"];
    let again = Agent::start(&engine).client().build(context.path(), &inline).code(0);
    again.assert_step("RUN cat /made", "CACHED");
}

fn an_archive_and_a_directory_are_attested(kind: Kind) {
    let (registry, agent) = (Registry::start(), Agent::start(&Engine::shared(kind)));
    let context = rig::context(&[("Dockerfile", &dockerfile(&registry))]);
    let dir = rig::scratch();
    let place = dir.path().join("files");
    agent.client().build(context.path(), &["-o", place.to_str().unwrap(), "--provenance", "true"]).code(0);
    let attested: Value = serde_json::from_slice(&std::fs::read(place.join("provenance.json")).unwrap()).unwrap();
    assert!(attested["predicateType"].as_str().unwrap().contains("provenance"));
    let archive = dir.path().join("app.tar");
    let output = format!("type=oci,dest={}", archive.display());
    let args = ["-o", &output, "--provenance", "true", "--annotation", "index-descriptor:org.example.a=b"];
    agent.client().build(context.path(), &args).code(0);
    let index = std::process::Command::new("tar").arg("-xOf").arg(&archive).arg("index.json").output().unwrap();
    let index: Value = serde_json::from_slice(&index.stdout).unwrap();
    assert_eq!(index["manifests"][0]["annotations"]["org.example.a"], "b");
}

fn what_an_engine_would_lose_is_refused(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    for (flag, value) in
        [("--annotation", "a=b"), ("--provenance", "true"), ("--sbom", "true"), ("--attest", "type=sbom")]
    {
        let refused = agent.client().build(context.path(), &[flag, value]).code(2);
        assert!(refused.stderr.contains("containerd image store"), "{}", refused.stderr);
    }
    for odd in
        [["--annotation", "a"], ["--annotation", "layer:a=b"], ["--attest", "type=vex"], ["--provenance", "mode=most"]]
    {
        agent.client().build(context.path(), &odd).code(2).says(odd[0]);
    }
    agent
        .client()
        .build(context.path(), &["--provenance=false", "--sbom", "false", "--attest", "type=sbom,disabled=true"])
        .code(0);
}
