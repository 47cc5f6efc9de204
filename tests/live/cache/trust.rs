//! Whose cache is written by whom, and registries that are of no help.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::rig::{self, Agent, Engine, FaultyRegistry, Kind, Outcome, Registry};

on_every_engine!(
    a_fork_reads_and_writes_nothing,
    a_release_reads_and_writes_nothing,
    the_cache_of_main_is_not_written_by_a_branch,
    a_branch_of_three_hundred_odd_characters,
    a_cache_repository_without_permission,
    a_cache_registry_that_is_down,
    a_cache_registry_that_never_answers,
    without_cache_nothing_is_read_or_written,
    inline_cache_is_there_for_the_next_build,
    cache_in_another_repository,
    images_that_share_a_cache_repository,
    cache_without_a_push,
    no_cache_runs_everything_and_writes,
    what_looks_like_a_secret_is_warned_of,
);
on_one_engine!(Docker28: a_registry_cache_that_the_engine_cannot_write);

/// What a build with a cache that is of no help may take: the deadline, and a generous rest.
const BOUND: Duration = Duration::from_secs(15);

struct Scene {
    registry: Registry,
    engine: Engine,
    agent: Agent,
    context: TempDir,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let registry = Registry::start();
        let engine = Engine::start(kind);
        let agent = Agent::start(&engine);
        let base = registry.image("base:1");
        let text = format!(
            "FROM {base} AS builder\nARG API_TOKEN\nRUN echo {} >/made\nFROM {base}\nCOPY --from=builder /made /made\n\
             RUN cat /made >/finished\n",
            rig::unique()
        );
        let context = rig::context(&[("Dockerfile", &text)]);
        Self { registry, engine, agent, context }
    }

    fn push(&self, args: &[&str]) -> Outcome {
        self.push_as(&[], args)
    }

    fn push_as(&self, variables: &[(&str, &str)], args: &[&str]) -> Outcome {
        let client = variables.iter().fold(self.agent.client(), |client, (name, value)| client.env(name, value));
        let tag = self.registry.image("app:1");
        client.build(self.context.path(), &[&["--push", "-t", &tag], args].concat())
    }

    fn cache_refs(&self, repository: &str) -> Vec<String> {
        let is_cache = |tag: &String| tag.starts_with("cache_") || tag.starts_with("cache-");
        self.registry.tags(repository).into_iter().filter(is_cache).collect()
    }
}

fn a_fork_reads_and_writes_nothing(kind: Kind) {
    let scene = Scene::new(kind);
    scene.push(&["--cache-scope", "main"]).code(0);
    let main = scene.cache_refs("app");
    let digests = || main.iter().map(|tag| scene.registry.head("app", tag)).collect::<Vec<_>>();
    let before = digests();
    scene.engine.replace();
    let fork = [
        ("JENKINS_URL", "https://ci.example/"),
        ("BRANCH_NAME", "PR-7"),
        ("CHANGE_ID", "7"),
        ("CHANGE_FORK", "somebody"),
        ("CHANGE_TARGET", "main"),
        ("CHANGE_BRANCH", "main"),
    ];
    scene.push_as(&fork, &[]).code(0).assert_all_cached();
    assert_eq!((scene.cache_refs("app"), digests()), (main.clone(), before.clone()));
    // Whatever it says of itself, and whatever it has changed.
    let dockerfile = scene.context.path().join("Dockerfile");
    let text = std::fs::read_to_string(&dockerfile).unwrap().replace("RUN cat", "RUN echo evil >/evil; cat");
    std::fs::write(&dockerfile, text).unwrap();
    for scope in ["main", "mine"] {
        scene.push_as(&fork, &["--cache-scope", scope]).code(0);
        assert_eq!((scene.cache_refs("app"), digests()), (main.clone(), before.clone()), "{scope}");
    }
}

fn the_cache_of_main_is_not_written_by_a_branch(kind: Kind) {
    let scene = Scene::new(kind);
    let gitlab = [
        ("GITLAB_CI", "true"),
        ("CI_COMMIT_REF_NAME", "feature/x"),
        ("CI_COMMIT_REF_SLUG", "feature-x"),
        ("CI_DEFAULT_BRANCH", "main"),
        ("CI_COMMIT_REF_PROTECTED", "false"),
    ];
    let metadata = scene.context.path().join("metadata");
    let args = ["--cache-scope", "main", "--metadata-file", metadata.to_str().unwrap()];
    scene.push_as(&gitlab, &args).code(0);
    assert_eq!(scene.cache_refs("app"), [] as [&str; 0]);
    let told: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&metadata).unwrap()).unwrap();
    let why = told["remora"]["cache"]["noWriteWhy"].as_str().unwrap();
    assert!(why.contains("main") && why.contains("feature/x"), "{why}");
    let tag = scene.registry.image("app:1");
    let plan = ["plan", "--network", "host", "--push", "--cache-scope", "main", "-t", &tag];
    let client = gitlab.iter().fold(scene.agent.client(), |client, (name, value)| client.env(name, value));
    let plan = client.run(&[&plan[..], &[scene.context.path().to_str().unwrap()]].concat()).code(0);
    assert!(plan.stdout.contains(why), "'{why}' is not in\n{}", plan.stdout);
}

