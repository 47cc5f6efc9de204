//! Who may use what. The rooms of the crate and what is absent from each are described in ARCHITECTURE.md; here that
//! is checked, by reading the paths in the source.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "rooms/declared.rs"]
mod declared;
#[path = "rooms/scan.rs"]
mod scan;

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use self::{declared::undeclared, scan::paths};

/// What a room may use: rooms of this crate, and crates. `std`, `core` and `alloc` are open to all.
struct Rule {
    room: &'static str,
    /// Other rooms. Its own is always open.
    rooms: Allowed,
    /// Crates.
    crates: Allowed,
}

enum Allowed {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}
use Allowed::{AllBut, Only};

const BUILDKIT: &[&str] = &["bollard", "bollard_buildkit_proto"];
/// `BuildKit`'s, and Kubernetes', which the room `kube` alone knows.
const ENGINE_AND_CLUSTER: &[&str] = &["bollard", "bollard_buildkit_proto", "kube", "k8s_openapi"];

const RULES: &[Rule] = &[
    Rule { room: "model", rooms: Only(&[]), crates: Only(&["serde", "thiserror"]) },
    // JSON, base64 and hashes of bytes at hand are pure.
    Rule { room: "strategy", rooms: Only(&["model", "digest"]), crates: Only(&["serde", "serde_json", "base64"]) },
    Rule {
        room: "wire",
        rooms: Only(&["model", "pb"]),
        crates: Only(&["tonic", "tonic_types", "prost", "prost_types", "bytes"]),
    },
    Rule {
        room: "session",
        rooms: AllBut(&["engine", "registry", "strategy", "service", "git", "kube"]),
        crates: AllBut(&["bollard", "kube", "k8s_openapi"]),
    },
    Rule {
        room: "engine",
        rooms: AllBut(&["wire", "pb", "cli", "service", "git", "kube"]),
        crates: AllBut(&["kube", "k8s_openapi"]),
    },
    Rule {
        room: "registry",
        rooms: AllBut(&["wire", "pb", "cli", "service", "engine", "git", "kube"]),
        crates: AllBut(ENGINE_AND_CLUSTER),
    },
    Rule {
        room: "git",
        rooms: AllBut(&["wire", "pb", "cli", "service", "engine", "registry", "strategy", "kube"]),
        crates: AllBut(ENGINE_AND_CLUSTER),
    },
    // It says who may do what, and does none of it.
    Rule { room: "kube", rooms: Only(&["model"]), crates: AllBut(BUILDKIT) },
    Rule {
        room: "cli",
        rooms: AllBut(&["engine", "strategy", "service", "git", "agent_cli", "kube"]),
        crates: AllBut(ENGINE_AND_CLUSTER),
    },
    Rule {
        room: "agent_cli",
        rooms: AllBut(&["cli", "session", "git", "strategy", "kube"]),
        crates: AllBut(ENGINE_AND_CLUSTER),
    },
    Rule { room: "dind", rooms: Only(&["model"]), crates: Only(&["serde_json"]) },
    Rule { room: "doctor", rooms: Only(&["model"]), crates: Only(&[]) },
    Rule { room: "host", rooms: Only(&["model"]), crates: Only(&["rustix"]) },
    // Of a command line nobody else's business but its manual.
    Rule { room: "manual", rooms: Only(&[]), crates: Only(&["clap", "clap_mangen", "roff"]) },
    // Nothing asks upward.
    Rule { room: "service", rooms: AllBut(&["cli", "agent_cli"]), crates: AllBut(ENGINE_AND_CLUSTER) },
    Rule { room: "config", rooms: Only(&["model"]), crates: AllBut(ENGINE_AND_CLUSTER) },
];

/// For every file that has no rule of its own.
const ELSEWHERE: Rule = Rule { room: "", rooms: AllBut(&[]), crates: AllBut(ENGINE_AND_CLUSTER) };

/// Names that say nothing about what is inside.
const NO_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "manager", "common", "misc"];

const LONGEST_FILE: usize = 400;
/// Longer files, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Used by tests alone: a test may use what it wants.
const TEST_CRATES: &[&str] = &["proptest", "insta", "tempfile", "assert_cmd"];

impl Allowed {
    fn allows(&self, name: &str) -> bool {
        match self {
            Only(names) => names.contains(&name),
            AllBut(names) => !names.contains(&name),
        }
    }
}

/// The room of a file below `src`: its first directory, or its own name.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Every crate that Cargo.toml names.
static CRATES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        } else if let (true, Some((name, _))) = (inside, line.split_once(['=', '.'])) {
            found.push(name.trim().replace('-', "_"));
        }
    }
    assert!(found.iter().any(|name| name == "tokio"), "where are the dependencies?");
    found
});

/// What is wrong with a file below `src`.
fn offences(file: &str, text: &str) -> Vec<String> {
    let (here, mut found) = (room(file), Vec::new());
    let rule = RULES.iter().find(|rule| rule.room == here).unwrap_or(&ELSEWHERE);
    let depth = file.split('/').count() - usize::from(file.ends_with("mod.rs"));
    for path in paths(text) {
        let Some(used) = path.target(depth, &CRATES) else { continue };
        let offence = match used {
            scan::Used::Room(name) if name != here && !rule.rooms.allows(&name) => format!("room {here} uses {name}"),
            scan::Used::Crate(name) if !rule.crates.allows(&name) && !TEST_CRATES.contains(&name.as_str()) => {
                format!("room {here} uses the crate {name}")
            }
            _ => continue,
        };
        found.push(format!("src/{file}:{}: {offence}", path.line));
    }
    found.dedup();
    let stem = file.rsplit('/').next().unwrap().trim_end_matches(".rs");
    if file.split('/').chain([stem]).any(|part| NO_NAMES.contains(&part)) {
        found.push(format!("src/{file}: a name that says nothing"));
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE && !LONG_FILES.iter().any(|(long, _)| *long == file) {
        found.push(format!("src/{file}: {lines} lines are more than {LONGEST_FILE}"));
    }
    found
}

/// Every file of Rust below `src`: its text, by its path there.
static SOURCES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut directories) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let file = path.strip_prefix(&root).unwrap().to_str().unwrap();
                found.insert(file.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 10, "where is the source?");
    found
});

