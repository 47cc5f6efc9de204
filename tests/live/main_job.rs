//! Build and push, and the next job finds everything cached on an engine that was born a second ago.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(
    the_next_job_finds_every_step_cached,
    a_build_without_push_stays_in_the_engine,
    a_changed_file_runs_only_what_follows_it,
    quiet_prints_the_image_and_nothing_else,
    cache_from_names_another_image,
    no_cache_runs_every_step_anew,
    two_builds_at_once_and_one_breaks,
    credentials_come_from_the_docker_config,
    credentials_come_from_helpers,
    an_unreachable_cache_makes_no_build_red,
);

/// Two stages; the second takes what the first has made.
fn application(registry: &Registry) -> TempDir {
    let base = registry.image("base:1");
    let dockerfile = format!(
        "FROM {base} AS builder\n\
         COPY requirements.txt /src/\n\
         RUN mkdir /venv && sort /src/requirements.txt > /venv/installed\n\
         FROM {base}\n\
         COPY --from=builder /venv /venv\n\
         RUN echo prepared > /prepared\n\
         COPY app.py /app/\n\
         RUN cat /app/app.py > /app/compiled\n\
         CMD [\"cat\", \"/app/compiled\"]\n"
    );
    rig::context(&[("Dockerfile", &dockerfile), ("requirements.txt", "flask\nclick\n"), ("app.py", "print('hi')\n")])
}

