//! The systemd unit: how much it locks away, and that the agent does its work locked away so.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig;

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/remora-agent.service")
}

/// systemd's own measure of what a service could do: 10 is everything.
#[test]
#[ignore = "needs what tests/run.sh installs"]
fn the_unit_locks_the_agent_away() {
    let mut analyze = Command::new("systemd-analyze");
    let output = analyze.args(["security", "--offline=true", "--threshold=20"]).arg(unit()).output().unwrap();
    assert!(output.status.success(), "more than 2.0:\n{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn members_of_its_group_build_by_an_agent_that_is_nobody() {
    let dir = rig::scratch();
    let programs = Path::new(env!("CARGO_BIN_EXE_remora")).parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lib/systemd.sh");
    let mut command = rig::program(script.to_str().unwrap());
    let output = command.args([dir.path(), programs]).output().unwrap();
    let log = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let part = |name: &str| {
        let found = log.split("== ").find_map(|part| part.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no '{name}' in\n{log}"))
    };
    assert!(part("a member").contains("DONE") && part("a member").contains("exit code 0"), "{log}");
    assert!(part("anybody else").contains("exit code 10"), "{log}");
    let agent = part("the agent");
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(agent.contains(line), "'{line}' is not in\n{log}");
    }
    assert!(!agent.contains("Uid:\t0\t"), "it is root:\n{log}");
    assert!(part("stopped").contains("Result=success"), "{log}");
}
