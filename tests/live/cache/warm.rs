//! Nothing changed: what is pushed is there at once, and no layer moves.

use std::collections::BTreeSet;

use super::{application, edit};
use crate::rig::{self, Agent, Client, Engine, FaultyRegistry, Kind, Outcome, Registry, Request};

on_every_engine!(
    the_same_once_more_moves_no_layer,
    a_new_commit_is_a_new_config_over_the_same_layers,
    a_new_branch_starts_with_the_cache_of_main,
    a_new_branch_is_known_by_the_variables_of_its_ci,
);

on_every_engine!(@ containerd Containerd28 an_image_for_several_platforms_starts_with_the_cache_of_main);

/// What a build may fetch where nothing changed, in bytes.
const LITTLE: usize = 100_000;

/// How fast blobs come, in bytes a second. The base image's layer alone takes eight seconds: whoever tells the engine
/// in time not to fetch it has fetched little.
const RATE: usize = 128_000;

struct Scene {
    door: FaultyRegistry,
    registry: Registry,
    engine: Engine,
    agent: Agent,
    context: tempfile::TempDir,
}

impl Scene {
    /// `app:1` and `app:latest`, built for main.
    fn new(kind: Kind) -> Self {
        let registry = Registry::start();
        let engine = Engine::start(kind);
        let agent = Agent::start(&engine);
        let door = FaultyRegistry::slow(&registry, 1_000_000_000);
        let context = application(&format!("{}/base:1", door.host));
        let scene = Self { door, registry, engine, agent, context };
        scene.build(&scene.agent.client(), &["1", "latest"], &["--cache-scope", "main"]);
        scene
    }

    fn build(&self, client: &Client, tags: &[&str], args: &[&str]) -> Outcome {
        let tags: Vec<_> = tags.iter().map(|tag| format!("{}/app:{tag}", self.door.host)).collect();
        let tags: Vec<_> = tags.iter().flat_map(|tag| ["-t", tag]).collect();
        client.build(self.context.path(), &[&["--push"], &tags[..], args].concat()).code(0)
    }

    /// Builds on an empty engine, and checks that no step ran and no layer moved.
    fn build_warm(&self, client: &Client, tags: &[&str], args: &[&str]) -> Outcome {
        self.engine.replace();
        let (before, passed) = (self.registry.requests().len(), self.door.passed());
        self.door.limit(RATE);
        let built = self.build(client, tags, args);
        built.assert_all_cached();
        // A download that goes on unseen is over by then.
        self.engine.stop();
        let passed = self.door.passed() - passed;
        let requests = self.registry.requests().split_off(before);
        let line = |it: &Request| format!("{} {} {} {}", it.status, it.bytes, it.method, it.path);
        let list: Vec<_> = requests.iter().map(line).collect();
        let told = format!("{}\n{}", list.join("\n"), built.stderr);
        assert!(passed <= LITTLE, "{passed} bytes were fetched:\n{told}");
        let blobs = self.blobs();
        let is_layer = |it: &&Request| it.method == "GET" && blobs.iter().any(|blob| it.path.ends_with(blob.as_str()));
        let asked = requests.iter().find(is_layer);
        assert!(asked.is_none(), "a layer was asked for: {asked:?}\n{told}");
        self.engine.run();
        built
    }

    /// The digests of all layers of application and base image.
    fn blobs(&self) -> BTreeSet<String> {
        let app = self.registry.manifest("app", "1").layers();
        app.into_iter().chain(self.registry.manifest("base", "1").layers()).collect()
    }

    fn digests(&self, tags: &[&str]) -> BTreeSet<String> {
        tags.iter().map(|tag| self.registry.head("app", tag).unwrap_or_else(|| panic!("no tag {tag}"))).collect()
    }

    fn cache_refs(&self) -> BTreeSet<String> {
        self.registry.tags("app").into_iter().filter(|tag| tag.starts_with("cache_")).collect()
    }
}

fn the_same_once_more_moves_no_layer(kind: Kind) {
    let scene = Scene::new(kind);
    let (before, refs) = (scene.digests(&["1", "latest"]), scene.cache_refs());
    assert_eq!(before.len(), 1);
    for tags in [["1", "latest"], ["2", "latest"]] {
        scene.build_warm(&scene.agent.client(), &tags, &["--cache-scope", "main"]).says("nothing to download");
        assert_eq!(scene.digests(&tags), before);
    }
    assert_eq!(scene.cache_refs(), refs);
}

