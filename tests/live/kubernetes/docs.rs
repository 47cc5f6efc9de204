//! docs/kubernetes.md does what it says: its commands, one block after the other, as a new user would type them.

use std::fs;
use std::process::{Command, Stdio};

use crate::kubernetes::{pool, sidecar::plain_http};
use crate::rig::{self, Cluster, repository, static_programs, succeeded};

/// Where the pool's part begins.
const POOL: &str = "## A shared pool";

/// What is the test's own and no user's: its images are not public, its registry speaks plain HTTP, its machine is small,
/// and its Kubernetes is from before policy/v1.
fn of_the_test(pool: bool) -> String {
    let images = "  - {name: busybox, newTag: test}\n  - {name: docker, newTag: test}\n";
    format!("{images}{}", if pool { pool::OF_THE_TEST.to_owned() } else { plain_http() })
}

/// The commands of a part of the guide.
fn commands(part: &str) -> String {
    part.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Does what a part of the guide says, with these flags for kubectl. Returns what the programs have said.
fn follow(cluster: &Cluster, flags: &str, part: &str) -> String {
    let dir = rig::scratch();
    let place = dir.path();
    for program in ["remora", "remora-agent"] {
        fs::copy(static_programs().join(program), place.join(program)).unwrap();
    }
    let copied = Command::new("cp").args(["-r", &repository("deploy")]).arg(place).status().unwrap();
    assert!(copied.success());
    fs::write(place.join("pods.test"), of_the_test(false)).unwrap();
    fs::write(place.join("pool.test"), of_the_test(true)).unwrap();
    let (script, docker) = (repository("tests/lib/kubernetes.sh"), repository("tests/lib/engine.sh"));
    let cluster_dir = cluster.dir.display();
    let shell = format!(
        "kubectl() {{
           if [ \"$1 $2\" = 'apply -k' ]; then
             grep -q busybox $3/kustomization.yaml || case $3 in
               pool) cat pool.test ;;
               *) cat pods.test ;;
             esac >>$3/kustomization.yaml
             {script} kubectl - kustomize $3 | sed 's,policy/v1$,policy/v1beta1,' >rendered
             set -- apply -f rendered
           fi
           {script} kubectl {cluster_dir} {flags} \"$@\"
         }}
         docker() {{
           command=$1; shift
           [ $command != build ] || set -- --build-arg BASE=git:test --build-arg PROGRAMS=prebuilt \"$@\"
           {docker} docker 28 $command \"$@\"
         }}\n{}",
        commands(part)
    );
    let output = Command::new("bash")
        .args(["-euc", &shell])
        .current_dir(place)
        .env("DOCKER_HOST", format!("unix://{}", cluster.engine().display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    succeeded("the guide", &output);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn guide() -> (String, String) {
    let text = fs::read_to_string(repository("docs/kubernetes.md")).unwrap();
    let (pod, pool) = text.split_once(POOL).unwrap();
    (pod.to_owned(), pool.to_owned())
}

#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn every_command_of_the_guide_to_a_pod_works() {
    let cluster = Cluster::shared();
    let space = cluster.namespace();
    let told = follow(&cluster, &format!("--namespace={}", space.name), &guide().0);
    assert!(told.contains("RUN echo hello"), "{told}");
    assert!(cluster.digest("app", "1").is_some(), "{told}");
}

/// What the guides to CIs say of a cluster within their sentences.
#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn commands_in_sentences_of_the_guide_to_gitlab_work() {
    let cluster = Cluster::shared();
    let space = cluster.namespace();
    let guide = fs::read_to_string(repository("docs/gitlab.md")).unwrap();
    let commands: Vec<_> = guide.split('`').filter_map(|words| words.strip_prefix("kubectl ")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let command = command.replace(" --namespace jobs", "");
        space.kubectl(&command.split(' ').collect::<Vec<_>>());
    }
}

/// The image is the one that the first part of the guide makes. Leaves the pool, and a pod `build` that uses it.
pub(super) fn follow_to_the_pool(cluster: &Cluster) {
    let (pod, pool) = guide();
    let image = pod.split("## A build pod").next().unwrap();
    let told = follow(cluster, "", &format!("{image}{pool}"));
    assert!(told.contains("home of registry.example/app"), "{told}");
    assert!(cluster.digest("app", "2").is_some(), "{told}");
}
