//! One thing changes at a time, on an engine that knows nothing: the image that is pushed is the one that a build without
//! cache makes, and no step runs that did not change.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{anew, application, differences, edit};
use crate::rig::{Agent, Engine, Image, Kind, Registry};

on_both_stores!(
    a_change_of_the_config_is_in_the_image_and_runs_nothing,
    a_change_of_a_step_runs_it_and_what_follows,
    a_change_of_a_file_runs_what_reads_it,
    a_base_image_that_moved_is_never_taken_for_the_old_one,
);

struct Change {
    what: &'static str,
    edit: fn(&Path),
    args: &'static [&'static str],
    /// The steps that run anew.
    anew: &'static [&'static str],
}

const NOTHING: Change = Change { what: "nothing", edit: |_| {}, args: &[], anew: &[] };

fn dockerfile(dir: &Path, old: &str, new: &str) {
    edit(dir, "Dockerfile", old, new);
}

fn a_change_of_the_config_is_in_the_image_and_runs_nothing(kind: Kind) {
    check(
        kind,
        &[
            NOTHING,
            Change { what: "ENV", edit: |dir| dockerfile(dir, "AFTER=1", "AFTER=2"), ..NOTHING },
            Change { what: "no ENV", edit: |dir| dockerfile(dir, "ENV AFTER=1\n", ""), ..NOTHING },
            Change { what: "CMD", edit: |dir| dockerfile(dir, "CMD [\"sh\"", "CMD [\"sh\", \"-x\""), ..NOTHING },
            Change { what: "no CMD", edit: |dir| dockerfile(dir, "CMD [\"sh\", \"/app/app.sh\"]\n", ""), ..NOTHING },
            Change { what: "LABEL", edit: |dir| dockerfile(dir, "commit=1", "commit=2"), ..NOTHING },
            Change { what: "--label", args: &["--label", "org.example.commit=3", "--label", "x=y z"], ..NOTHING },
            Change { what: "USER", edit: |dir| dockerfile(dir, "ENV AFTER=1", "ENV AFTER=1\nUSER 12:34"), ..NOTHING },
            Change { what: "WORKDIR", edit: |dir| dockerfile(dir, "WORKDIR /app\n", "WORKDIR /srv\n"), ..NOTHING },
            Change { what: "a build arg that no step uses", args: &["--build-arg", "UNUSED=2"], ..NOTHING },
            Change {
                what: "the rest of the config",
                edit: |dir| {
                    let more = "EXPOSE 8080/tcp 53/udp\nVOLUME /data\nSTOPSIGNAL SIGINT\nONBUILD RUN echo later\n\
                        HEALTHCHECK --interval=5s CMD [\"true\"]\nSHELL [\"/bin/sh\", \"-e\", \"-c\"]\n\
                        ENTRYPOINT [\"/bin/echo\"]\nMAINTAINER somebody\nCMD [\"";
                    dockerfile(dir, "CMD [\"", more);
                },
                ..NOTHING
            },
        ],
    );
}

fn a_change_of_a_step_runs_it_and_what_follows(kind: Kind) {
    check(
        kind,
        &[
            Change {
                what: "ENV before the steps",
                edit: |dir| dockerfile(dir, "ENV BEFORE=1", "ENV BEFORE=2"),
                anew: &["prepare", "finish"],
                ..NOTHING
            },
            Change {
                what: "USER before a step",
                edit: |dir| dockerfile(dir, "ENV BEFORE=1", "RUN chmod 777 /\nUSER 0:7\nENV BEFORE=1"),
                anew: &["prepare", "finish"],
                ..NOTHING
            },
            Change { what: "a build arg", args: &["--build-arg", "VERSION=2"], anew: &["make", "finish"], ..NOTHING },
            Change { what: "--target", args: &["--target", "builder"], ..NOTHING },
            Change {
                what: "--platform",
                // The caches of other platforms have other names (that one is none for this platform is tried in `hostile`).
                args: &["--platform", "linux/arm64"],
                anew: &["deps", "make", "prepare", "finish"],
                ..NOTHING
            },
            Change {
                what: "no last step",
                edit: |dir| {
                    let text = std::fs::read_to_string(dir.join("Dockerfile")).unwrap();
                    let kept = text.lines().filter(|line| !line.starts_with("RUN cat"));
                    let text: String = kept.flat_map(|line| [line, "\n"]).collect();
                    std::fs::write(dir.join("Dockerfile"), text).unwrap();
                },
                ..NOTHING
            },
            Change {
                what: "one more step at the end",
                edit: |dir| dockerfile(dir, "ENV AFTER=1", "RUN rm /finished && echo more >/more\nENV AFTER=1"),
                ..NOTHING
            },
            Change {
                what: "one step more in the builder",
                edit: |dir| dockerfile(dir, "ARG UNUSED=1", "RUN echo more >>/made"),
                anew: &["finish"],
                ..NOTHING
            },
            Change {
                what: "two steps swapped",
                edit: |dir| {
                    let copy = "COPY --from=builder /deps /made /app/\n";
                    dockerfile(dir, copy, "");
                    dockerfile(dir, "ENV BEFORE=1\n", &format!("{copy}ENV BEFORE=1\n"));
                },
                anew: &["prepare", "finish"],
                ..NOTHING
            },
        ],
    );
}

