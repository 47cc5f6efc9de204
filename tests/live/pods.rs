//! What the agent's program does for a pod before anything else runs in it, on real engines.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Output},
};

use crate::rig::{self, Engine, Kind, Pod};

on_every_engine!(an_engine_starts_as_its_pod_needs_it);
on_one_engine!(Docker28: no_engine_starts_on_a_containers_own_layers, the_client_is_not_installed_by_halves);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn says(output: &Output, code: i32, word: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(word), "'{word}' is not in: {told}");
}

/// What an engine needs to live among others on the machine of a test.
fn base(kind: Kind, dir: &Path) -> serde_json::Value {
    let mut base = serde_json::json!({
        "exec-root": dir.join("exec"),
        "pidfile": dir.join("docker.pid"),
        "iptables": false,
        "ip6tables": false,
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
    });
    if kind == Kind::Docker20 {
        base["deprecated-key-path"] = serde_json::json!(dir.join("key.json"));
    }
    base
}

fn an_engine_starts_as_its_pod_needs_it(kind: Kind) {
    // The pod's way out is narrower than what engines take for granted.
    let pod = Pod::new(1430);
    let engine = Engine::not_started(kind);
    let dir = engine.dir();
    fs::create_dir(dir.join("data")).unwrap();
    fs::write(dir.join("base.json"), base(kind, dir).to_string()).unwrap();
    let config = dir.join("prepared.json");
    let mut prepare = pod.command(env!("CARGO_BIN_EXE_remora-agent"));
    prepare
        .args(["prepare-engine", "--config", text(&config), "--base", text(&dir.join("base.json"))])
        .args(["--data-root", text(&dir.join("data")), "--socket", text(&dir.join("engine.sock")), "--group", "4321"])
        .args(["--registry-mirror", "http://mirror.ci:5000", "--insecure-registry", "registry.ci:5000"])
        .args(["--data-size", "10GB"]);
    // Without a version the file is one for all of them.
    if kind == Kind::Containerd28 {
        prepare.args(["--engine-version", "28"]);
    }
    says(&prepare.output().unwrap(), 0, "");
    engine.run_in(&pod, &config);
    let docker = |args: &[&str]| engine.docker_at_socket(args);

    let driver = if kind == Kind::Containerd28 { "overlayfs" } else { "overlay2" };
    assert_eq!(docker(&["info", "--format", "{{.Driver}}"]), driver);
    let mtu = r#"{{index .Options "com.docker.network.driver.mtu"}}"#;
    assert_eq!(docker(&["network", "inspect", "bridge", "--format", mtu]), "1430", "downloads in RUN steps hang");
    if kind != Kind::Docker20 {
        docker(&["network", "create", "own"]);
        assert_eq!(docker(&["network", "inspect", "own", "--format", mtu]), "1430");
    }
    let registries = docker(&["info", "--format", "{{json .RegistryConfig}}"]);
    assert!(registries.contains("http://mirror.ci:5000"), "{registries}");
    assert!(registries.contains(r#""registry.ci:5000""#), "{registries}");
    // 60 % of 10 GB.
    let builder = docker(&["buildx", "inspect", "default"]);
    assert!(builder.contains("5.588GiB"), "{builder}");

    assert_eq!(pod.listening(), Vec::<u16>::new(), "every step of the pod may have the engine");
    let socket = fs::metadata(dir.join("engine.sock")).unwrap();
    assert_eq!((socket.gid(), socket.permissions().mode() & 0o777), (4321, 0o660));
}

fn no_engine_starts_on_a_containers_own_layers(_: Kind) {
    let dir = rig::scratch();
    let at = |name: &str| dir.path().join(name);
    for name in ["lower", "upper", "work", "data"] {
        fs::create_dir(at(name)).unwrap();
    }
    let layers = format!("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", text(dir.path()));
    let mount = format!("mount -t overlay overlay -o {layers} {}", text(&at("data")));
    let config = at("daemon.json");
    fs::write(&config, "{}").unwrap();
    let agent = env!("CARGO_BIN_EXE_remora-agent");
    let prepare = format!("{agent} prepare-engine --config {} --data-root {}", text(&config), text(&at("data")));
    says(&in_its_own_mounts(&format!("{mount} && {prepare}")), 1, "emptyDir");
    assert!(!config.exists(), "the engine would start with the file of an earlier time");
}

/// On a volume that is full, and on one that is read-only.
fn the_client_is_not_installed_by_halves(_: Kind) {
    let dir = rig::scratch();
    let volume = text(dir.path());
    let install = format!("{} install {volume}", env!("CARGO_BIN_EXE_remora-agent"));
    let left = format!("; code=$?; ls -A {volume} >&2; exit $code");
    let full = in_its_own_mounts(&format!("mount -t tmpfs -o size=64k tmpfs {volume} && {install}{left}"));
    says(&full, 1, "make room");
    assert!(
        String::from_utf8_lossy(&full.stderr).lines().all(|line| !line.starts_with(".tmp")),
        "a half of it is left"
    );
    let read_only = in_its_own_mounts(&format!("mount -t tmpfs -o ro tmpfs {volume} && {install}"));
    says(&read_only, 1, "writable");
}

fn in_its_own_mounts(script: &str) -> Output {
    Command::new("unshare").args(["--mount", "bash", "-c", script]).output().unwrap()
}
