//! Which cache is used where several could be, and what a build that failed leaves.

use super::{CHANCE, application, differences, edit};
use crate::rig::{self, Agent, Engine, Image, Kind, Registry};

on_every_engine!(
    the_newest_cache_wins_over_an_old_image_of_its_name,
    what_a_warm_engine_alone_has_is_written,
    what_a_failed_build_has_done_is_not_done_again,
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
