//! What is shown of a build, where it goes into a file.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{self, Engine, Kind, Registry, with_base};

on_every_engine!(in_a_ci_steps_never_mix, concurrent_builds_lose_no_line);
on_both_stores!(raw_status_is_what_buildx_writes);
on_one_engine!(Docker28: checks_are_told_once_and_last, in_gitlab_steps_can_be_folded);

/// Two stages that run at once and write by turns, and one that needs both.
fn two_at_once(registry: &Registry) -> TempDir {
    let (base, word) = (registry.image("base:1"), rig::unique());
    let run = |name: &str| {
        format!("RUN for n in $(seq 20); do echo {name} $n {word}; sleep 0.05; done; echo {name} > /{name}\n")
    };
    let text = format!(
        "FROM {base} AS one\n{}FROM {base} AS two\n{}FROM {base}\nCOPY --from=one /one /\nCOPY --from=two /two /\n",
        run("one"),
        run("two")
    );
    rig::context(&[("Dockerfile", &text)])
}

fn in_a_ci_steps_never_mix(kind: Kind) {
    let (registry, agent) = with_base(kind);
    let context = two_at_once(&registry);
    let outcome = agent.client().env("CI", "true").build(context.path(), &[]).code(0);
    let lines = outcome.stderr.lines().filter_map(|line| line.strip_prefix("  "));
    let words: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(' ')).collect();
    let count = |name: &str| words.iter().filter(|(word, _)| *word == name).count();
    assert_eq!((count("one"), count("two")), (20, 20), "{}", outcome.stderr);
    let changes = words.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
    assert_eq!(changes, 1, "the steps mix:\n{}", outcome.stderr);
    assert!(!outcome.stderr.contains('\x1b'), "{}", outcome.stderr);
    // What is cached is one line.
    let again = agent.client().env("CI", "true").build(context.path(), &[]).code(0);
    again.assert_all_cached();
    assert!(!again.stderr.contains("  one"), "{}", again.stderr);
}

fn in_gitlab_steps_can_be_folded(kind: Kind) {
    let (registry, agent) = with_base(kind);
    let outcome = agent.client().env("GITLAB_CI", "true").build(two_at_once(&registry).path(), &[]).code(0);
    let sections = |word: &str| -> Vec<&str> {
        let marks = outcome.stderr.split(word).skip(1).filter_map(|rest| rest.split('\r').next());
        marks.filter_map(|mark| mark.split(':').next_back()?.split('[').next()).collect()
    };
    let (starts, ends) = (sections("\x1b[0Ksection_start:"), sections("\x1b[0Ksection_end:"));
    assert!(starts.len() >= 2, "{}", outcome.stderr);
    assert_eq!(starts, ends, "each section ends before the next begins");
    assert_eq!(starts.iter().collect::<BTreeSet<_>>().len(), starts.len());
}

fn concurrent_builds_lose_no_line(kind: Kind) {
    const LINES: usize = 20_000;
    let (registry, agent) = with_base(kind);
    let contexts: Vec<TempDir> = (0..4)
        .map(|number| {
            // Short lines: an engine leaves out what is more than 200 KiB a second.
            let text = format!("FROM {}\nRUN seq {LINES} # {number} {}\n", registry.image("base:1"), rig::unique());
            rig::context(&[("Dockerfile", &text)])
        })
        .collect();
    let modes = ["plain", "ci", "plain", "ci"];
    let builds: Vec<_> = contexts
        .iter()
        .zip(modes)
        .map(|(context, mode)| agent.client().spawn_build(context.path(), &["--progress", mode]))
        .collect();
    for build in builds {
        let outcome = build.wait().code(0);
        let numbers = outcome.stderr.lines().filter_map(|line| line.rsplit_once("  ")?.1.trim().parse::<usize>().ok());
        let wrong = numbers.clone().zip(1..).find(|(number, wanted)| number != wanted);
        assert_eq!((wrong, numbers.count()), (None, LINES));
    }
}

fn checks_are_told_once_and_last(kind: Kind) {
    let (registry, agent) = with_base(kind);
    let text = format!("FROM {}\nRUN true\nCMD echo {}\n", registry.image("base:1"), rig::unique());
    let context = rig::context(&[("Dockerfile", &text)]);
    let outcome = agent.client().build(context.path(), &[]).code(0);
    assert_eq!(outcome.stderr.matches("JSONArgsRecommended").count(), 1, "{}", outcome.stderr);
    let (before, after) = outcome.stderr.split_once("remora: warning: JSONArgsRecommended").unwrap();
    assert!(after.contains("(line 3), see https://") && !after.contains("#1") && before.contains("DONE"), "{after}");
}

/// The keys of each kind of thing that a status holds.
fn keys(lines: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut keys = BTreeMap::<String, BTreeSet<String>>::new();
    for (kind, things) in lines.iter().flat_map(|line| line.as_object().unwrap()) {
        for thing in things.as_array().unwrap() {
            keys.entry(kind.clone()).or_default().extend(thing.as_object().unwrap().keys().cloned());
        }
    }
    keys
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

/// What a step wrote, as the status has it.
fn logged(lines: &[Value]) -> BTreeSet<String> {
    let logs = lines.iter().filter_map(|line| line["logs"].as_array()).flatten();
    let bytes =
        logs.flat_map(|log| base64::engine::general_purpose::STANDARD.decode(log["data"].as_str().unwrap()).unwrap());
    let text = String::from_utf8(bytes.collect()).unwrap();
    // Standard output and standard error are two pipes, and which comes first is chance.
    text.lines().map(str::to_owned).collect()
}

fn raw_status_is_what_buildx_writes(kind: Kind) {
    let (registry, agent) = with_base(kind);
    let engine = Engine::shared(kind);
    let context = |word: &str| {
        let base = registry.image("base:1");
        let text = format!("FROM {base}\nCOPY Dockerfile /\nRUN echo hello; echo {word} >&2\nRUN true {word}\nCMD x\n");
        rig::context(&[("Dockerfile", &text)])
    };
    let (ours, theirs) = (rig::unique(), rig::unique());
    let outcome = agent.client().build(context(&ours).path(), &["--progress", "rawjson"]).code(0);
    let mine = parsed(&outcome.stderr);
    assert_eq!(logged(&mine), BTreeSet::from(["hello".to_owned(), ours]));
    let vertexes: Vec<&Value> = mine.iter().filter_map(|line| line["vertexes"].as_array()).flatten().collect();
    let run =
        vertexes.iter().find(|vertex| vertex["name"].as_str().is_some_and(|name| name.contains("RUN echo"))).unwrap();
    assert!(run["digest"].as_str().unwrap().starts_with("sha256:") && run["inputs"].is_array(), "{run}");
    if kind == Kind::Docker20 {
        // Its buildx knows no rawjson.
        return;
    }
    let dir = context(&theirs);
    let args = ["buildx", "build", "--progress=rawjson", "--network=host", dir.path().to_str().unwrap()];
    let output = engine.try_docker(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let other = parsed(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(logged(&other), BTreeSet::from(["hello".to_owned(), theirs]));
    let (mine, other) = (keys(&mine), keys(&other));
    assert_eq!(mine, other);
}
