//! Which cache is used where several could be, and what a build that failed leaves.

use super::{CHANCE, application, differences, edit};
use crate::rig::{self, Agent, Engine, Image, Kind, Registry};

on_every_engine!(
    the_newest_cache_wins_over_an_old_image_of_its_name,
    what_a_warm_engine_alone_has_is_written,
    what_a_failed_build_has_done_is_not_done_again,
    each_change_of_a_single_stage_finds_what_lies_before_it,
    each_change_upon_another_stage_finds_that,
);

/// An engine that has built before, and another one that has built since: what the other one wrote is used.
fn the_newest_cache_wins_over_an_old_image_of_its_name(kind: Kind) {
    let registry = Registry::start();
    let (engine, other) = (Engine::start(kind), Engine::start(kind));
    let (agent, others) = (Agent::start(&engine), Agent::start(&other));
    let context = application(&registry.image("base:1"));
    let tag = registry.image("app:main");
    let args = ["--push", "--cache-scope", "main", "-t", &tag];
    agent.client().build(context.path(), &args).code(0);
    engine.pull(&tag);
    edit(context.path(), "deps.txt", "click", "jinja");
    others.client().build(context.path(), &args).code(0);
    other.pull(&tag);
    let newer = Image::of(&other, &tag);
    let built = agent.client().build(context.path(), &args).code(0);
    built.assert_all_cached();
    let (image, different) = differences(&engine, &registry, context.path(), &[], &tag);
    assert!(different.is_empty(), "{}", different.join("\n"));
    for step in ["deps", "make", "finish"] {
        let path = format!("{CHANCE}/{step}");
        assert_eq!(image.file(&path), newer.file(&path), "{step} is not what the other engine has made");
    }
}

/// A long step that succeeded before another one failed.
fn what_a_failed_build_has_done_is_not_done_again(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let base = registry.image("base:1");
    let salt = rig::unique();
    let text = |last: &str| {
        format!(
            "FROM {base} AS builder\nRUN sleep 2.5 && echo {salt} >/deps\nRUN echo short >/short\nFROM {base}\n\
             COPY --from=builder /deps /short /\nRUN sleep 1; {last}\n"
        )
    };
    let context = rig::context(&[("Dockerfile", &text("exit 7"))]);
    let tag = registry.image("app:1");
    let args = ["--push", "--cache-scope", "main", "-t", &tag];
    let failed = agent.client().build(context.path(), &args).code(1);
    failed.assert_step("RUN sleep 2.5", "DONE");
    assert!(registry.head("app", "1").is_none());
    engine.replace();
    std::fs::write(context.path().join("Dockerfile"), text("true")).unwrap();
    let mended = agent.client().build(context.path(), &args).code(0);
    mended.assert_step("RUN sleep 2.5", "CACHED");
}

/// An engine on which everything was built before anybody wrote cache, or for another application: what is in no registry
/// is written, although no step ran.
fn what_a_warm_engine_alone_has_is_written(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let context = application(&registry.image("base:1"));
    let tag = registry.image("app:main");
    agent.client().build(context.path(), &["--push", "--cache", "off", "-t", &tag]).code(0);
    let args = ["--push", "--cache-scope", "main", "-t", &tag];
    agent.client().build(context.path(), &args).code(0).assert_all_cached();
    engine.replace();
    edit(context.path(), "source/main", "hi", "changed");
    let changed = agent.client().build(context.path(), &args).code(0);
    changed.assert_step("RUN sort", "CACHED");
    changed.assert_step("RUN (echo", "DONE");
}

/// Inline caches of engines before Docker 28 leave out the layers of steps that were cached themselves.
fn each_change_of_a_single_stage_finds_what_lies_before_it(kind: Kind) {
    changes_find_what_lies_before("FROM @base\nRUN echo @salt >/first\nRUN echo @salt >/second\n@last", kind);
}

/// The same where what changes is upon a stage of its own.
fn each_change_upon_another_stage_finds_that(kind: Kind) {
    changes_find_what_lies_before(
        "FROM @base AS under\nRUN echo @salt >/first\nRUN echo @salt >/second\nFROM under\n@last",
        kind,
    );
}

/// Changes a file before the last step again and again, each time on an empty engine, in two branches.
fn changes_find_what_lies_before(dockerfile: &str, kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let text = dockerfile.replace("@base", &registry.image("base:1")).replace("@salt", &rig::unique());
    let text = text.replace("@last", "COPY file /\nRUN cat /file >/last\n");
    let context = rig::context(&[("Dockerfile", &text), ("file", "0")]);
    let tag = registry.image("app:1");
    for number in 0..4 {
        std::fs::write(context.path().join("file"), number.to_string()).unwrap();
        for scope in ["main", "feature"] {
            let args = ["--push", "--cache-scope", scope, "--cache-fallback", "main", "-t", &tag];
            let built = agent.client().build(context.path(), &args).code(0);
            if number > 0 || scope != "main" {
                for step in [">/first", ">/second"] {
                    built.assert_step(step, "CACHED");
                }
            }
            engine.replace();
        }
    }
}
