//! An archive on standard input.

use std::time::Duration;

use super::*;
use crate::rig::{Fault, FaultyRegistry};

on_every_engine!(
    an_archive_on_standard_input_is_the_context,
    an_archive_that_is_broken_is_told_so,
    an_archive_does_not_leave_its_root,
);

on_every_engine!(@ pushed_containerd Containerd28
    an_archive_is_built_for_several_platforms a_registry_that_refuses_is_named_where_the_archive_is_gone);
on_one_engine!(Docker28: a_large_archive_is_held_nowhere_on_its_way);

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n";

fn an_archive_on_standard_input_is_the_context(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let (base, mark) = (registry.image("base:1"), rig::unique());
    let dockerfile = format!("FROM {base}\nCOPY . /\n");
    let files = [("Dockerfile", dockerfile.as_str()), ("a/file", &mark)];
    let context = rig::context(&files);
    fs::write(context.path().join("a/Other"), format!("FROM {base}\nCOPY a/file /other\n")).unwrap();
    let long = format!("a/{}", "long".repeat(50));
    fs::write(context.path().join(&long), "long").unwrap();
    let tag = format!("ctx-{}:1", rig::unique());
    // The last ones begin with a header of their own: Docker's client takes these for a Dockerfile.
    let commands = [
        "tar -c .",
        "tar -cz .",
        "tar -cj .",
        "tar -c --format=gnu --hard-dereference a/long* .",
        "tar -c --format=pax --pax-option=mtime:=1.5 .",
    ];
    for command in commands {
        let built = build(&agent, written(context.path(), command), &["-t", &tag]).code(0);
        let image = Image::of(&engine, &tag);
        assert!(image.holds("a/file", &mark) && image.holds(&long, "long"), "{command}");
        if command != commands[0] {
            built.assert_step("COPY . /", "CACHED");
        }
    }
    build(&agent, written(context.path(), "tar -cz ."), &["-t", &tag, "-f", "a/Other"]).code(0);
    assert!(Image::of(&engine, &tag).holds("other", &mark));
    fs::write(context.path().join("a/file"), "new").unwrap();
    build(&agent, written(context.path(), "tar -cz ."), &["-t", &tag]).code(0);
    assert!(Image::of(&engine, &tag).holds("a/file", "new"), "what changed is built anew");
}

fn an_archive_that_is_broken_is_told_so(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", DOCKERFILE)]);
    written(context.path(), "head -c 300000 /dev/urandom > noise");
    let context = context.path();
    let said = |archive: Vec<u8>, args: &[&str], code: i32, words: &str| {
        let outcome = build(&agent, archive, args).code(code);
        eprintln!("{words}: {}", outcome.stderr);
        outcome.says(words);
    };
    said(Vec::new(), &[], 2, "nothing came");
    said(vec![0; 10240], &[], 2, "holds no file");
    said(b"\x7fELF\0\0".to_vec(), &[], 2, "no archive and no text");
    said(b"\x28\xb5\x2f\xfd\0\0".to_vec(), &[], 2, "zstd -dc");
    said(b"FROM scratch\n".to_vec(), &["-f", "x"], 2, "-f names another one");
    said(written(context, "tar -c ."), &["-f", "-"], 2, "cannot be both");
    said(written(context, "tar -c . | head -c 200000"), &[], 1, "ended too early");
    said(written(context, "tar -cz . | head -c 200000"), &[], 1, "ended too early");
    said(written(context, "tar -cj . | head -c 200000"), &[], 1, "no whole archive");
    said([b"\x1f\x8b\x08\0".to_vec(), vec![7; 5000]].concat(), &[], 1, "no whole archive");
    said(written(context, "tar -c noise"), &[], 1, "has no Dockerfile");
    said(written(context, "tar -c ."), &["-f", "sub/Other"], 1, "sub/Other");
    // An engine without the program says so.
    if let Some(problem) = xz(&agent, written(context, "tar -cJ .")) {
        assert!(problem.contains("xz -dc"), "{problem}");
    }
}

fn xz(agent: &Agent, archive: Vec<u8>) -> Option<String> {
    let outcome = build(agent, archive, &[]);
    (!outcome.status.success()).then_some(outcome.stderr)
}

/// Whoever made the archive need not be who runs the engine.
fn an_archive_does_not_leave_its_root(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let evil = format!("escaped-{}", rig::unique());
    let context = rig::context(&[("Dockerfile", DOCKERFILE), (&evil, "evil")]);
    symlink("/", context.path().join("link")).unwrap();
    let commands = [
        format!("tar -c -P --transform 's|{evil}|../../../../../../../../{evil}|' Dockerfile {evil}"),
        format!("tar -c -P --transform 's|{evil}|/{evil}|' Dockerfile {evil}"),
        format!(
            "tar -cf t.tar Dockerfile link && rm link && mkdir link && cp {evil} link && \
             tar -rf t.tar link/{evil} && cat t.tar"
        ),
    ];
    for command in commands {
        let outcome = build(&agent, written(context.path(), &command), &[]);
        assert!(matches!(outcome.status.code(), Some(0 | 1)), "{}", outcome.stderr);
        // Engines have roots of their own.
        for process in fs::read_dir("/proc").unwrap().flatten() {
            assert!(!process.path().join("root").join(&evil).exists(), "{command}: it wrote outside of its root");
        }
    }
}

fn a_large_archive_is_held_nowhere_on_its_way(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let archive = written(context.path(), "head -c 200000000 /dev/zero >large && tar -c Dockerfile large");
    let mut client = agent.client().with_input(archive).spawn(&["build", "-"]);
    let mut peak = 0;
    rig::eventually("the build ends", Duration::from_secs(60), || {
        peak = peak.max(rig::peak_memory(client.id()));
        (!client.runs()).then_some(())
    });
    client.wait().code(0).says("200");
    assert!((1..40).contains(&peak), "the client took {peak} MB");
    let peak = rig::peak_memory(agent.id());
    assert!(peak < 60, "the agent took {peak} MB");
}

fn an_archive_is_built_for_several_platforms(kind: Kind) {
    let (registry, agent) = (Registry::start(), Agent::start(&Engine::shared(kind)));
    let context = rig::context(&[("Dockerfile", DOCKERFILE), ("file", &rig::unique())]);
    let tag = registry.image("app:1");
    let args = ["--platform", "linux/amd64,linux/arm64", "--push", "-t", &tag];
    build(&agent, written(context.path(), "tar -cz ."), &args).code(0);
    assert!(registry.head("app", "1").is_some());
    let planned = agent.client().with_input(written(context.path(), "tar -cz .")).run(&["plan", "-t", &tag, "-"]);
    planned.code(0);
}

/// What was read once cannot be built again, and so the push is not tried again.
fn a_registry_that_refuses_is_named_where_the_archive_is_gone(kind: Kind) {
    let (registry, agent) = (Registry::start(), Agent::start(&Engine::shared(kind)));
    let fault = Fault { method: "PUT", path: "/manifests/", times: usize::MAX, answer: Some("429 Too Many Requests") };
    let refusing = FaultyRegistry::before(&registry, fault);
    let context = rig::context(&[("Dockerfile", DOCKERFILE), ("file", &rig::unique())]);
    let tag = format!("{}/app:1", refusing.host);
    build(&agent, written(context.path(), "tar -cz ."), &["--push", "-t", &tag]).code(12).says("429");
}
