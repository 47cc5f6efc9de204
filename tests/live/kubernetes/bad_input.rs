//! Pods that were written down wrong.

use crate::kubernetes::sidecar::plain_http;
use crate::rig::{Cluster, REGISTRY};

#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn a_step_without_the_shared_volume_is_told_of_it() {
    let cluster = Cluster::shared();
    let space = cluster.namespace();
    let image = format!("--image={REGISTRY}/remora-agent:test");
    space.kubectl(&["create", "serviceaccount", "steps"]);
    let overrides = r#"--overrides={"spec": {"serviceAccountName": "steps", "automountServiceAccountToken": false}}"#;
    space.kubectl(&["run", "step", &image, overrides, "--restart=Never", "--command", "--", "sleep", "1000"]);
    space.ready("step");
    let output = space.sh("step", "step", "remora info --wait 1s; echo code $?");
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    for words in ["/run/remora/agent.sock", "share the volume", "code 10"] {
        assert!(told.contains(words), "'{words}' is not in:\n{told}");
    }
}

#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn of_two_agents_that_race_for_the_socket_one_serves_and_one_says_why_not() {
    let cluster = Cluster::shared();
    let space = cluster.namespace();
    let second = format!(
        "{}          - {{name: second, image: remora-agent, env: [{{name: REMORA_ENGINE, value: \
         'unix:///run/engine/docker.sock'}}], volumeMounts: [{{name: remora, mountPath: /run/remora}}, \
         {{name: engine, mountPath: /run/engine}}]}}\n",
        plain_http()
    );
    space.apply("sidecar", &second);
    let path = "jsonpath={range .status.containerStatuses[*]}{.name}={.state.terminated.exitCode}{\"\\n\"}{end}";
    let ended = space.eventually("an agent ends", &["get", "pod", "build", "-o", path], |text| {
        text.lines().any(|line| line == "agent=2" || line == "second=2")
    });
    let (loser, winner) = if ended.contains("agent=2") { ("agent", "second") } else { ("second", "agent") };
    assert!(ended.contains(&format!("{winner}=\n")), "both ended:\n{ended}");
    let log = space.kubectl(&["logs", "build", "-c", loser]);
    assert!(log.contains("another agent answers there") && log.contains("/run/remora/agent.sock"), "{log}");
    let output = space.sh("build", "step", "/run/remora/bin/remora info --wait 60s");
    crate::rig::succeeded("a step beside two agents", &output);
}
