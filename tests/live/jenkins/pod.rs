//! The pod that the library asks Jenkins for.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::stand::{Job, project};
use crate::rig;

#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn the_pod_shares_what_it_must_and_hides_the_engine() {
    let job = Job::new();
    let pipeline = "remoraPod(agentArgs: ['--insecure-registry', 'r.example:5000'], engineArgs: '--registry-mirror=https://m.example',\n  \
        containers: [tools: 'alpine:3'], cloud: 'k8s', inheritFrom: 'base', yaml: '''\nspec:\n  containers:\n    - name: engine\n      \
        image: docker:27-dind\n    - {name: own, image: busybox}\n''') { echo 'inside' }";
    job.run(pipeline).succeeds().says("inside");
    let pods = job.pods();
    let [outer, inner] = &pods[..] else { panic!("{pods:?}") };
    for (of, inherits) in [(outer, json!("base")), (inner, Value::Null)] {
        assert_eq!((&of["cloud"], &of["yamlMergeStrategy"]), (&json!("k8s"), &json!("merge")));
        assert_eq!(of["inheritFrom"], inherits);
    }
    let pod = yaml(outer["yaml"].as_str().unwrap());
    assert_eq!(pod["spec"]["securityContext"], json!({"fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}));
    let volumes = ["remora", "engine", "engine-data", "tmp"].map(|name| json!({"name": name, "emptyDir": {}}));
    assert_eq!(pod["spec"]["volumes"], json!(volumes));

    let containers = by_name(&pod);
    let mounts: BTreeMap<_, _> = containers.iter().map(|(name, container)| (*name, mounts(container))).collect();
    assert_eq!(mounts["install"], ["remora:/run/remora"]);
    assert_eq!(mounts["prepare-engine"], ["engine:/run/engine", "engine-data:/var/lib/docker"]);
    assert_eq!(
        mounts["agent"],
        ["engine-data:/var/lib/docker read-only", "remora:/run/remora", "engine:/run/engine", "tmp:/tmp"]
    );
    assert_eq!(mounts["engine"], ["engine:/run/engine", "engine-data:/var/lib/docker"]);
    // Steps have the agent's socket and the client, read-only, and nothing of the engine.
    for step in ["jnlp", "tools"] {
        assert_eq!(mounts[step], ["remora:/run/remora read-only"]);
    }
    let privileged = |container: &Value| container["securityContext"]["privileged"] == true;
    let all: Vec<_> = containers.iter().filter(|(_, container)| privileged(container)).map(|(name, _)| *name).collect();
    assert_eq!(all, ["engine"]);

    assert_eq!(containers["install"]["args"], json!(["install", "/run/remora/bin"]));
    assert_eq!(
        containers["prepare-engine"]["args"],
        json!(["prepare-engine", "--engine-version=28", "--registry-mirror=https://m.example"])
    );
    assert_eq!(containers["engine"]["args"], json!(["dockerd", "--config-file=/run/engine/daemon.json"]));
    assert_eq!(containers["agent"]["args"], json!(["--insecure-registry", "r.example:5000"]));
    assert_eq!(containers["agent"]["env"][0]["value"], "unix:///run/engine/docker.sock");
    assert_eq!(containers["tools"]["image"], "alpine:3");
    // No mark of the template is left.
    assert!(!outer["yaml"].as_str().unwrap().lines().any(|line| !line.contains('#') && line.contains('@')));
}

/// What runs beside the steps is what deploy/kubernetes has there.
#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn the_pod_is_that_of_deploy_kubernetes() {
    let job = Job::new().env("REMORA_AGENT_IMAGE", "remora-agent");
    job.run("remoraPod {}").succeeds();
    let (script, sidecar) = (project("tests/lib/kubernetes.sh"), project("deploy/kubernetes/sidecar"));
    let rendered = Command::new(script).args(["kubectl", "-", "kustomize"]).arg(sidecar).output().unwrap();
    let ours = yaml(job.pods()[0]["yaml"].as_str().unwrap());
    let theirs = yaml(&String::from_utf8(rendered.stdout).unwrap());
    let (mut wanted, mut has) = (by_name(&theirs), by_name(&ours));
    wanted.remove("step");
    has.remove("jnlp");
    assert_eq!(has.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, container) in &wanted {
        // Jenkins would have the checkout wait for the probe; no further flags are no flags.
        let but = |container: &Value| {
            let mut rest = container.as_object().unwrap().clone();
            rest.remove("readinessProbe");
            rest.retain(|field, value| field != "args" || *value != json!([]));
            rest
        };
        assert_eq!(but(has[name]), but(container), "{name}");
    }
    assert_eq!(ours["spec"]["securityContext"], theirs["spec"]["securityContext"]);
}

/// The newest published schemas of Kubernetes know every field of it.
#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn kubernetes_takes_the_pod() {
    let job = Job::new();
    job.run("remoraPod(containers: [tools: 'alpine:3', \"an'other\": 'busybox']) {}").succeeds();
    let pods = job.pods();
    // Jenkins gives it a name.
    let text = pods[0]["yaml"].as_str().unwrap().replace("metadata:\n", "metadata:\n  name: build\n");
    let dir = rig::scratch();
    let valid = |text: &str| {
        let file = dir.path().join("pod.yaml");
        std::fs::write(&file, text).unwrap();
        let script = project("tests/lib/kubernetes.sh");
        let output = Command::new(script).arg("validate").arg(file).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (good, told) = valid(&text);
    assert!(good && told.contains(": 1 valid"), "{told}");
    assert!(!valid(&text.replace("fsGroup", "fsgroup")).0, "the check sees no mistakes");
}

/// What the client is given and what the library knows are the same flags: a new one is not forgotten here.
#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn the_library_knows_every_flag_of_the_client() {
    const NOT_FOR_PIPELINES: &[&str] =
        &["--cache-to", "--call", "--check", "--digest-file", "--help", "--iidfile", "--metadata-file", "--quiet"];
    for (table, command) in [("BUILD", "build"), ("PUSH", "push"), ("PRUNE", "prune")] {
        let log =
            Job::new().run(&format!("echo 'flags: ' + dev.remora.Flags.{table}.values()*.first().findAll().join(' ')"));
        let known: Vec<_> = log.after("flags: ").split(' ').collect();
        let help = Command::new(env!("CARGO_BIN_EXE_remora")).args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        // What stands further in is what is said of them.
        let flags = help.lines().filter(|line| line.len() - line.trim_start().len() <= 6);
        let flags = flags.map(str::trim_start).filter(|line| line.starts_with('-'));
        let mut flags: Vec<_> =
            flags.filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--"))).collect();
        flags.retain(|flag| !NOT_FOR_PIPELINES.contains(flag));
        for flag in &flags {
            assert!(known.contains(flag), "remora {command} has {flag}, and deploy/jenkins has not");
        }
        for flag in &known {
            assert!(flags.contains(flag), "deploy/jenkins has {flag}, and remora {command} has not");
        }
    }
}

/// A file of YAML as a value.
fn yaml(text: &str) -> Value {
    let mut python = Command::new("python3")
        .args(["-c", "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    serde_json::from_slice(&python.wait_with_output().unwrap().stdout).expect("YAML")
}

fn by_name(pod: &Value) -> BTreeMap<&str, &Value> {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array().unwrap());
    lists.into_iter().flatten().map(|container| (container["name"].as_str().unwrap(), container)).collect()
}

/// As `VOLUME:PATH`.
fn mounts(container: &Value) -> Vec<String> {
    let text = |mount: &Value| {
        let read_only = if mount["readOnly"] == true { " read-only" } else { "" };
        format!("{}:{}{read_only}", mount["name"].as_str().unwrap(), mount["mountPath"].as_str().unwrap())
    };
    container["volumeMounts"].as_array().unwrap().iter().map(text).collect()
}
