//! What the guides in docs/ tell their readers to do, done.
//!
//! Every line of a fenced block that calls `remora` is run, in the order of the guide, beside a small project: registry
//! names stand for the test's own. What stands in a block that never calls it (what people had before) is left alone.

use std::path::Path;

use crate::gitlab::Project;
use crate::rig::{self, Agent, Engine, Kind, Registry};

on_one_engine!(Containerd28: the_commands_for_those_who_move_work, the_pipelines_for_gitlab_run);

/// A guide's text, with the names of this registry.
fn guide(name: &str, registry: &Registry) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    std::fs::read_to_string(path).unwrap().replace("registry.example", &registry.host)
}

/// The fenced blocks of a guide: what they are in, and their text.
fn blocks(guide: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let text: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        found.push((language, text.join("\n")));
    }
    found
}

/// The commands of a block that call the client: lines of a shell, of a job's `script:`, and `sh` steps of a Jenkinsfile.
fn commands(block: &str) -> Vec<String> {
    let lines = block.replace("\\\n", " ");
    let command = |line: &str| {
        let line = line.trim().trim_start_matches("- ");
        let line = line.strip_prefix("sh '").and_then(|line| line.strip_suffix('\'')).unwrap_or(line);
        (line.starts_with("remora ") || line.contains("| remora ")).then(|| line.to_owned())
    };
    lines.lines().filter_map(command).collect()
}

/// Files that fit what the guides build.
fn project(registry: &Registry) -> [(&'static str, String); 3] {
    let dockerfile = "FROM @base AS builder\nRUN --network=none echo @salt >/made\nFROM @base AS final\nCOPY --from=builder /made /made\n"
        .replace("@base", &registry.image("base:1"))
        .replace("@salt", &rig::unique());
    let ignored = "digest\napp.tar\n".to_owned();
    [("Dockerfile", dockerfile.clone()), ("docker/Dockerfile", dockerfile), (".dockerignore", ignored)]
}

/// Runs all commands of a guide; returns how many there were.
fn follow(name: &str, kind: Kind) -> usize {
    let registry = Registry::start_with_auth();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let files = project(&registry);
    let dir = rig::context(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let bin = Path::new(env!("CARGO_BIN_EXE_remora")).parent().unwrap();
    let config = registry.docker_config();
    let guide = guide(name, &registry);
    let commands: Vec<_> = blocks(&guide).iter().flat_map(|(_, text)| commands(text)).collect();
    for command in &commands {
        let output = rig::program("sh")
            .args(["-ec", command])
            .current_dir(dir.path())
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
            .env("REMORA_AGENT", agent.url())
            .env("DOCKER_CONFIG", config.path())
            .env("CI_REGISTRY_IMAGE", registry.image("group/app"))
            .env("CI_COMMIT_SHORT_SHA", "0a1b2c3d")
            .env("BUILD_NUMBER", "7")
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    commands.len()
}

fn the_commands_for_those_who_move_work(kind: Kind) {
    assert!(follow("moving.md", kind) >= 12, "some were not found");
    assert!(follow("pool.md", kind) >= 1, "some were not found");
}

/// The right column of the tables names flags that there are.
#[test]
#[ignore = "needs the namespaces that tests/run.sh makes"]
fn the_flags_for_those_who_move_are_there() {
    let help = rig::Client::new("unix:///nobody").run(&["build", "--help"]).code(0).stdout;
    let registry = Registry::start();
    let guide = guide("moving.md", &registry);
    let rows = guide.lines().filter(|line| line.starts_with("| `--")).filter_map(|line| line.rsplit(" | ").next());
    let flags: Vec<_> = rows.flat_map(|right| right.split(|c: char| " `,;|".contains(c))).collect();
    let flags: Vec<_> = flags.into_iter().filter(|word| word.starts_with("--")).collect();
    assert!(flags.len() >= 10, "{flags:?}");
    for flag in flags {
        // The agent has this one.
        let known = help.split([' ', ',', '\n']).any(|word| word == flag);
        assert!(known || flag == "--insecure-registry", "{flag}");
    }
}

fn the_pipelines_for_gitlab_run(kind: Kind) {
    let registry = Registry::start_with_auth();
    let agent = Agent::start(&Engine::shared(kind));
    // This machine has no GitLab to include from, and its shell executor no services.
    let guide = guide("gitlab.md", &registry)
        .replace("component: $CI_SERVER_FQDN/ci/remora/build@0.1", "local: ci/templates/build.yml")
        .replace("project: ci/remora\n    ref: \"0.1\"\n    file: remora.yml", "local: ci/remora.yml")
        .replace(
            "project: ci/remora\n    file: [remora.yml, services.yml]",
            "local: ci/remora.yml\n  - local: ci/services.yml",
        )
        .replace(
            "[.remora:build, .remora:services]",
            "[.remora:build, .remora:services]\n  services: []\n  variables: {REMORA_AGENT: $TEST_AGENT}",
        );
    let pipelines: Vec<_> = blocks(&guide).into_iter().filter(|(language, _)| *language == "yaml").collect();
    assert!(pipelines.len() >= 5 && !guide.contains("project: ci/"), "some were not found");
    for (_, pipeline) in pipelines {
        let mut files: Vec<_> = project(&registry).into();
        files.push((".gitlab-ci.yml", pipeline));
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let log = Project::new(&registry, &agent.url(), &files).with("TEST_AGENT", &agent.url()).pipeline().succeeds();
        assert!(!log.contains("deployment/shop web= "), "the digest did not arrive:\n{log}");
    }
}
