//! The pool of deploy/kubernetes: two replicas, a step with a token of its account, and what happens when one goes.

use std::process::Output;
use std::thread;

use crate::rig::{Cluster, Namespace, REGISTRY, succeeded};

/// What the test's cluster needs otherwise.
pub(super) const OF_THE_TEST: &str = "
patches:
- patch: |-
    apiVersion: apps/v1
    kind: StatefulSet
    metadata: {name: remora}
    spec:
      template:
        spec:
          initContainers:
          - {name: prepare-engine, env: [{name: REMORA_INSECURE_REGISTRY, value: registry.example}]}
          containers:
          - {name: agent, env: [{name: REMORA_INSECURE_REGISTRY, value: registry.example}]}
          - {name: engine, resources: {requests: {cpu: 100m, memory: 64Mi}}}
";

const ADDRESS: &str = "dns:///remora.ci.svc:7733";

/// Volumes for two replicas.
fn volumes(cluster: &Cluster) {
    for number in 0..2 {
        let volume = serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("data-{number}")},
            "spec": {
                "capacity": {"storage": "50Gi"}, "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": cluster.dir.join(format!("data-{number}")), "type": "DirectoryOrCreate"},
            },
        });
        let file = cluster.dir.join("volume.json");
        std::fs::write(&file, volume.to_string()).unwrap();
        succeeded("a volume", &cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]).output().unwrap());
    }
}

/// Builds a project of its own in the pod `build`: a step that runs so many seconds.
fn build(space: &Namespace<'_>, project: &str, seconds: u32, args: &str) -> Output {
    let words = format!(
        "mkdir -p /tmp/{project}-{seconds} && cd /tmp/{project}-{seconds} && printf 'FROM {REGISTRY}/base:1\\nRUN echo begun && sleep {seconds} \
         && echo {project} >/made\\n' >Dockerfile && /run/remora/bin/remora build --progress plain --cache off {args} \
         -t {REGISTRY}/{project}:1 . 2>&1"
    );
    space.sh("build", "step", &words)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The replica that a build says it was at, first and last.
fn replicas(told: &str) -> Vec<&str> {
    told.lines().filter_map(|line| line.strip_prefix("remora: agent ")?.split(':').next()).collect()
}

#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn a_pool_of_two_serves_both_and_survives_the_deletion_of_one() {
    let cluster = Cluster::shared();
    volumes(&cluster);
    super::docs::follow_to_the_pool(&cluster);
    let (space, jobs) = (cluster.existing("ci"), cluster.existing("jobs"));

    // Both have projects.
    let homes: Vec<String> = (0..8)
        .map(|number| {
            let output = build(&jobs, &format!("project-{number}"), 0, "--push");
            succeeded("a build in the pool", &output);
            replicas(&text(&output)).last().expect("a replica is named").to_string()
        })
        .collect();
    assert!(["remora-0", "remora-1"].iter().all(|name| homes.iter().any(|home| home == name)), "{homes:?}");
    let (project, home) = ("project-0", homes[0].as_str());
    let other = if home == "remora-0" { "remora-1" } else { "remora-0" };

    let first = uid(&space, home);
    // Told to stop in the middle of a build: it lets that finish, takes no other, and comes back as warm as it was.
    thread::scope(|scope| {
        let running = scope.spawn(|| build(&jobs, project, 12, ""));
        begun(&space, home);
        space.kubectl(&["delete", "pod", home, "--wait=false"]);
        // The kubelet hears of it a moment later, and then tells the agent, which takes no more connections.
        let info = ["exec", "build", "-c", "step", "--", "/run/remora/bin/remora", "info", "--agent", ADDRESS];
        jobs.eventually("it drains", &info, |told| told.contains(other) && !told.contains(home));
        let meanwhile = build(&jobs, project, 1, "");
        succeeded("a build while its home drains", &meanwhile);
        assert_eq!(replicas(&text(&meanwhile)).last(), Some(&other), "{}", text(&meanwhile));
        let finished = running.join().unwrap();
        succeeded("the build that ran there", &finished);
        assert_eq!(replicas(&text(&finished)), [home], "{}", text(&finished));
    });
    comes_back(&space, &jobs, home, &first);
    let again = build(&jobs, project, 12, "");
    succeeded("a build after that", &again);
    assert_eq!(replicas(&text(&again)), [home], "{}", text(&again));
    assert!(text(&again).contains("CACHED"), "its volume is another one:\n{}", text(&again));

    // Gone in the middle of a build.
    thread::scope(|scope| {
        let running = scope.spawn(|| build(&jobs, project, 5, ""));
        begun(&space, home);
        space.kubectl(&["delete", "pod", home, "--grace-period=0", "--force"]);
        let finished = running.join().unwrap();
        succeeded("a build whose replica has gone", &finished);
        assert_eq!(replicas(&text(&finished)).last(), Some(&other), "{}", text(&finished));
    });

    who_may_not_is_told_so(&jobs);
    // Others need the node.
    space.kubectl(&["delete", "statefulset/remora", "--wait=false"]);
    jobs.kubectl(&["delete", "pod/build", "--wait=false"]);
}

/// Which pod of that name it is.
fn uid(space: &Namespace<'_>, pod: &str) -> String {
    String::from_utf8_lossy(&space.run(&["get", "pod", pod, "-o", "jsonpath={.metadata.uid}"]).stdout).into_owned()
}

/// Waits until another pod of that name is one of the pool.
fn comes_back(space: &Namespace<'_>, jobs: &Namespace<'_>, pod: &str, before: &str) {
    let get = ["get", "pod", pod, "-o", "jsonpath={.metadata.uid}"];
    space.eventually("another pod has its name", &get, |uid| !uid.is_empty() && uid != before);
    // Its address is known before its engine is there.
    space.kubectl(&["wait", "--for", "condition=Ready", &format!("pod/{pod}"), "--timeout", "2m"]);
    let info = ["exec", "build", "-c", "step", "--", "/run/remora/bin/remora", "info", "--agent", ADDRESS];
    jobs.eventually("clients find it", &info, |told| told.contains(pod));
}

/// Waits until a build runs at a replica.
fn begun(space: &Namespace<'_>, replica: &str) {
    let ps = ["exec", replica, "-c", "agent", "--", "remora", "ps", "--json"];
    space.eventually("the build has begun", &ps, |told| told.contains("RUN echo begun") || told.contains("project-0"));
}

fn who_may_not_is_told_so(jobs: &Namespace<'_>) {
    let cases = [("default", "remora", "builds"), ("builder", "somebody-else", "audience")];
    for (account, audience, word) in cases {
        let token = jobs.kubectl(&["create", "token", account, "--audience", audience]);
        let words = format!(
            "cd /tmp/project-0-0 && REMORA_TOKEN={} REMORA_AGENT={ADDRESS} /run/remora/bin/remora build . 2>&1; echo code $?",
            token.trim()
        );
        let told = text(&jobs.sh("build", "step", &words));
        assert!(told.contains("code 13") && told.contains(word), "{account}, {audience}: {told}");
        assert!(!told.contains(token.trim()), "the token is in the log");
    }
}
