//! Large contexts, and those that change or cannot be read.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::rig::{self, Agent, Engine, Kind};

on_every_engine!(many_files_and_a_large_one, deep_and_looping_links, a_long_dockerignore);
on_one_engine!(Docker28: special_files, a_name_that_this_engine_cannot_take);

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n";

fn many_files_and_a_large_one(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", DOCKERFILE)]);
    for directory in 0..20 {
        let directory = context.path().join(format!("d{directory}"));
        std::fs::create_dir(&directory).unwrap();
        for file in 0..100 {
            std::fs::write(directory.join(format!("f{file}")), rig::unique()).unwrap();
        }
    }
    // Larger than any message or window on the way.
    let large = format!("head -c 60000000 /dev/urandom > {}/large", context.path().display());
    assert!(Command::new("sh").args(["-c", &large]).status().unwrap().success());
    agent.client().build(context.path(), &[]).code(0);
    let again = agent.client().build(context.path(), &[]).code(0);
    again.assert_step("COPY . /", "CACHED");
}

/// Every line travels as a header of HTTP/2.
fn a_long_dockerignore(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let lines = (0..2000).map(|n| format!("some/directory/of/its/own/file-{n}\n")).collect::<Vec<_>>().concat();
    let context = rig::context(&[("Dockerfile", DOCKERFILE), ("file", "x"), (".dockerignore", &lines)]);
    agent.client().build(context.path(), &[]).code(0);
}

fn deep_and_looping_links(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context =
        rig::context(&[("Dockerfile", "FROM scratch\nCOPY link/file /\nCOPY . /all/\n"), ("a/b/c/file", "x")]);
    symlink("a/b/c", context.path().join("link")).unwrap();
    symlink("loop", context.path().join("loop")).unwrap();
    symlink("..", context.path().join("a/up")).unwrap();
    agent.client().build(context.path(), &[]).code(0);
}

fn a_name_that_this_engine_cannot_take(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", DOCKERFILE)]);
    std::fs::write(context.path().join(OsStr::from_bytes(b"not-utf8-\xff")), "bytes").unwrap();
    // Docker's own client fails here, and says only "string field contains invalid UTF-8".
    let outcome = agent.client().build(context.path(), &[]);
    if !outcome.status.success() {
        outcome.says("not-utf8-");
    }
}

fn special_files(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", DOCKERFILE), ("file", "x")]);
    let pipe = context.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(context.path().join("socket")).unwrap();
    // Docker's own client sends pipes, and leaves sockets out.
    agent.client().build(context.path(), &[]).code(0);
}
