//! The runners' configurations: the pods that GitLab's Kubernetes executor makes of them. kubectl patches with the code
//! that the runner patches with, and the result must be valid by Kubernetes' published schemas.

use std::process::Command;

use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

/// A pod as the executor makes it before it is patched, with the volumes of `[runners.kubernetes.volumes]` in every
/// container, and one service.
fn generated(kubernetes: &Value) -> Value {
    let none = vec![];
    let volumes = kubernetes["volumes"]["empty_dir"].as_array().unwrap_or(&none);
    let mounts = volumes.iter().map(|volume| json!({"name": volume["name"], "mountPath": volume["mount_path"]}));
    let mounts: Vec<_> = mounts.chain([json!({"name": "repo", "mountPath": "/builds"})]).collect();
    let security = json!({"privileged": kubernetes["privileged"]});
    let container =
        |name: &str| json!({"name": name, "image": "any", "securityContext": security, "volumeMounts": mounts});
    let volumes = volumes.iter().map(|volume| json!({"name": volume["name"], "emptyDir": {}}));
    let volumes: Vec<_> = volumes.chain([json!({"name": "repo", "emptyDir": {}})]).collect();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runner"}, "spec": {
        "initContainers": [container("init-permissions")],
        "containers": (["build", "helper", "service"].map(container)),
        "volumes": volumes,
    }})
}

/// The strings, switches and tables of a TOML file; its numbers say nothing here.
fn read(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Boolean(on) => json!(on),
        DeValue::Array(all) => all.iter().map(|value| read(value.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), read(value.get_ref()))).collect()
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => Value::Null,
    }
}

fn patched(file: &str) -> Value {
    let text = std::fs::read_to_string(super::deployed().join(file)).unwrap();
    let config = read(&DeValue::Table(DeTable::parse(&text).unwrap().into_inner()));
    let runner = &config["runners"][0];
    assert_eq!(runner["feature_flags"]["FF_USE_ADVANCED_POD_SPEC_CONFIGURATION"], true, "{config:#}");
    let patch = &runner["kubernetes"]["pod_spec"][0];
    assert_eq!(patch["patch_type"], "strategic");
    let dir = crate::rig::scratch();
    let pod = dir.path().join("pod.json");
    std::fs::write(&pod, generated(&runner["kubernetes"]).to_string()).unwrap();
    let patch = format!("spec:\n{}", patch["patch"].as_str().unwrap());
    let mut kubectl = Command::new(crate::rig::repository("tests/lib/kubernetes.sh"));
    kubectl
        .args(["kubectl", "-", "patch", "--local", "--type", "strategic", "-o", "json", "--patch", &patch, "-f"])
        .arg(&pod);
    let output = kubectl.output().unwrap();
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(&pod, &output.stdout).unwrap();
    crate::rig::script("kubernetes.sh", &["validate", pod.to_str().unwrap()]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The containers of a kind, by name.
fn container<'a>(pod: &'a Value, kind: &str, name: &str) -> &'a Value {
    let all = pod["spec"][kind].as_array().unwrap();
    all.iter().find(|container| container["name"] == name).unwrap_or_else(|| panic!("no {name} in {pod:#}"))
}

/// Where a container has this volume, and whether it may write there.
fn mount(container: &Value, volume: &str) -> Option<(String, bool)> {
    let found = container["volumeMounts"].as_array()?.iter().find(|mount| mount["name"] == volume)?;
    Some((found["mountPath"].as_str()?.to_owned(), found["readOnly"] != true))
}

fn unprivileged(container: &Value) -> bool {
    container["securityContext"]["privileged"] != true
}

#[test]
#[ignore = "needs what tests/run.sh installs"]
fn the_jobs_container_sees_the_agent_and_not_the_engine() {
    let pod = patched("config.toml");
    let of = |name: &str| container(&pod, "containers", name);
    for name in ["build", "helper", "service"] {
        assert!(mount(of(name), "engine").is_none() && unprivileged(of(name)), "{name}: {pod:#}");
    }
    assert_eq!(mount(of("build"), "remora"), Some(("/run/remora".into(), false)), "{pod:#}");
    for name in ["remora-engine", "remora-agent"] {
        assert_eq!(mount(of(name), "engine"), Some(("/run/engine".into(), true)), "{pod:#}");
    }
    assert!(unprivileged(of("remora-agent")), "{pod:#}");
    let first = |name: &str| container(&pod, "initContainers", name)["args"][0].clone();
    assert_eq!((first("remora-install"), first("remora-prepare")), ("install".into(), "prepare-engine".into()));
    assert!(!pod.to_string().contains("tcp://") && !pod.to_string().contains("hostPath"), "{pod:#}");
}

#[test]
#[ignore = "needs what tests/run.sh installs"]
fn the_engine_as_a_service_is_out_of_the_jobs_reach() {
    let pod = patched("config-services.toml");
    let of = |name: &str| container(&pod, "containers", name);
    for name in ["build", "helper"] {
        let sees = |volume: &str| mount(of(name), volume).is_some();
        assert!(!sees("engine") && !sees("engine-data") && unprivileged(of(name)), "{name}: {pod:#}");
        assert!(sees("repo"), "it lost more than it should: {pod:#}");
    }
    assert_eq!(mount(of("service"), "engine"), Some(("/run/engine".into(), true)), "{pod:#}");
    assert_eq!(mount(of("build"), "remora").unwrap().0, "/run/remora", "the client: {pod:#}");
}

#[test]
#[ignore = "needs what tests/run.sh installs"]
fn a_job_of_the_pool_has_a_token_for_it_and_nothing_privileged() {
    let pod = patched("config-pool.toml");
    assert!(!pod.to_string().contains(r#""privileged":true"#), "{pod:#}");
    let build = container(&pod, "containers", "build");
    assert_eq!(mount(build, "remora-token"), Some(("/var/run/secrets/remora".into(), false)), "{pod:#}");
    assert!(mount(container(&pod, "containers", "service"), "remora-token").is_none(), "{pod:#}");
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let token = volumes.iter().find(|volume| volume["name"] == "remora-token").unwrap();
    assert_eq!(token["projected"]["sources"][0]["serviceAccountToken"]["audience"], "remora", "{pod:#}");
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false, "a token of the cluster's own API: {pod:#}");
}
