//! The Jenkins library in deploy/jenkins, its examples and its guide.

mod pod;
mod stand;

use std::time::Duration;

use serde_json::json;

use crate::rig::{self, Agent, Engine, Kind, Registry};
use stand::Job;

on_both_stores!(the_declarative_example_hands_over_the_digest_and_the_next_job_is_cached);
on_one_engine!(Docker28:
    the_scripted_example_builds_two_images_at_once,
    branches_fall_back_to_main_and_forks_write_nothing,
    values_reach_the_build_as_they_are,
    secrets_reach_the_step_and_nothing_else,
    an_aborted_job_cancels_its_build,
    the_error_says_what_to_do,
    what_was_built_is_pushed_later,
    the_guide_is_true,
);

/// Two stages, the first of which is `test`. The engine makes nothing of it without its login.
fn application(registry: &Registry) -> String {
    let base = registry.image("base:1");
    format!(
        "FROM {base} AS test\nRUN echo {} >/tested\nFROM {base}\nCOPY --from=test /tested /tested\nARG VERSION\n\
         RUN --mount=type=secret,id=npm cat /tested >/made\n",
        rig::unique()
    )
}

fn the_declarative_example_hands_over_the_digest_and_the_next_job_is_cached(kind: Kind) {
    let registry = Registry::start_with_auth();
    let engine = Engine::start(kind);
    let dockerfile = application(&registry);
    for warm in [false, true] {
        let agent = Agent::start(&engine);
        let job = Job::with(&agent, &registry, &[("Dockerfile", &dockerfile)]);
        let log = job.run_file("examples/jenkins/Jenkinsfile").succeeds().says_nothing_of("s3cret");
        // base64 of remora:s3cret, as it is sent.
        let log = log.says_nothing_of("cmVtb3JhOnMzY3JldA");
        let digest = registry.digest("team/app", "5f2c1ab").expect("the image is in the registry");
        assert_eq!(log.after("deploying "), format!("{}/team/app@{digest}", registry.host));
        assert_eq!(registry.digest("team/app", "latest"), Some(digest));
        assert_eq!(job.left(), 0, "files are left in the workspace");
        if warm {
            // The test stage alone has no image, and so no cache: its step ran in the first stage.
            assert!(log.0.contains("3 of 3 steps cached"), "{}", log.0);
        }
        engine.replace();
    }
}

fn the_scripted_example_builds_two_images_at_once(kind: Kind) {
    let registry = Registry::start_with_auth();
    let agent = Agent::start(&Engine::shared(kind));
    let job = Job::with(&agent, &registry, &[("Dockerfile", &application(&registry))]);
    let job = job.credentials("npm-token", json!({"text": "npm-t0ken"}));
    let log = job.run_file("examples/jenkins/scripted.Jenkinsfile").succeeds();
    let log =
        log.says("the cache is that of main").says("freed").says_nothing_of("npm-t0ken").says_nothing_of("s3cret");
    let digest = |name: &str| registry.digest(name, "5f2c1ab").expect("the image is in the registry");
    assert_eq!(log.after("app@"), format!("{} tests@{}", digest("team/app"), digest("team/tests")));
}

fn branches_fall_back_to_main_and_forks_write_nothing(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::start(kind));
    let dockerfile = application(&registry);
    let run = |job: fn(Job) -> Job| {
        let agent = Agent::start(&engine);
        let job = job(Job::with(&agent, &registry, &[("Dockerfile", &dockerfile)]));
        job.run("node { remoraBuild(tags: \"${env.REGISTRY}/app:1\", push: true) }").succeeds()
    };
    let main = |job: Job| job;
    let feature = |job: Job| job.of_branch("feature/x");
    let fork = |job: Job| {
        let job = job.of_branch("PR-7").env("CHANGE_ID", "7").env("CHANGE_FORK", "somebody");
        job.env("CHANGE_BRANCH", "main").env("CHANGE_TARGET", "main")
    };
    run(main);
    let before = registry.tags("app");
    assert!(before.iter().any(|tag| tag.starts_with("cache_main")), "{before:?}");
    engine.replace();
    run(fork).all_cached();
    assert_eq!(registry.tags("app"), before);
    engine.replace();
    run(feature).all_cached().says("cache: main");
}

