//! Registries that want tokens, and tokens that end before the push does.

use std::{fs::File, io::Read as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::rig::{self, Agent, Engine, FaultyRegistry, Kind, Registry, TokenService};

on_every_engine!(
    a_push_goes_on_when_its_token_ends,
    an_identity_token_stands_for_the_password,
    the_next_job_finds_its_cache_behind_tokens,
);
on_one_engine!(Docker28: a_wrong_password_is_told_as_such);
on_every_engine!(@ graphdriver_hosts Docker28 helpers_are_asked_for_the_hosts_of_this_build_alone);
on_every_engine!(@ containerd_hosts Containerd28 helpers_are_asked_for_the_hosts_of_this_build_alone);

/// Longer than any test lasts.
const LONG: Duration = Duration::from_secs(50);

/// Text that hardly compresses.
fn noise(length: usize) -> String {
    let mut bytes = vec![0; length];
    File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    STANDARD.encode(bytes)
}

fn a_push_goes_on_when_its_token_ends(kind: Kind) {
    let life = Duration::from_secs(7);
    let service = TokenService::start(life);
    let (registry, open) = (Registry::start_with_tokens(&service), Registry::start());
    // A layer takes ten seconds and more.
    let door = FaultyRegistry::slow_uploads(&registry, 50_000);
    let agent = Agent::start(&Engine::shared(kind));
    let text = format!(
        "FROM {base} AS one\nCOPY one /\nRUN sha256sum /one >/sum\nFROM {base}\nCOPY two /\nCOPY --from=one /one /sum /\n",
        base = open.image("base:1")
    );
    let context = rig::context(&[("Dockerfile", &text), ("one", &noise(600_000)), ("two", &noise(600_000))]);
    let config = TokenService::docker_config(&[&door.host], false);
    let client = agent.client().env("DOCKER_CONFIG", config.path().to_str().unwrap());
    let tags = ["app:1", "app:2"].map(|name| format!("{}/{name}", door.host));
    let args = ["--push", "-t", &tags[0], "-t", &tags[1], "--cache-scope", "main"];
    let built = client.build(context.path(), &args).code(0);
    let granted = service.granted();
    let pushed: Vec<_> =
        granted.iter().filter(|token| token.scopes.iter().any(|scope| scope.contains("push"))).collect();
    assert!(pushed.iter().all(|token| token.to == "remora"), "{pushed:?}");
    let (first, last) = (pushed.first().unwrap().at, pushed.last().unwrap().at);
    assert!(last - first > life, "no token ended during the push: {granted:?}\n{}", built.stderr);
    // All of it is there: both tags, and what was written for the next job.
    let requests = registry.requests();
    let mut put: Vec<_> = requests.iter().filter(|r| r.method == "PUT" && r.path.contains("/manifests/")).collect();
    put.retain(|request| request.status == 201);
    for tag in ["1", "2"] {
        assert!(put.iter().any(|request| request.path == format!("/v2/app/manifests/{tag}")), "no {tag}: {put:?}");
    }
    assert!(put.len() > tags.len(), "no cache was written: {put:?}");
    assert!(!built.stderr.contains("warning"), "{}", built.stderr);
}

fn an_identity_token_stands_for_the_password(kind: Kind) {
    let service = TokenService::start(LONG);
    let registry = Registry::start_with_tokens(&service);
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", &format!("FROM scratch\nCOPY . /\nLABEL salt={}\n", rig::unique()))]);
    let config = TokenService::docker_config(&[&registry.host], true);
    let client = agent.client().env("DOCKER_CONFIG", config.path().to_str().unwrap());
    let tags = ["app:1", "app:2", "other:1"].map(|name| registry.image(name));
    client.build(context.path(), &["--push", "-t", &tags[0], "-t", &tags[1], "-t", &tags[2]]).code(0);
    let granted = service.granted();
    assert!(granted.iter().any(|token| token.to == "identity"), "{granted:?}");
    assert!(granted.iter().all(|token| token.to != "remora"), "{granted:?}");
}

fn the_next_job_finds_its_cache_behind_tokens(kind: Kind) {
    let service = TokenService::start(LONG);
    let (registry, open) = (Registry::start_with_tokens(&service), Registry::start());
    let engine = Engine::start(kind);
    let text = format!(
        "FROM {base} AS one\nRUN echo {} >/one\nFROM {base}\nCOPY --from=one /one /\nRUN cat /one >/two\n",
        rig::unique(),
        base = open.image("base:1")
    );
    let context = rig::context(&[("Dockerfile", &text)]);
    let config = TokenService::docker_config(&[&registry.host], false);
    let tag = registry.image("app:1");
    let args = ["--push", "-t", &tag, "--cache-scope", "main"];
    let build = || {
        let agent = Agent::start(&engine);
        let client = agent.client().env("DOCKER_CONFIG", config.path().to_str().unwrap());
        client.build(context.path(), &args).code(0)
    };
    build();
    engine.replace();
    build().assert_all_cached();
}

fn a_wrong_password_is_told_as_such(kind: Kind) {
    let service = TokenService::start(LONG);
    let registry = Registry::start_with_tokens(&service);
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let config = format!(r#"{{"auths": {{"{}": {{"auth": "cmVtb3JhOmh1bnRlcjI="}}}}}}"#, registry.host);
    let config = rig::context(&[("config.json", &config)]);
    let client = agent.client().env("DOCKER_CONFIG", config.path().to_str().unwrap());
    let refused = client.build(context.path(), &["--push", "-t", &registry.image("app:1")]).code(12);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
}

/// A helper may be slow, ask a person, or write down who was asked for.
fn helpers_are_asked_for_the_hosts_of_this_build_alone(kind: Kind) {
    let service = TokenService::start(LONG);
    let (registry, open) = (Registry::start_with_tokens(&service), Registry::start());
    let agent = Agent::start(&Engine::shared(kind));
    let dir = rig::context(&[
        (
            "config.json",
            r#"{"credsStore": "note", "credHelpers": {"other.example": "note"}, "auths": {"third.example": {}}}"#,
        ),
        (
            "docker-credential-note",
            "#!/bin/sh\nread -r host\necho \"$1 $host\" >>\"$NOTES\"\n\
             echo '{\"ServerURL\": \"\", \"Username\": \"remora\", \"Secret\": \"s3cret\"}'\n",
        ),
    ]);
    let helper = dir.path().join("docker-credential-note");
    std::fs::set_permissions(helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (here, notes) = (dir.path().to_str().unwrap(), dir.path().join("notes"));
    let client = agent.client().env("DOCKER_CONFIG", here).env("PATH", &format!("{here}:/usr/bin:/bin"));
    let client = client.env("NOTES", notes.to_str().unwrap());
    let context =
        rig::context(&[("Dockerfile", &format!("FROM {}\nRUN echo {}\n", open.image("base:1"), rig::unique()))]);
    client.build(context.path(), &["--push", "-t", &registry.image("app:1")]).code(0);
    let asked = std::fs::read_to_string(&notes).unwrap();
    let mut hosts: Vec<_> = asked.lines().collect();
    hosts.sort_unstable();
    hosts.dedup();
    for line in &hosts {
        let known = [&registry.host, &open.host].iter().any(|host| *line == format!("get {host}"));
        assert!(known, "asked for what this build does not need: {asked}");
    }
    assert!(hosts.contains(&format!("get {}", registry.host).as_str()), "{asked}");
}