#[test]
fn every_room_keeps_to_itself() {
    let found: Vec<String> = SOURCES.iter().flat_map(|(file, text)| offences(file, text)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_file_is_compiled() {
    assert_eq!(undeclared(&SOURCES), Vec::<&str>::new(), "no `mod` leads to them");
}

#[test]
fn a_file_that_nobody_declares_is_found() {
    let sources = [
        ("lib.rs", "pub mod a;\nmod b;"),
        ("a.rs", "pub(in crate::b) mod c;\n// mod dead;\nmod inline { }\n#[cfg(test)]\nmod tests;"),
        ("a/c.rs", ""),
        ("a/dead.rs", "mod deader;"),
        ("a/dead/deader.rs", ""),
        ("a/tests.rs", ""),
        ("b/mod.rs", "#[path = \"named.rs\"]\n#[cfg(test)]\nmod other;\nmod d;"),
        ("b/d/mod.rs", ""),
        ("b/named.rs", ""),
        ("b/other.rs", ""),
        ("bin/program.rs", "fn main() {}"),
        ("c.rs", ""),
    ];
    let sources = sources.map(|(file, text)| (file.to_owned(), text.to_owned())).into();
    assert_eq!(undeclared(&sources), ["a/dead.rs", "a/dead/deader.rs", "b/other.rs", "c.rs"]);
}

#[test]
fn long_files_that_are_allowed_are_long() {
    for (file, reason) in LONG_FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        assert!(fs::read_to_string(path).unwrap().lines().count() > LONGEST_FILE, "{file} ({reason}) is short now");
    }
}

#[test]
fn what_is_not_allowed_is_found() {
    for (file, text) in [
        ("model/a.rs", "use tokio::net;"),
        ("model/a.rs", "fn f() { let x: tokio::time::Instant; }"),
        ("model/a.rs", "use crate::engine;"),
        ("model/a.rs", "pub(crate) use crate::{model::Event, strategy::retry};"),
        ("model.rs", "use super::strategy;"),
        ("model/mod.rs", "use super::strategy;"),
        ("model/deep/a.rs", "use super::super::super::wire as w;"),
        ("strategy/a.rs", "fn f() { crate::engine::dial(); }"),
        ("strategy/a.rs", "use tokio::{time};"),
        ("strategy/a.rs", "use sha2::Sha256;"),
        ("wire/mod.rs", "use crate::{\n  model::Event,\n  engine::{self, Dial},\n};"),
        ("engine/a.rs", "fn f(x: crate::pb::Event) {}"),
        ("engine/a.rs", "use crate::wire::Event as E;"),
        ("registry/a.rs", "use bollard_buildkit_proto::moby;"),
        ("registry/a.rs", "fn f(x: &'a crate::pb::Event) {}"),
        ("cli/a.rs", "use crate::strategy::plan;"),
        ("cli/a.rs", "let c = 'x'; let d = '\"'; use crate::service;"),
        ("session/a.rs", "use ::bollard::Docker;"),
        ("session/a.rs", "use crate::r#engine::x;"),
        ("service/a.rs", "use bollard::{Docker};"),
        ("service/a.rs", "use kube::Client;"),
        ("kube/a.rs", "use crate::service::Agent;"),
        ("bin/remora.rs", "use bollard;"),
        ("bin/remora.rs", "extern crate bollard;"),
        ("bin/remora.rs", "fn main() { bollard::f(); }"),
        ("engine/utils.rs", ""),
        ("helpers/a.rs", ""),
        ("engine/a.rs", &"\n".repeat(LONGEST_FILE + 1)),
    ] {
        assert_eq!(offences(file, text).len(), 1, "{file}: {text} {:?}", offences(file, text));
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for (file, text) in [
        ("model/a.rs", "use std::fmt; use core::mem; use serde::Serialize; use super::Event; use crate::model::X;"),
        ("model/a.rs", "// use tokio::net;\n/* crate::engine::x /* nested */ tokio::x */"),
        ("model/a.rs", "let s = \"crate::engine::x \\\" tokio::x\"; let r = r#\"use \"tokio::x\"\"#;"),
        ("model/a.rs", "mod tests { use super::*; use proptest::prelude::*; }"),
        ("model/a.rs", "impl<T: fmt::Display> X for Self { fn f() { Self::g(); T::h(); u32::max(1, 2); io::x(); } }"),
        ("model/a.rs", "use std::io; enum tokio_like {} fn f() { local::g() } mod local { pub fn g() {} }"),
        ("strategy/prune_tests.rs", "use super::*; use crate::{model::PruneRequest};"),
        ("strategy/a.rs", "use crate::digest;"),
        ("wire/a.rs", "use crate::{model, pb}; use tonic::Status;"),
        ("engine/a.rs", "use crate::{model, session, strategy}; use bollard::Docker;"),
        ("kube/a.rs", "use kube::Client; use crate::model::X; use super::Cluster;"),
        ("service/a.rs", "use crate::kube::Authority;"),
        ("session/a.rs", "use crate::{model, wire}; use bollard_buildkit_proto::moby;"),
        ("bin/remora.rs", "use remora::cli; fn main() {}"),
    ] {
        assert_eq!(offences(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}
