//! The cache strategy on real engines: what is found, what is moved, what is written, and that a result is always what
//! a build without any cache makes.

mod changes;
mod freshness;
mod hostile;
mod stages;
mod trust;
mod warm;

use std::path::Path;

use tempfile::TempDir;

use crate::rig::{self, Engine, Image, Registry};

/// Each RUN leaves a word below here that no other run of it leaves.
const CHANCE: &str = "chance";

/// The words.
const STEPS: [&str; 4] = ["deps", "make", "prepare", "finish"];

/// Two stages, with something of everything. The words that chance gives tell which layers are old.
const APPLICATION: &str = "\
ARG BASE=@base
FROM $BASE AS builder
RUN mkdir /chance
COPY deps.txt /src/
RUN sort /src/deps.txt >/deps; @chance(deps)
COPY source/ /src/source/
ARG VERSION=1
RUN (echo $VERSION; cd /src/source; for f in *; do stat -c '%a %n' $f; cat $f; done) >/made; @chance(make)
ARG UNUSED=1
FROM $BASE AS final
ENV BEFORE=1
RUN mkdir /chance; echo $BEFORE >/before; chown 12:34 /before; @chance(prepare)
COPY --from=builder /deps /made /app/
COPY --from=builder /chance /chance
COPY app.sh /app/
RUN cat /app/made /app/app.sh >/finished; chmod 751 /finished; @chance(finish)
ENV AFTER=1
LABEL org.example.commit=1
WORKDIR /app
CMD [\"sh\", \"/app/app.sh\"]
";

fn application(base: &str) -> TempDir {
    let chance = STEPS.iter().fold(APPLICATION.replace("@base", base), |text, step| {
        text.replace(&format!("@chance({step})"), &format!("head -c 8 /dev/urandom | od >/{CHANCE}/{step}"))
    });
    rig::context(&[
        ("Dockerfile", &chance),
        ("deps.txt", "flask\nclick\n"),
        ("source/main", "print('hi')\n"),
        ("source/other", "print('ho')\n"),
        ("app.sh", "cat /finished\n"),
    ])
}

/// Replaces a part of a file that is there.
#[track_caller]
fn edit(dir: &Path, file: &str, old: &str, new: &str) {
    let text = std::fs::read_to_string(dir.join(file)).unwrap();
    assert!(text.contains(old), "'{old}' is not in {file}:\n{text}");
    std::fs::write(dir.join(file), text.replacen(old, new, 1)).unwrap();
}

/// How a pushed image differs from what Docker's own client makes of the same without any cache. Both are on the engine
/// afterwards.
fn differences(
    engine: &Engine,
    registry: &Registry,
    context: &Path,
    args: &[&str],
    pushed: &str,
) -> (Image, Vec<String>) {
    engine.pull(pushed);
    let plain = registry.image(&format!("plain:{}", rig::unique()));
    let build = ["build", "--network", "host", "--no-cache", "--pull", "-t", &plain];
    engine.docker(&[&build[..], args, &[context.to_str().unwrap()]].concat());
    let ours = Image::of(engine, pushed);
    let found = Image::of(engine, &plain).differences(&ours, CHANCE);
    (ours, found)
}

/// The words of chance in which two images differ: the steps that ran anew.
fn anew(before: &Image, after: &Image) -> Vec<&'static str> {
    let differs = |step: &&str| {
        let path = format!("{CHANCE}/{step}");
        after.file(&path).is_some() && before.file(&path) != after.file(&path)
    };
    STEPS.into_iter().filter(differs).collect()
}
