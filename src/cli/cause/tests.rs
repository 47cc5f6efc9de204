use super::*;
use crate::model::FailureKind;

fn next(what: &str, log: &[&str], network: Network) -> String {
    let log = log.iter().map(|&line| line.to_owned()).collect();
    let failure = Failure { log, ..Failure::new(FailureKind::Build, what) }.next("as before");
    explain(failure, network).next
}

/// How BuildKit words it, and how Docker 20.10 does.
fn ended(code: u32) -> [String; 2] {
    [
        format!("[2/2] RUN x: process \"/bin/sh -c x\" did not complete successfully: exit code: {code}"),
        format!("[2/2] RUN x: executor failed running [/bin/sh -c x]: exit code: {code}"),
    ]
}

#[test]
fn a_cause_is_known_by_its_signs() {
    for (code, log, words) in [
        (1, "dd: error writing '/a': No space left on device", "a disk is full"),
        (1, "npm ERR! code ENOSPC", "a disk is full"),
        (137, "", "most likely for want of memory"),
        (137, "Killed", "most likely for want of memory"),
        (134, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "ran out of memory"),
        (2, "g++: fatal error: Killed signal terminated program cc1plus", "ran out of memory"),
        (1, "fork: Cannot allocate memory", "ran out of memory"),
        (127, "/bin/sh: make: not found", "'make' was not found"),
        (127, "/bin/sh: 1: make: not found", "'make' was not found"),
        (127, "bash: line 1: make: command not found", "'make' was not found"),
        (127, "runc: exec: \"make\": executable file not found in $PATH", "'make' was not found"),
        (127, "", "a command of the step was not found"),
        (127, "/bin/sh: [ls: not found", "no JSON array"),
        (
            127,
            "/app: error while loading shared libraries: libx.so.1: cannot open shared object file",
            "shared library",
        ),
        (
            127,
            "Error loading shared library libstdc++.so.6: No such file or directory (needed by /app)",
            "shared library",
        ),
        (1, "cp: error writing '/x': Bad address", "as before"),
        (126, "/bin/sh: ./configure: Permission denied", "may not be executed"),
        (126, "/bin/sh: ./app: Exec format error", "another platform"),
        (255, "exec /bin/sh: exec format error", "another platform"),
        (1, "wget: bad address 'h.example'", "--network host"),
        (100, "  Temporary failure resolving 'deb.example.org'", "--network host"),
        (6, "curl: (6) Could not resolve host: h.example", "--network host"),
        (1, "getaddrinfo EAI_AGAIN npm.example.org", "--network host"),
        (1, "connect: Network is unreachable", "--network host"),
        (1, "assertion failed", "as before"),
        (139, "", "as before"),
    ] {
        for what in ended(code) {
            let next = next(&what, &[log, "and a last line"], Network::Default);
            assert!(next.contains(words), "{code} {log}: {next}");
        }
    }
}

#[test]
fn what_the_engine_says_itself_counts() {
    for (what, words) in [
        ("[2/2] COPY a b: write /var/lib/docker/x: no space left on device", "a disk is full"),
        ("[2/2] RUN x: process \"x\" did not complete successfully: cannot allocate memory", "ran out of memory"),
        ("runc run failed: exec format error: failed to create task", "another platform"),
        (
            "bulder: failed to resolve source metadata for docker.io/library/bulder:latest: dial tcp (did you mean builder?)",
            "is builder meant",
        ),
        ("base name ($BASE) should not be blank", "--build-arg"),
        ("[2/2] RUN x: network bridge not found", "--network host"),
        ("something else", "as before"),
    ] {
        assert!(next(what, &[], Network::Default).contains(words), "{what}");
    }
}

#[test]
fn what_a_step_only_quotes_is_no_sign() {
    let what = "[2/2] RUN echo no space left on device; echo exec format error; exit 3: process \"/bin/sh -c echo no space \
                left on device; exit 3\" did not complete successfully: exit code: 3";
    assert_eq!(next(what, &[], Network::Default), "as before");
    assert_eq!(next("\"/a\": not found", &["No space left on device"], Network::Default), "as before");
}

#[test]
fn advice_about_the_network_knows_what_was_asked() {
    let [what, _] = ended(1);
    let with = |network| next(&what, &["wget: bad address 'h'"], network);
    assert!(with(Network::None).contains("--network none"));
    assert!(!with(Network::Host).contains("--network"));
}
