//! docs/kubernetes.md does what it says: its commands, one block after the other, as a new user would type them.

use std::fs;
use std::process::{Command, Stdio};

use crate::rig::{self, Cluster, repository, static_programs, succeeded};

/// What is the test's own and no user's: its images are not public, its registry speaks plain HTTP.
const OF_THE_TEST: &str = "  - {name: busybox, newTag: test}
  - {name: docker, newTag: test}";

/// The blocks of shell commands.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn every_command_of_the_guide_works() {
    let cluster = Cluster::shared();
    let space = cluster.namespace();
    let dir = rig::scratch();
    let place = dir.path();
    for program in ["remora", "remora-agent"] {
        fs::copy(static_programs().join(program), place.join(program)).unwrap();
    }
    let copied = Command::new("cp").args(["-r", &repository("deploy")]).arg(place).status().unwrap();
    assert!(copied.success());
    let script = repository("tests/lib/kubernetes.sh");
    let commands = format!(
        "kubectl() {{
           if [ \"$1 $2\" = 'apply -k' ] && ! grep -q busybox \"$3/kustomization.yaml\"; then
             echo '{OF_THE_TEST}{plain}' >>\"$3/kustomization.yaml\"
           fi
           {script} kubectl {cluster} --namespace {space} \"$@\"
         }}
         docker() {{
           command=$1; shift
           [ $command != build ] || set -- --build-arg BASE=git:test --build-arg PROGRAMS=prebuilt \"$@\"
           {docker} docker 28 $command \"$@\"
         }}\n{blocks}",
        plain = super::sidecar::PLAIN_HTTP,
        docker = repository("tests/lib/engine.sh"),
        cluster = cluster.dir.display(),
        space = space.name,
        blocks = blocks(&fs::read_to_string(repository("docs/kubernetes.md")).unwrap()).concat(),
    );
    let output = Command::new("bash")
        .args(["-euc", &commands])
        .current_dir(place)
        .env("DOCKER_HOST", format!("unix://{}", cluster.engine().display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    succeeded("the guide", &output);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("RUN echo hello"), "{told}");
    assert!(cluster.digest("app", "1").is_some(), "{told}");
}
