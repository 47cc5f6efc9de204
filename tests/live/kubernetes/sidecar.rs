//! A build pod: a step, an engine and the agent between them.

use std::process::Output;

use crate::rig::{Cluster, REGISTRY, repository, succeeded};

/// The test's registry speaks plain HTTP, which the agent and the engine are told as the guide says.
pub(super) fn plain_http() -> String {
    let guide = std::fs::read_to_string(repository("docs/kubernetes.md")).unwrap();
    guide
        .split("```yaml\n")
        .find(|block| block.starts_with("patches:"))
        .unwrap()
        .split("```")
        .next()
        .unwrap()
        .to_owned()
}

/// Writes an application into `/tmp/app`.
const APPLICATION: &str = "mkdir -p /tmp/app && cd /tmp/app && echo v1 >app.py && cat >Dockerfile <<'EOF'
FROM registry.example/base:1
RUN echo one >/one
COPY app.py /app.py
RUN cat /app.py /one >/two
EOF";

fn told(output: &Output) -> String {
    succeeded("the step's build", output);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ended(text: &str, step: &str, end: &str) -> bool {
    text.lines().any(|line| line.contains(step) && line.contains(end))
}

#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn a_pod_that_is_born_empty_finds_every_step_cached() {
    let cluster = Cluster::shared();
    let space = cluster.namespace();
    let name = crate::rig::unique();
    let build = format!("{APPLICATION}\n/run/remora/bin/remora build --progress plain --push -t {REGISTRY}/{name}:1 .");
    for pod in ["first", "second"] {
        space.apply("sidecar", &plain_http());
        space.ready("build");
        let text = told(&space.sh("build", "step", &build));
        let end = if pod == "first" { "DONE" } else { "CACHED" };
        for step in ["RUN echo one", "RUN cat /app.py"] {
            assert!(ended(&text, step, end), "the {pod} pod: {step} is not {end}:\n{text}");
        }
        assert!(cluster.digest(&name, "1").is_some(), "{REGISTRY} has no image:\n{text}");
        space.kubectl(&["delete", "pod", "build", "--grace-period=0", "--force"]);
    }
}

/// What is beside the engine stays there: of all containers of the pod, a step knows the agent's socket alone.
#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn a_step_cannot_reach_the_engine() {
    let cluster = Cluster::shared();
    let space = cluster.namespace();
    space.apply("sidecar", &plain_http());
    space.ready("build");
    let never = [
        "ls /run/engine/docker.sock",
        "ls /var/run/docker.sock",
        "wget -T 2 -O - http://127.0.0.1:2375/_ping",
        "touch /run/remora/mine",
        "rm /run/remora/agent.sock",
    ];
    for words in never {
        let output = space.sh("build", "step", words);
        assert!(!output.status.success(), "a step may: {words}");
    }
    succeeded("a step", &space.sh("build", "step", "/run/remora/bin/remora info"));
}

/// The pod network's packets are smaller than Docker believes: downloads within steps would hang.
#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn steps_of_a_build_have_the_mtu_of_the_pod() {
    let cluster = Cluster::shared();
    let space = cluster.namespace();
    space.apply("sidecar", &plain_http());
    space.ready("build");
    let mtu = space.sh("build", "step", "cat /sys/class/net/eth0/mtu");
    assert_eq!(String::from_utf8_lossy(&mtu.stdout).trim(), "1450", "the pod network of this test");
    let build = "mkdir /tmp/mtu && printf 'FROM registry.example/base:1\\nRUN cat /sys/class/net/eth0/mtu | \
        sed s/^/mtu=/\\n' >/tmp/mtu/Dockerfile && /run/remora/bin/remora build --progress plain /tmp/mtu";
    let text = told(&space.sh("build", "step", build));
    assert!(text.contains("mtu=1450"), "{text}");
}

/// From the start of the agent's process to what the engine first says of the build.
#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn an_agent_builds_as_soon_as_it_is_started() {
    let cluster = Cluster::shared();
    let space = cluster.namespace();
    space.apply("sidecar", &plain_http());
    space.ready("build");
    let words = "mkdir /tmp/m && cd /tmp/m && printf 'FROM scratch\\nCOPY Dockerfile /\\n' >Dockerfile || exit
        start=$(date +%s%N)
        remora-agent --listen unix:///tmp/m.sock >/tmp/m.log 2>&1 &
        remora build --agent unix:///tmp/m.sock --progress plain . 2>&1 |
            { read -r first; echo $(( ($(date +%s%N) - start) / 1000000 )) \"$first\"; cat; }";
    let output = space.sh("build", "agent", words);
    succeeded("a build by an agent that has just started", &output);
    let text = String::from_utf8_lossy(&output.stdout);
    let took = text.split_once(' ').and_then(|(number, _)| number.parse::<u64>().ok());
    assert!(text.contains("[internal]") && took.is_some_and(|took| took < 200), "{text}");
}