fn values_reach_the_build_as_they_are(kind: Kind) {
    let (registry, agent) = rig::with_base(kind);
    let nasty = "it's \"so\" $HOME `id` \\ end\nand a second line\n";
    let job = Job::with(&agent, &registry, &[]).env("NASTY", nasty);
    let dockerfile = format!(
        "FROM {}\nARG A\nARG NASTY\nRUN printf %s \"$A\" >/a; printf %s \"$NASTY\" >/b\n",
        registry.image("base:1")
    );
    job.write("con text/The Dockerfile", &dockerfile);
    let tag = registry.image(&format!("nasty-{}:1", rig::unique()));
    let pipeline = format!(
        "node {{\n  def image = remoraBuild(tags: ['{tag}'], context: 'con text', dockerfile: 'con text/The Dockerfile',\n    \
         buildArgs: [A: \"${{env.NASTY}}\", NASTY: null], labels: ['the label': env.NASTY], target: null, load: true)\n  \
         assert image.digest == null && image.tags == ['{tag}']\n}}\n"
    );
    job.run(&pipeline).succeeds();
    let engine = Engine::shared(kind);
    let image = rig::Image::of(&engine, &tag);
    assert!(image.holds("a", nasty) && image.holds("b", nasty));
    let label = engine.docker(&["image", "inspect", "--format", "{{index .Config.Labels \"the label\"}}", &tag]);
    assert_eq!(label, nasty.trim());
}

fn secrets_reach_the_step_and_nothing_else(kind: Kind) {
    let (registry, agent) = rig::with_base(kind);
    let text = "te'xt \"$HOME\"";
    let dockerfile = format!(
        "FROM {}\nRUN --mount=type=secret,id=text --mount=type=secret,id=file cd /run/secrets; sha256sum text file >/sums; : {}\n",
        registry.image("base:1"),
        rig::unique()
    );
    let job = Job::with(&agent, &registry, &[("Dockerfile", &dockerfile)]);
    let job = job.credentials("a-text", json!({"text": text})).credentials("a-file", json!({"content": "c0ntent\n"}));
    let tag = registry.image(&format!("secret-{}:1", rig::unique()));
    let build = format!("remoraBuild(tags: '{tag}', secretTexts: [text: 'a-text'], secretFiles: [file: 'a-file'])");
    job.run(&format!("node {{ {build} }}")).succeeds().says_nothing_of("te'xt").says_nothing_of("c0ntent");
    let image = rig::Image::of(&Engine::shared(kind), &tag);
    let sums = format!("{}  text\n{}  file\n", sha256(text), sha256("c0ntent\n"));
    assert!(image.holds("sums", &sums));

    // Logins, a token and keys, whatever is in them, reach the client by its environment and by files alone.
    let password = "p'a\"s$s\\ w`id`";
    let job = job
        .credentials("login", json!({"username": "us er", "password": password}))
        .credentials("long", json!({"username": "u", "password": "x".repeat(200)}))
        .credentials("token", json!({"text": "t0ken"}))
        .credentials("key", json!({"key": "k3y"}))
        .with_client(
            "printf '%s\\n' \"$@\" >words; printf %s \"$DOCKER_AUTH_CONFIG\" >auth; echo \"$REMORA_TOKEN\" >token\n\
             for word; do case $word in --ssh=*) cp \"${word#*=*=}\" key ;; esac; done; exit 1",
        );
    let pipeline = "node { remoraBuild(credentials: ['r.example:5000': 'login', 'other.example': 'long'], token: 'token', sshKeys: [default: 'key']) }";
    let log = job.run(pipeline).fails("exit code 1");
    let auth: serde_json::Value = serde_json::from_str(&job.read("auth")).unwrap();
    let login = |host: &str| {
        let coded = auth["auths"][host]["auth"].as_str().unwrap();
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, coded).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(login("r.example:5000"), format!("us er:{password}"));
    assert_eq!(login("other.example"), format!("u:{}", "x".repeat(200)));
    assert_eq!((job.read("token"), job.read("key")), ("t0ken\n".to_owned(), "k3y".to_owned()));
    let words = job.read("words");
    for secret in ["us er", "p'a", "t0ken", "k3y", "xxxx", "auths"] {
        assert!(!words.contains(secret) && !log.0.contains(secret), "{secret}:\n{words}\n{}", log.0);
    }
}

fn sha256(text: &str) -> String {
    rig::sha256(text.as_bytes()).trim_start_matches("sha256:").to_owned()
}

