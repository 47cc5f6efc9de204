//! Stages and forms of Dockerfiles: what is needed is cached, what is not is not touched.

use std::fmt::Write as _;

use crate::rig::{self, Agent, Engine, Kind, Outcome, Registry};

on_every_engine!(
    a_changed_source_runs_no_dependencies_and_is_found_the_next_time,
    a_stage_that_the_target_does_not_need_is_neither_built_nor_cached,
    every_form_of_a_dockerfile_is_cached,
    a_dockerfile_of_ten_thousand_lines,
);
on_one_engine!(Docker28: a_heredoc_is_cached);

/// The application of the README: dependencies, source, and a final stage that runs something of its own.
fn dockerfile(base: &str) -> String {
    format!(
        "FROM {base} AS builder\nCOPY lock /\nRUN sort /lock >/deps && echo dependencies\nCOPY source /\n\
         RUN cat /deps /source >/made && echo sources\nFROM {base}\nRUN echo prepared >/prepared\n\
         COPY --from=builder /made /made\nRUN cat /made >/finished\n"
    )
}

fn push(agent: &Agent, context: &std::path::Path, tag: &str) -> Outcome {
    agent.client().build(context, &["--push", "--cache-scope", "main", "-t", tag]).code(0)
}

fn a_changed_source_runs_no_dependencies_and_is_found_the_next_time(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let base = registry.image("base:1");
    let context = rig::context(&[("Dockerfile", &dockerfile(&base)), ("lock", "b\na\n"), ("source", "one\n")]);
    let tag = registry.image("app:1");
    push(&agent, context.path(), &tag);
    let refs = || {
        let tags = registry.tags("app").into_iter().filter(|tag| tag.starts_with("cache_main"));
        tags.map(|tag| (registry.head("app", &tag), tag)).collect::<Vec<_>>()
    };
    for content in ["two\n", "three\n"] {
        let before = refs();
        engine.replace();
        std::fs::write(context.path().join("source"), content).unwrap();
        let changed = push(&agent, context.path(), &tag);
        changed.assert_step("echo dependencies", "CACHED");
        changed.assert_step("RUN echo prepared", "CACHED");
        changed.assert_step("echo sources", "DONE");
        changed.assert_step("RUN cat /made", "DONE");
        let after = refs();
        assert!(before.iter().all(|old| !after.contains(old)), "{before:?}, then {after:?}\n{}", changed.stderr);
        engine.replace();
        push(&agent, context.path(), &tag).assert_all_cached();
        assert_eq!(refs(), after, "what did not change was written again");
    }
}

fn a_stage_that_the_target_does_not_need_is_neither_built_nor_cached(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let base = registry.image("base:1");
    let text = format!(
        "FROM {base} AS tests\nRUN echo never && exit 1\nFROM {base} AS Builder\nRUN echo 1 >/made\n\
         FROM {base} AS wanted\nCOPY --from=Builder /made /made\nRUN cat /made\nFROM wanted\nRUN echo last && exit 1\n"
    );
    let context = rig::context(&[("Dockerfile", &text)]);
    let tag = registry.image("app:1");
    for _ in 0..2 {
        let args = ["--push", "--target", "wanted", "--cache-scope", "main", "-t", &tag];
        let built = agent.client().build(context.path(), &args).code(0);
        assert!(!built.stderr.contains("echo never") && !built.stderr.contains("echo last"), "{}", built.stderr);
    }
    let tags = registry.tags("app");
    assert!(!tags.iter().any(|tag| tag.contains("tests") || tag.contains("stage")), "{tags:?}");
    engine.replace();
    let args = ["--push", "--target", "wanted", "--cache-scope", "main", "-t", &tag];
    agent.client().build(context.path(), &args).code(0).assert_all_cached();
}