fn metadata(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn the_next_job_finds_every_step_cached(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let context = application(&registry);
    let out = rig::scratch();
    let (meta, iid) = (out.path().join("meta.json"), out.path().join("iid"));
    let tags = ["app:1", "app:latest", "app:main"].map(|name| registry.image(name));
    let mut args: Vec<&str> =
        vec!["--push", "--metadata-file", meta.to_str().unwrap(), "--iidfile", iid.to_str().unwrap()];
    args.extend(tags.iter().flat_map(|tag| ["-t", tag]));
    {
        let agent = Agent::start(&engine);
        let first = agent.client().build(context.path(), &args).code(0);
        first.assert_step("RUN mkdir /venv", "DONE");
        first.assert_step("RUN cat /app/app.py", "DONE");
    }
    for job in ["second", "third"] {
        let digest = metadata(&meta)["containerimage.digest"].as_str().expect("a digest").to_owned();
        for tag in ["1", "latest", "main"] {
            assert_eq!(registry.head("app", tag).as_deref(), Some(digest.as_str()), "before the {job} job: {tag}");
        }
        assert!(std::fs::read_to_string(&iid).unwrap().trim().starts_with("sha256:"));
        for old in [&meta, &iid] {
            std::fs::remove_file(old).unwrap();
        }

        engine.replace();
        let agent = Agent::start(&engine);
        let next = agent.client().build(context.path(), &args).code(0);
        next.assert_all_cached();
        next.assert_step("RUN cat /app/app.py", "CACHED");
        next.assert_step("RUN echo prepared", "CACHED");
        // On a graphdriver store nothing was made: the image was published as it lies there.
        let made = (kind == Kind::Containerd28).then_some("dockerfile.v0");
        let told = &metadata(&meta)["buildx.build.provenance"]["invocation"]["parameters"]["frontend"];
        assert_eq!(told.as_str(), made, "the {job} job");
    }
    // What was pushed from caches alone is whole: it can be pulled, and it is the image.
    engine.replace();
    engine.docker(&["pull", &tags[1]]);
    engine.docker(&["create", "--name", "copy", "--network", "none", &tags[1]]);
    let copy = out.path().join("installed");
    engine.docker(&["cp", "copy:/venv/installed", copy.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "click\nflask\n");
}

fn a_build_without_push_stays_in_the_engine(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let context = application(&registry);
    let iid = context.path().join("../").join(format!("iid-{}", rig::unique()));
    let tag = registry.image("local:1");
    agent.client().build(context.path(), &["-t", &tag, "--iidfile", iid.to_str().unwrap()]).code(0);
    let id = engine.docker(&["image", "inspect", "--format", "{{.Id}}", &tag]);
    assert_eq!(std::fs::read_to_string(&iid).unwrap().trim(), id);
    assert_eq!(registry.head("local", "1"), None);
}

fn a_changed_file_runs_only_what_follows_it(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let context = application(&registry);
    let tag = registry.image("app:1");
    let agent = Agent::start(&engine);
    agent.client().build(context.path(), &["--push", "-t", &tag]).code(0);
    let before = registry.head("app", "1");
    engine.replace();
    std::fs::write(context.path().join("app.py"), "print('changed')\n").unwrap();
    let next = agent.client().build(context.path(), &["--push", "-t", &tag]).code(0);
    next.assert_step("RUN echo prepared", "CACHED");
    next.assert_step("RUN cat /app/app.py", "DONE");
    assert!(!next.step("RUN mkdir /venv", "DONE"), "{}", next.stderr);
    assert_ne!(registry.head("app", "1"), before);
}

fn quiet_prints_the_image_and_nothing_else(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let context = application(&registry);
    let tag = registry.image("quiet:1");
    let outcome = agent.client().build(context.path(), &["-q", "-t", &tag]).code(0);
    assert_eq!(outcome.stdout.trim_end(), engine.docker(&["image", "inspect", "--format", "{{.Id}}", &tag]));
    assert_eq!(outcome.stderr, "");
}

fn cache_from_names_another_image(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let context = application(&registry);
    let agent = Agent::start(&engine);
    let main = registry.image("app:main");
    agent.client().build(context.path(), &["--push", "-t", &main]).code(0);
    engine.replace();
    let (branch, missing) = (registry.image("app:branch"), registry.image("app:missing"));
    let args = ["--push", "-t", &branch, "--cache-from", &missing, "--cache-from", &main];
    agent.client().build(context.path(), &args).code(0).assert_all_cached();
}

fn no_cache_runs_every_step_anew(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let context = application(&registry);
    let tag = registry.image("app:1");
    agent.client().build(context.path(), &["-t", &tag]).code(0);
    agent.client().build(context.path(), &["-t", &tag]).code(0).assert_all_cached();
    let anew = agent.client().build(context.path(), &["-t", &tag, "--no-cache"]).code(0);
    anew.assert_step("RUN mkdir /venv", "DONE");
    anew.assert_step("RUN echo prepared", "DONE");
}

fn two_builds_at_once_and_one_breaks(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let base = registry.image("base:1");
    let salt = rig::unique();
    let good = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN sleep 2 && echo {salt}\n"))]);
    let bad = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN echo {salt} && exit 7\n"))]);
    let tag = registry.image("good:1");
    let client = agent.client();
    let running = client.spawn_build(good.path(), &["--push", "-t", &tag]);
    for _ in 0..3 {
        client.build(bad.path(), &[]).code(1);
    }
    running.wait().code(0);
    assert!(registry.head("good", "1").is_some());
}

fn credentials_come_from_the_docker_config(kind: Kind) {
    let registry = Registry::start_with_auth();
    let engine = Engine::start(kind);
    let context = application(&registry);
    let tags = ["app:1", "app:2"].map(|name| registry.image(name));
    let args = ["--push", "-t", &tags[0], "-t", &tags[1]];
    let config = registry.docker_config();
    let agent = Agent::start(&engine);
    let client = agent.client().env("DOCKER_CONFIG", config.path().to_str().unwrap());
    client.build(context.path(), &args).code(0);
    let digest = registry.digest("app", "1");
    assert!(digest.is_some());
    assert_eq!(digest, registry.digest("app", "2"));
    engine.replace();
    client.build(context.path(), &args).code(0).assert_all_cached();
}

/// One registry has a helper that knows it; for all others there is one that knows none, and public images are pulled.
fn credentials_come_from_helpers(kind: Kind) {
    let (open, closed) = (Registry::start(), Registry::start_with_auth());
    let agent = Agent::start(&Engine::shared(kind));
    let host = closed.image("").trim_end_matches('/').to_owned();
    let config = format!(r#"{{"credsStore": "none", "credHelpers": {{"{host}": "test"}}}}"#);
    let dir = rig::context(&[
        ("config.json", &config),
        (
            "docker-credential-test",
            r#"#!/bin/sh
read -r host
[ "$1" = get ] && echo '{"ServerURL": "", "Username": "remora", "Secret": "s3cret"}'
"#,
        ),
        ("docker-credential-none", "#!/bin/sh\nread -r host\necho credentials not found in native keychain\nexit 1\n"),
    ]);
    for helper in ["test", "none"] {
        let path = dir.path().join(format!("docker-credential-{helper}"));
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let here = dir.path().to_str().unwrap();
    let client = agent.client().env("DOCKER_CONFIG", here).env("PATH", &format!("{here}:/usr/bin:/bin"));
    let context = application(&open);
    let (tag, other) = (closed.image("app:1"), open.image("app:1"));
    client.build(context.path(), &["--push", "-t", &tag, "-t", &other]).code(0);
    assert!(closed.digest("app", "1").is_some());
}

fn an_unreachable_cache_makes_no_build_red(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let context = application(&registry);
    // Nothing listens on port 9 of this namespace.
    agent.client().build(context.path(), &["--cache-from", "127.0.0.1:9/nobody/home:1"]).code(0);
}