fn a_change_of_a_file_runs_what_reads_it(kind: Kind) {
    const SOURCE: Change = Change { anew: &["make", "finish"], ..NOTHING };
    check(
        kind,
        &[
            Change { what: "content", edit: |dir| edit(dir, "source/main", "hi", "ha"), ..SOURCE },
            Change {
                what: "mode",
                edit: |dir| {
                    std::fs::set_permissions(dir.join("source/main"), std::fs::Permissions::from_mode(0o755)).unwrap();
                },
                ..SOURCE
            },
            Change {
                what: "name",
                edit: |dir| std::fs::rename(dir.join("source/main"), dir.join("source/moved")).unwrap(),
                ..SOURCE
            },
            Change {
                what: "a file more",
                edit: |dir| std::fs::write(dir.join("source/more"), "more").unwrap(),
                ..SOURCE
            },
            Change {
                what: "a file less",
                edit: |dir| std::fs::remove_file(dir.join("source/other")).unwrap(),
                ..SOURCE
            },
            Change {
                what: "dependencies",
                edit: |dir| edit(dir, "deps.txt", "click", "jinja"),
                anew: &["deps", "make", "finish"],
                ..NOTHING
            },
            Change {
                what: "a file of the final stage",
                edit: |dir| edit(dir, "app.sh", "cat", "cat -n"),
                anew: &["finish"],
                ..NOTHING
            },
            Change {
                what: "the mode of a file that is only copied",
                edit: |dir| {
                    std::fs::set_permissions(dir.join("app.sh"), std::fs::Permissions::from_mode(0o600)).unwrap();
                },
                anew: &["finish"],
                ..NOTHING
            },
            Change {
                what: "a file that nothing reads",
                edit: |dir| std::fs::write(dir.join("x"), "").unwrap(),
                ..NOTHING
            },
        ],
    );
}

/// Builds the application for `main`, and then with each change for a branch of its own on an empty engine.
fn check(kind: Kind, changes: &[Change]) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let base = registry.image("base:1");
    let main = registry.image("app:main");
    let args = ["--push", "--cache-scope", "main", "-t", &main];
    agent.client().build(application(&base).path(), &args).code(0);
    engine.pull(&main);
    let before = Image::of(&engine, &main);
    let mut wrong = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        let context = application(&base);
        (change.edit)(context.path());
        engine.replace();
        let (tag, scope) = (registry.image(&format!("app:{number}")), format!("change/{number}"));
        let args = ["--push", "--cache-scope", &scope, "--cache-fallback", "main", "-t", &tag];
        let built = agent.client().build(context.path(), &[&args[..], change.args].concat()).code(0);
        let (after, different) = differences(&engine, &registry, context.path(), change.args, &tag);
        let ran = anew(&before, &after);
        if !different.is_empty() {
            wrong.push(format!("{}: a wrong image: {}\n{}", change.what, different.join("\n"), built.stderr));
        }
        if ran != change.anew {
            wrong.push(format!("{}: {ran:?} ran, and not {:?}\n{}", change.what, change.anew, built.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn a_base_image_that_moved_is_never_taken_for_the_old_one(kind: Kind) {
    let registry = Registry::start();
    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let context = application(&registry.image("base:1"));
    let tag = registry.image("app:main");
    let build = || agent.client().build(context.path(), &["--push", "--cache-scope", "main", "-t", &tag]).code(0);
    build();
    registry.move_base("new\n");
    engine.replace();
    build().assert_step("RUN sort", "DONE");
    let (image, different) = differences(&engine, &registry, context.path(), &[], &tag);
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(image.file("etc/moved").is_some());
    engine.replace();
    build().assert_all_cached();
}