fn a_branch_of_three_hundred_odd_characters(kind: Kind) {
    let scene = Scene::new(kind);
    let odd: String = "!\"#$%&'()+,-./;<=>@]_`{|}äß日🦀".chars().cycle().take(300).collect();
    let other = format!("{}x", odd.strip_suffix(odd.chars().last().unwrap()).unwrap());
    scene.push(&["--cache-scope", &odd, "--cache-fallback", "nobody"]).code(0);
    let refs = scene.cache_refs("app");
    assert!(!refs.is_empty());
    scene.engine.replace();
    scene.push(&["--cache-scope", &odd, "--cache-fallback", "nobody"]).code(0).assert_all_cached();
    assert_eq!(scene.cache_refs("app"), refs);
    scene.engine.replace();
    scene.push(&["--cache-scope", &other, "--cache-fallback", "nobody"]).code(0);
    let both = scene.cache_refs("app");
    assert!(
        both.len() > refs.len() && refs.iter().all(|name| both.contains(name)),
        "it has names of its own: {both:?}"
    );
}

/// Builds with a cache repository that is of no help: green, in time, with one warning that names it.
#[track_caller]
fn helpless(scene: &Scene, host: &str) -> Outcome {
    let start = Instant::now();
    let built = scene.push(&["--cache-scope", "main", "--cache-repo", &format!("{host}/some/cache")]).code(0);
    let took = start.elapsed();
    assert!(took < BOUND, "{took:?}\n{}", built.stderr);
    let warnings: Vec<_> =
        built.stderr.lines().filter(|line| line.contains("warning") && line.contains(host)).collect();
    assert_eq!(warnings.len(), 1, "{}", built.stderr);
    assert!(scene.registry.head("app", "1").is_some());
    built
}

fn a_cache_repository_without_permission(kind: Kind) {
    let scene = Scene::new(kind);
    let other = Registry::start_with_auth();
    helpless(&scene, &other.host);
    let wrong = rig::scratch();
    // base64 of remora:wrong
    let config = serde_json::json!({"auths": {&other.host: {"auth": "cmVtb3JhOndyb25n"}}});
    std::fs::write(wrong.path().join("config.json"), config.to_string()).unwrap();
    let repository = other.image("some/cache");
    let args = ["--cache-scope", "main", "--cache-repo", &repository];
    let built = scene.push_as(&[("DOCKER_CONFIG", wrong.path().to_str().unwrap())], &args).code(0);
    assert!(built.stderr.contains(&other.host) && !built.stderr.contains("wrong"), "{}", built.stderr);
    let right = other.docker_config();
    scene.engine.replace();
    scene.push_as(&[("DOCKER_CONFIG", right.path().to_str().unwrap())], &args).code(0);
    scene.engine.replace();
    let again = scene.push_as(&[("DOCKER_CONFIG", right.path().to_str().unwrap())], &args).code(0);
    again.assert_all_cached();
}

fn a_cache_registry_that_is_down(kind: Kind) {
    let scene = Scene::new(kind);
    let other = Registry::start();
    other.stop();
    helpless(&scene, &other.host);
}

fn a_cache_registry_that_never_answers(kind: Kind) {
    let scene = Scene::new(kind);
    let silent = FaultyRegistry::silent();
    helpless(&scene, &silent.host);
    // With everything in the engine it is no different.
    helpless(&scene, &silent.host);
}

fn without_cache_nothing_is_read_or_written(kind: Kind) {
    let scene = Scene::new(kind);
    scene.push(&["--cache-scope", "main"]).code(0);
    let refs = scene.cache_refs("app");
    scene.engine.replace();
    let built = scene.push(&["--cache", "off", "--cache-scope", "x"]).code(0);
    built.assert_step("RUN echo", "DONE");
    assert_eq!(scene.cache_refs("app"), refs);
    let config = scene.registry.config("app", &scene.registry.manifest("app", "1"));
    assert!(config.get("moby.buildkit.cache.v0").is_none(), "{config:#}");
}

fn inline_cache_is_there_for_the_next_build(kind: Kind) {
    let scene = Scene::new(kind);
    scene.push(&["--cache", "inline", "--cache-scope", "main"]).code(0);
    scene.engine.replace();
    scene.push(&["--cache", "inline", "--cache-scope", "main"]).code(0).assert_all_cached();
}