fn an_aborted_job_cancels_its_build(kind: Kind) {
    let (registry, agent) = rig::with_base(kind);
    let seconds = rig::unique();
    let dockerfile = format!("FROM {}\nRUN sleep {seconds}\n", registry.image("base:1"));
    let job = Job::with(&agent, &registry, &[("Dockerfile", &dockerfile)]);
    let pipeline =
        "node {\n  try { remoraBuild(tags: 'app') } catch (AbortException failure) { echo 'taken for a failure' }\n}";
    let mut run = job.start(pipeline);
    let sleeps = || !rig::processes(&["sleep", &seconds]).is_empty();
    rig::eventually("the RUN begins", Duration::from_secs(60), || sleeps().then_some(()));
    run.abort();
    // How long the client takes is tested without Jenkins (cancel.rs); a JVM has its own pace.
    rig::eventually("the RUN's process is gone", Duration::from_secs(60), || (!sleeps()).then_some(()));
    let log = run.wait().says("Finished: ABORTED").says("script returned exit code 143");
    log.says_nothing_of("taken for a failure");
}

fn the_error_says_what_to_do(kind: Kind) {
    let (registry, agent) = rig::with_base(kind);
    let dockerfile = format!("FROM {}\nRUN echo {} && exit 7\n", registry.image("base:1"), rig::unique());
    let job = || Job::with(&agent, &registry, &[("Dockerfile", &dockerfile)]);
    let build = |parameters: &str| format!("node {{ remoraBuild({parameters}) }}");
    let failed = job().run(&build("tags: 'r.example/app:1'"));
    failed.fails("remoraBuild r.example/app:1: the build failed, in a step or in the Dockerfile").says("exit code: 7");
    for (parameters, error) in [
        ("tag: 'x'", "there is no parameter 'tag'; there are: addHosts, "),
        ("push: 'false'", "push is true or false, and not 'false'"),
        ("target: ['a']", "target is one value"),
        ("credentials: 'registry-login'", "credentials is a map from the registry to the id"),
        ("cache: 'sometimes'", "a parameter, or the configuration, is wrong; the line above says which (exit code 2)"),
        ("agent: 'unix:///nowhere', wait: '0s'", "the agent cannot be reached"),
        ("credentials: ['r.example': 'unknown']", "Could not find credentials entry with ID 'unknown'"),
    ] {
        job().run(&build(parameters)).fails(error);
    }
    job().without_client().run(&build("")).fails("this container has no client: mount the volume remora");
    let pod = Job::new().env("REMORA_AGENT_IMAGE", "").run("remoraPod { echo 'never' }");
    pod.fails("remoraPod: name the agent's image").says_nothing_of("never");
}

fn what_was_built_is_pushed_later(kind: Kind) {
    let (registry, agent) = rig::with_base(kind);
    let job = Job::with(&agent, &registry, &[("Dockerfile", &application(&registry))]);
    let name = format!("later-{}", rig::unique());
    let tags = [registry.image(&format!("{name}:1")), registry.image(&format!("{name}:2"))];
    let pipeline = format!(
        "node {{\n  def tags = ['{}', '{}']\n  remoraBuild(tags: tags)\n  def pushed = remoraPush(tags: tags)\n  \
         remoraPrune(dryRun: true)\n  echo \"pushed: ${{pushed.digest}} of ${{pushed.digests.size()}}\"\n}}",
        tags[0], tags[1]
    );
    let log = job.run(&pipeline).succeeds().says("would");
    assert_eq!(log.after("pushed: "), format!("{} of 2", registry.digest(&name, "1").unwrap()));
}

/// Every pipeline of docs/jenkins.md runs as it stands there, and so does the library's in docs/moving.md.
fn the_guide_is_true(kind: Kind) {
    let registry = Registry::start_with_auth();
    let agent = Agent::start(&Engine::shared(kind));
    let read = |name| std::fs::read_to_string(stand::project(name)).unwrap();
    let (guide, moving) = (read("docs/jenkins.md"), read("docs/moving.md").replace("registry.example", &registry.host));
    let pipelines = |guide| str::split(guide, "```groovy\n").skip(1).filter_map(|rest| rest.split("```").next());
    let moved = pipelines(&moving).filter(|text| text.contains("remoraBuild("));
    let all: Vec<_> = pipelines(&guide).chain(moved).collect();
    assert!(all.len() > 5 && all.last().unwrap().contains(&registry.host), "{all:?}");
    for pipeline in all {
        let job = Job::with(&agent, &registry, &[("Dockerfile", &application(&registry))]);
        let job = job.credentials("npm-token", json!({"text": "npm-t0ken"}));
        let job = job.credentials("registry", json!({"username": "remora", "password": "s3cret"}));
        let job = job.credentials("maven-settings", json!({"content": "<settings/>"}));
        // base64 of remora:s3cret
        let config = json!({"auths": {&registry.host: {"auth": "cmVtb3JhOnMzY3JldA=="}}});
        job.credentials("docker-config", json!({"content": config.to_string()})).run(pipeline).succeeds();
    }
}
