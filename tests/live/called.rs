//! `--call` and `--check`, beside what Docker prints of the same Dockerfile on the same engine.

use std::path::Path;
use std::process::Command;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(@ docker_28 Docker28 the_dockerfile_is_told_as_docker_tells_it a_call_builds_nothing);
on_every_engine!(@ containerd Containerd28 the_dockerfile_is_told_as_docker_tells_it a_call_builds_nothing);
on_every_engine!(@ docker_26_over_tls Tls26 an_older_frontend_says_what_it_can);
on_every_engine!(@ docker_20_10 Docker20 a_frontend_that_cannot_is_named);

fn dockerfile(registry: &Registry) -> String {
    format!(
        "FROM {} AS made\nARG WHO=world\n# how loud it is\nARG LOUD\n\
         RUN --mount=type=secret,id=token,required=true --mount=type=ssh true\nMAINTAINER somebody\n\
         FROM scratch as out\nENV a b\nCOPY --from=made / /\n",
        registry.image("base:1")
    )
}

/// Exit code and standard output of Docker's own client.
fn docker(engine: &Engine, args: &[&str], context: &Path) -> (i32, String) {
    let output = engine.try_docker(&[&["build"], args, &[context.to_str().unwrap()]].concat());
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// Without what names the session and hangs on it.
fn steady(text: &str) -> String {
    let Ok(mut json) = serde_json::from_str::<serde_json::Value>(text) else { return text.to_owned() };
    let sources = json["sources"].as_array_mut().into_iter().flatten();
    for source in sources.filter_map(serde_json::Value::as_object_mut) {
        source.remove("definition");
    }
    json.to_string()
}

fn the_dockerfile_is_told_as_docker_tells_it(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let clean = format!("FROM {} AS made\nCOPY Dockerfile /\n", registry.image("base:1"));
    for (dockerfile, found) in
        [(dockerfile(&registry), 1), (clean, 0), ("FROM scratch AS made\nFROM a as b\nFOO bar\n".to_owned(), 1)]
    {
        let context = rig::context(&[("Dockerfile", &dockerfile)]);
        for call in ["check", "outline", "targets"] {
            for format in ["", ",format=json"] {
                let args = [format!("--call={call}{format}"), "--target=made".to_owned()];
                let args = [args[0].as_str(), &args[1]];
                let ours = agent.client().build(context.path(), &args);
                let (code, theirs) = docker(&engine, &args, context.path());
                assert_eq!(ours.status.code(), Some(code), "{call}{format}: {}", ours.stderr);
                assert_eq!(steady(&ours.stdout), steady(&theirs), "{call}{format}");
            }
        }
        let short = agent.client().build(context.path(), &["--check"]);
        assert_eq!(short.status.code(), Some(found), "{}", short.stderr);
        assert_eq!(short.stdout, docker(&engine, &["--check"], context.path()).1);
        let ignored = agent.client().build(context.path(), &["--call", "check,ignorestatus=true"]);
        let (code, _) = docker(&engine, &["--call", "check,ignorestatus=true"], context.path());
        assert_eq!(ignored.status.code(), Some(code));
    }
}

fn a_call_builds_nothing(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let (base, salt) = (registry.image("base:1"), rig::unique());
    let context = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN echo {salt}\n"))]);
    let tag = registry.image("app:1");
    let asked = agent.client().build(context.path(), &["--push", "-t", &tag, "--check"]).code(0);
    assert!(!asked.stderr.contains("RUN echo"), "{}", asked.stderr);
    assert_eq!(asked.stdout, "Check complete, no warnings found.\n");
    assert_eq!(registry.head("app", "1"), None);
    let of_an_image = ["--check", "--provenance=true", "--annotation=a=b", "--platform=linux/amd64,linux/arm64"];
    agent.client().build(context.path(), &of_an_image).code(0);
    agent.client().build(context.path(), &["--check", "--cache=registry"]).code(0);
    for odd in ["nonsense", "check,format=xml", "check,outline"] {
        agent.client().build(context.path(), &["--call", odd]).code(2).says("--call");
    }
    let from = |directory: &Path, args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_remora")).args(args).current_dir(directory).output().unwrap();
        output.status.code()
    };
    assert_eq!(
        from(context.path(), &["build", "--agent", "unix:///nobody", "--wait", "0", "--call", "x", "."]),
        Some(2)
    );
}

fn an_older_frontend_says_what_it_can(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let context = rig::context(&[("Dockerfile", &dockerfile(&registry))]);
    let outline = agent.client().build(context.path(), &["--call=outline", "--target=made"]).code(0);
    assert!(outline.stdout.contains("LOUD") && outline.stdout.contains("token"), "{}", outline.stdout);
    let targets = agent.client().build(context.path(), &["--call=targets"]).code(0);
    assert!(targets.stdout.contains("out (default)"), "{}", targets.stdout);
    agent.client().build(context.path(), &["--check"]).code(2).says("--call check: the Dockerfile frontend");
}

fn a_frontend_that_cannot_is_named(kind: Kind) {
    let (registry, agent) = (Registry::start(), Agent::start(&Engine::shared(kind)));
    let context = rig::context(&[("Dockerfile", &dockerfile(&registry))]);
    for call in ["check", "outline", "targets"] {
        let refused = agent.client().build(context.path(), &["--call", call]).code(2);
        assert!(refused.stderr.contains(&format!("--call {call}: the Dockerfile frontend")), "{}", refused.stderr);
    }
}