fn every_form_of_a_dockerfile_is_cached(kind: Kind) {
    let registry = Registry::start();
    let base = registry.image("base:1");
    // 20.10 knows no mounts without a syntax line.
    let mount = if kind == Kind::Docker20 { "true" } else { "--mount=from=made,target=/m cat /m/one" };
    let forms = [
        (
            "ARG before FROM, FROM of a variable, COPY by name",
            format!(
                "ARG WHICH=made\nFROM {base} AS made\nRUN echo 1 >/one\nFROM ${{WHICH}} AS next\nRUN echo 2 >/two\n\
                FROM {base}\nCOPY --from=next /one /two /\nRUN cat /one /two\n"
            ),
        ),
        (
            "COPY by number and from an image",
            format!(
                "FROM {base}\nRUN echo 1 >/one\nFROM {base}\nCOPY --from=0 /one /\nCOPY --from={base} /bin/busybox /b\n\
                RUN cat /one\n"
            ),
        ),
        ("RUN with a mount", format!("FROM {base} AS made\nRUN echo 1 >/one\nFROM {base}\nRUN {mount}\nRUN echo 2\n")),
        (
            "lower case, and a stage with capitals",
            format!("from {base} as Made\nrun echo 1 >/one\nfrom {base}\ncopy --from=made /one /\nrun cat /one\n"),
        ),
        (
            "an escape directive",
            format!(
                "# escape=`\nFROM {base} AS made\nRUN echo 1 `\n  >/one\nFROM {base}\nCOPY --from=made `\n /one /\n\
                RUN cat /one\n"
            ),
        ),
        (
            "--platform, an odd name, comments in between",
            format!(
                "FROM --platform=$BUILDPLATFORM {base} AS m_1.x-y\nRUN echo 1 \\\n# no\n  >/one\n\nFROM {base}\n\
                COPY --from=m_1.x-y /one /\nRUN cat /one\n"
            ),
        ),
        ("from scratch", format!("FROM {base} AS made\nRUN echo 1 >/one\nFROM scratch\nCOPY --from=made /one /\n")),
        ("a single stage", format!("FROM {base}\nRUN echo 1 >/one\n")),
        ("no step at all", format!("FROM {base}\nENV A=1\n")),
    ];
    check(kind, &registry, &forms);
}

fn a_heredoc_is_cached(kind: Kind) {
    let registry = Registry::start();
    let base = registry.image("base:1");
    let text = format!(
        "FROM {base} AS made\nRUN <<EOF\necho FROM nobody AS stage >/one\nEOF\nFROM {base}\nCOPY <<-A --from=made /two\n\
         \tFROM x\nA\nCOPY --from=made /one /\nRUN cat /one\n"
    );
    let text = text.replace("COPY <<-A --from=made /two", "COPY <<-A /two");
    check(kind, &registry, &[("a heredoc", text)]);
}

/// Builds each form, throws the engine away, and builds each again.
fn check(kind: Kind, registry: &Registry, forms: &[(&str, String)]) {
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let mut wrong = Vec::new();
    for again in [false, true] {
        for (number, (what, text)) in forms.iter().enumerate() {
            let context = rig::context(&[("Dockerfile", text)]);
            let tag = registry.image(&format!("app{number}:1"));
            let args = ["--push", "--cache-scope", "main", "-t", &tag];
            let built = agent.client().build(context.path(), &args);
            if built.status.code() != Some(0) || again && built.step("RUN", "DONE") {
                wrong.push(format!("{what}: {}\n{}", built.status, built.stderr));
            }
            if built.stderr.contains("was not written") {
                wrong.push(format!("{what}: no cache\n{}", built.stderr));
            }
        }
        engine.replace();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn a_dockerfile_of_ten_thousand_lines(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let base = registry.image("base:1");
    let mut text = format!("FROM {base} AS builder\nRUN echo 1 >/one\n");
    for line in 0..9_500 {
        writeln!(text, "# {line}: FROM nobody AS stage").unwrap();
    }
    writeln!(text, "FROM {base}\nCOPY --from=builder /one /one\nRUN cat /one").unwrap();
    for line in 0..500 {
        writeln!(text, "LABEL org.example.label-{line}=\"{line}\"").unwrap();
    }
    let context = rig::context(&[("Dockerfile", &text)]);
    let tag = registry.image("app:1");
    push(&agent, context.path(), &tag);
    engine.replace();
    push(&agent, context.path(), &tag).assert_all_cached();
    let labels = registry.config("app", &registry.manifest("app", "1"))["config"]["Labels"].clone();
    assert_eq!(labels.as_object().unwrap().len(), 500);
}
