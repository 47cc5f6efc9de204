//! examples/compose.yaml, run as it stands.

use std::path::Path;

use crate::rig;

#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn the_compose_example_builds_keeps_its_cache_and_opens_nothing() {
    let programs = Path::new(env!("CARGO_BIN_EXE_remora")).parent().unwrap();
    // No base image, and no RUN: the engine within has no way to any registry but its own.
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let dir = rig::scratch();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lib/compose.sh");
    let mut command = rig::program(script.to_str().unwrap());
    let output = command.args([dir.path(), programs, context.path()]).output().unwrap();
    let log = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{log}");
    let part = |name: &str| log.split("== ").find_map(|part| part.strip_prefix(name)).expect("a part").trim();
    assert!(part("").contains("pushed registry:5000/app:latest"), "{log}");
    assert!(part("the step sees").contains("/run/remora/agent.sock"), "{log}");
    assert!(!part("the step sees").contains("/run/engine"), "{log}");
    assert_eq!(part("the engine listens on"), "", "{log}");
    assert_eq!(part("the agent may"), "CapEff:\t0000000000000000", "{log}");
    let again = part("again");
    assert!(again.contains("pushed registry:5000/app:latest") && again.contains("1 of 1 steps cached"), "{log}");
}
