//! Every overlay can be rendered, and is what current versions of Kubernetes take.

use std::fs;
use std::process::Command;

use crate::rig::{self, repository, succeeded};

const OVERLAYS: [&str; 4] = ["sidecar", "native-sidecar", "rootless-buildkitd", "pool"];

/// What kubectl makes of a kustomization.
fn render(dir: &str) -> String {
    let output = Command::new(repository("tests/lib/kubernetes.sh")).args(["kubectl", "-", "kustomize", dir]).output();
    let output = output.unwrap();
    succeeded(dir, &output);
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the newest published schemas allow it, and what they say of it.
fn validate(text: &str) -> (bool, String) {
    let dir = rig::scratch();
    let file = dir.path().join("rendered.yaml");
    fs::write(&file, text).unwrap();
    let output = Command::new(repository("tests/lib/kubernetes.sh")).arg("validate").arg(file).output().unwrap();
    (
        output.status.success(),
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    )
}

#[test]
#[ignore = "needs the programs that tests/run.sh installs"]
fn kubernetes_takes_every_overlay() {
    for overlay in OVERLAYS {
        let (valid, told) = validate(&render(&repository(&format!("deploy/kubernetes/{overlay}"))));
        assert!(valid, "{overlay}: {told}");
        assert!(told.lines().count() >= 4 && !told.contains(": 0 valid"), "{overlay}: nothing was looked at: {told}");
    }
    // The check sees mistakes.
    let wrong = render(&repository("deploy/kubernetes/pool")).replace("maxUnavailable", "maxUnavailabel");
    assert!(!validate(&wrong).0);
}

#[test]
#[ignore = "needs the programs that tests/run.sh installs"]
fn cert_manager_is_a_component_of_the_pool() {
    let dir = rig::manifests();
    fs::create_dir(dir.path().join("own")).unwrap();
    let text = "resources: [../pool]\ncomponents: [../components/cert-manager]\n";
    fs::write(dir.path().join("own/kustomization.yaml"), text).unwrap();
    let rendered = render(dir.path().join("own").to_str().unwrap());
    assert!(rendered.contains("secretName: remora-tls\n  usages"), "{rendered}");
    let (valid, told) = validate(&rendered);
    assert!(valid, "{told}");
}

/// No step sees the engine, nothing listens on 2375, and one container of a pod is privileged, if any.
#[test]
#[ignore = "needs the programs that tests/run.sh installs"]
fn only_the_engine_is_privileged_and_no_step_sees_it() {
    for overlay in OVERLAYS {
        let rendered = render(&repository(&format!("deploy/kubernetes/{overlay}")));
        let privileged = rendered.matches("privileged: true").count();
        assert_eq!(privileged, usize::from(overlay != "rootless-buildkitd"), "{overlay}");
        assert!(!rendered.contains("2375") && !rendered.contains("tcp://0.0.0.0:2"), "{overlay}");
        let Some((_, step)) = rendered.split_once("    name: step\n") else { continue };
        let step = step.split("    name: ").take(3).collect::<String>();
        assert!(!step.contains("engine"), "{overlay}: the step sees the engine:\n{step}");
    }
}