fn a_new_commit_is_a_new_config_over_the_same_layers(kind: Kind) {
    let scene = Scene::new(kind);
    edit(scene.context.path(), "Dockerfile", "commit=1", "commit=2");
    let args = ["--cache-scope", "main", "--label", "org.example.revision=abc"];
    scene.build_warm(&scene.agent.client(), &["2", "latest"], &args);
    let (old, new) = (scene.registry.manifest("app", "1"), scene.registry.manifest("app", "2"));
    assert_ne!(old.digest, new.digest);
    assert_eq!(old.layers(), new.layers());
    assert_eq!(scene.digests(&["2", "latest"]).len(), 1);
    let labels = &scene.registry.config("app", &new)["config"]["Labels"];
    assert_eq!((&labels["org.example.commit"], &labels["org.example.revision"]), (&"2".into(), &"abc".into()));
    // What was published this way is as good a cache as any.
    scene.build_warm(&scene.agent.client(), &["3"], &args);
    assert_eq!(scene.registry.head("app", "3"), Some(new.digest));
}

fn a_new_branch_starts_with_the_cache_of_main(kind: Kind) {
    let scene = Scene::new(kind);
    let (before, main) = (scene.digests(&["1"]), scene.cache_refs());
    let args = ["--cache-scope", "feature/x", "--cache-fallback", "main"];
    scene.build_warm(&scene.agent.client(), &["x"], &args).says("feature/x has none yet");
    assert_eq!(scene.digests(&["x"]), before);
    let own: BTreeSet<_> = scene.cache_refs().difference(&main).cloned().collect();
    // The one cache of all stages needs no further name until it holds less than that.
    let wanted = if kind.image_store() == "containerd" { 1 } else { main.len() };
    assert_eq!(own.len(), wanted, "{own:?} as {main:?}");
    assert!(own.iter().all(|name| name.starts_with("cache_feature-x.")), "{own:?}");
    // Its own is enough from now on.
    let args = ["--cache-scope", "feature/x", "--cache-fallback", "nobody"];
    scene.build_warm(&scene.agent.client(), &["x"], &args);
}

fn a_new_branch_is_known_by_the_variables_of_its_ci(kind: Kind) {
    let scene = Scene::new(kind);
    let client = scene.agent.client();
    let jenkins = client
        .clone()
        .env("JENKINS_URL", "https://ci.example/")
        .env("BRANCH_NAME", "feature/jenkins")
        .env("CI", "true");
    scene.build_warm(&jenkins, &["jenkins"], &[]).says("feature/jenkins has none yet");
    let gitlab = client
        .env("GITLAB_CI", "true")
        .env("CI_COMMIT_REF_NAME", "feature/gitlab")
        .env("CI_COMMIT_REF_SLUG", "feature-gitlab")
        .env("CI_COMMIT_REF_PROTECTED", "false")
        .env("CI_DEFAULT_BRANCH", "main");
    scene.build_warm(&gitlab, &["gitlab"], &[]).says("feature/gitlab has none yet");
    for branch in ["cache_feature-jenkins.", "cache_feature-gitlab."] {
        assert!(scene.cache_refs().iter().any(|name| name.starts_with(branch)), "{branch}: {:?}", scene.cache_refs());
    }
}

/// The builder runs on the platform that the engine has, and makes the files for each.
fn an_image_for_several_platforms_starts_with_the_cache_of_main(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let base = registry.image("base:1");
    let dockerfile = format!(
        "FROM --platform=linux/amd64 {base} AS builder\nRUN head -c 999 /dev/urandom >/made\nFROM scratch\n\
         COPY --from=builder /made /made\n"
    );
    let context = rig::context(&[("Dockerfile", &dockerfile)]);
    let build = |tag: &str, platforms: &str, scope: &[&str]| {
        let tag = registry.image(&format!("app:{tag}"));
        let args = [&["--push", "-t", &tag, "--platform", platforms], scope].concat();
        agent.client().build(context.path(), &args).code(0)
    };
    build("1", "linux/amd64,linux/arm64", &["--cache-scope", "main"]).assert_step("RUN", "DONE");
    engine.replace();
    let args = ["--cache-scope", "feature", "--cache-fallback", "main"];
    let warm = build("2", "linux/arm64,linux/amd64", &args);
    warm.assert_all_cached();
    assert!(warm.stderr.contains("cache of feature written"), "{}", warm.stderr);
    engine.replace();
    let again = build("3", "linux/amd64,linux/arm64", &args);
    again.assert_all_cached();
    assert!(again.stderr.contains("cache: feature, "), "{}", again.stderr);
}