fn a_registry_cache_that_the_engine_cannot_write(kind: Kind) {
    let scene = Scene::new(kind);
    let refused = scene.push(&["--cache", "registry", "--cache-scope", "main"]).code(2);
    refused.says("--cache registry").says("graphdriver").says("leave --cache out");
}

fn cache_in_another_repository(kind: Kind) {
    let scene = Scene::new(kind);
    let repository = scene.registry.image("caches/of-app");
    let args = ["--cache-scope", "main", "--cache-repo", &repository];
    scene.push(&args).code(0);
    assert_eq!(scene.cache_refs("app"), [] as [&str; 0]);
    assert!(!scene.cache_refs("caches/of-app").is_empty());
    // The image itself is no help: only what lies in the other repository.
    scene.registry.delete("app", &scene.registry.head("app", "1").unwrap());
    scene.engine.replace();
    scene.push(&args).code(0).assert_all_cached();
    assert!(scene.registry.head("app", "1").is_some());
    scene.engine.replace();
    scene.engine.pull(&scene.registry.image("app:1"));
}

/// A monorepo's: stages of the same names, and nothing else in common.
fn images_that_share_a_cache_repository(kind: Kind) {
    let scene = Scene::new(kind);
    let repository = scene.registry.image("caches");
    let args = ["--cache-scope", "main", "--cache-repo", &repository];
    scene.push(&args).code(0);
    let dockerfile = std::fs::read_to_string(scene.context.path().join("Dockerfile")).unwrap();
    let other = rig::context(&[("Dockerfile", &dockerfile.replace("made", "other"))]);
    let tag = scene.registry.image("other:1");
    let push_other =
        || scene.agent.client().build(other.path(), &[&["--push", "-t", &tag], &args[..]].concat()).code(0);
    push_other();
    // The images themselves are no help.
    for repository in ["app", "other"] {
        scene.registry.delete(repository, &scene.registry.head(repository, "1").unwrap());
    }
    scene.engine.replace();
    scene.push(&args).code(0).assert_all_cached();
    scene.engine.replace();
    push_other().assert_all_cached();
}

fn cache_without_a_push(kind: Kind) {
    let scene = Scene::new(kind);
    let repository = scene.registry.image("caches");
    let build = |path: &Path| {
        let args = ["--cache-scope", "main", "--cache-repo", &repository];
        scene.agent.client().build(path, &args).code(0)
    };
    build(scene.context.path());
    assert!(!scene.cache_refs("caches").is_empty());
    scene.engine.replace();
    build(scene.context.path()).assert_all_cached();
}

fn no_cache_runs_everything_and_writes(kind: Kind) {
    let scene = Scene::new(kind);
    scene.push(&["--cache-scope", "main"]).code(0);
    let refs = || {
        let refs = scene.cache_refs("app").into_iter();
        refs.map(|tag| (scene.registry.head("app", &tag), tag)).collect::<Vec<_>>()
    };
    let before = refs();
    scene.engine.replace();
    let anew = scene.push(&["--no-cache", "--cache-scope", "main"]).code(0);
    anew.assert_step("RUN echo", "DONE");
    anew.assert_step("RUN cat", "DONE");
    let after = refs();
    assert_eq!(before.len(), after.len());
    assert!(after.iter().all(|one| !before.contains(one)), "{before:?}, then {after:?}\n{}", anew.stderr);
    scene.engine.replace();
    scene.push(&["--cache-scope", "main"]).code(0).assert_all_cached();
    assert_eq!(refs(), after);
}

fn what_looks_like_a_secret_is_warned_of(kind: Kind) {
    let scene = Scene::new(kind);
    let built = scene.push(&["--build-arg", "API_TOKEN=hush-hush", "--cache-scope", "main"]).code(0);
    let built = built.says("API_TOKEN").says("--secret id=API_TOKEN").says("--mount=type=secret");
    assert!(!built.stderr.contains("hush-hush"), "{}", built.stderr);
}

/// Of the image's own tags either, `latest` among them.
fn a_release_reads_and_writes_nothing(kind: Kind) {
    let scene = Scene::new(kind);
    let latest = scene.registry.image("app:latest");
    scene.push(&["--cache-scope", "main", "-t", &latest]).code(0);
    let refs = scene.cache_refs("app");
    scene.engine.replace();
    let release =
        [("GITLAB_CI", "true"), ("CI_DEFAULT_BRANCH", "main"), ("CI_COMMIT_TAG", "v1"), ("CI_COMMIT_REF_NAME", "v1")];
    let built = scene.push_as(&release, &["-t", &latest]).code(0).says("a tag build");
    built.assert_step("RUN echo", "DONE");
    assert_eq!(scene.cache_refs("app"), refs);
    scene.engine.replace();
    scene.push_as(&release, &["--cache-fallback", "main"]).code(0).assert_all_cached();
}
