//! The client's own part: what it refuses, and how it ends, before there is an agent.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

/// Runs `remora` with nobody to talk to.
fn remora(dir: &Path, args: &[&str]) -> Output {
    let agent = format!("unix://{}/no.sock", dir.display());
    let base = ["--agent", &agent, "--wait", "0s"];
    // Nor with settings of whoever runs the tests.
    Command::new(env!("CARGO_BIN_EXE_remora")).env_clear().args(base).args(args).current_dir(dir).output().unwrap()
}

fn context() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    dir
}

#[track_caller]
fn refuses(output: &Output, code: i32, word: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(word), "'{word}' is not in: {told}");
}

#[test]
fn without_an_agent_the_exit_code_is_10() {
    let dir = context();
    refuses(&remora(dir.path(), &["build", "."]), 10, "cannot reach the agent");
}

#[test]
fn a_failed_build_leaves_no_id_of_an_earlier_one() {
    let dir = context();
    let [id, metadata, digest] = ["id", "metadata", "digest"].map(|name| dir.path().join(name));
    fs::write(&id, "sha256:old").unwrap();
    fs::write(&metadata, "{}").unwrap();
    fs::write(&digest, "sha256:old").unwrap();
    let files = ["--iidfile", "id", "--metadata-file", "metadata", "--digest-file", "digest"];
    refuses(&remora(dir.path(), &[&["build"], &files[..], &["."]].concat()), 10, "agent");
    let left = [&id, &metadata, &digest].into_iter().any(|file| file.exists());
    assert!(!left, "the next step would take the old image for the new one");
}

#[test]
fn files_that_would_stay_empty_are_refused_before_the_build() {
    let dir = context();
    for output in ["type=tar,dest=x.tar", "out", "type=cacheonly"] {
        for flag in ["--iidfile", "--digest-file"] {
            refuses(&remora(dir.path(), &["build", "-o", output, flag, "file", "."]), 2, flag);
        }
    }
}

#[test]
fn a_check_makes_no_image_and_leaves_the_id_of_the_last_one() {
    let dir = context();
    fs::write(dir.path().join("id"), "sha256:old").unwrap();
    refuses(&remora(dir.path(), &["build", "--check", "--iidfile", "id", "."]), 10, "agent");
    assert!(dir.path().join("id").exists());
    refuses(&remora(dir.path(), &["plan", "--check", "."]), 2, "--check");
}

#[test]
fn links_and_devices_are_not_removed() {
    let dir = context();
    fs::write(dir.path().join("real"), "old").unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
    refuses(&remora(dir.path(), &["build", "--iidfile", "link", "--metadata-file", "/dev/full", "."]), 10, "agent");
    assert!(dir.path().join("link").is_symlink() && Path::new("/dev/full").exists());
    refuses(&remora(dir.path(), &["build", "--iidfile", "no/such/id", "."]), 2, "no/such/id");
}

#[test]
fn a_pipe_as_dockerfile_is_refused_at_once() {
    let dir = context();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    let start = Instant::now();
    refuses(&remora(dir.path(), &["build", "-f", "pipe", "."]), 2, "no file");
    assert!(start.elapsed() < Duration::from_secs(5), "it waited for somebody to write");
}

#[test]
fn a_build_arg_that_cannot_be_read_is_not_left_out() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let dir = context();
    let output = Command::new(env!("CARGO_BIN_EXE_remora"))
        .args(["build", "--build-arg", "ODD", "."])
        .env_clear()
        .env("ODD", OsStr::from_bytes(b"\xff"))
        .current_dir(dir.path())
        .output()
        .unwrap();
    refuses(&output, 2, "ODD");
}

#[test]
fn what_cannot_be_named_is_refused_by_its_flag() {
    let dir = context();
    let digest = format!("r.example/a@sha256:{}", "a".repeat(64));
    for (args, word) in [
        (vec!["build", "-t", "App", "."], "--tag"),
        (vec!["build", "-t", &digest, "."], "--tag"),
        (vec!["build", "--build-arg", "=x", "."], "--build-arg"),
        (vec!["build", "--platform", "a//b", "."], "--platform"),
        (vec!["build", "--push", "."], "-t"),
        (vec!["build", "nowhere"], "nowhere"),
        (vec!["build", "Dockerfile"], "directory"),
        (vec!["build", "-f", "nothing", "."], "nothing"),
        (vec!["push", &digest], "digest"),
        (vec!["prune", "--filter", "label=x"], "until"),
    ] {
        refuses(&remora(dir.path(), &args), 2, word);
    }
}

#[test]
fn what_is_to_be_lent_is_looked_for_before_anybody_is_asked() {
    let dir = context();
    fs::create_dir(dir.path().join("directory")).unwrap();
    for (flag, value, word) in [
        ("--secret", "id=token,src=no/such/file", "no/such/file"),
        ("--secret", "id=token,src=directory", "directory"),
        ("--secret", "id=token,env=NOT_SET", "NOT_SET"),
        ("--secret", "id=NOT_THERE", "NOT_THERE"),
        ("--secret", "src=Dockerfile", "id"),
        ("--ssh", "default", "SSH_AUTH_SOCK"),
        ("--ssh", "default=Dockerfile", "no private SSH key"),
        ("--add-host", "db", "NAME:ADDRESS"),
        ("--ulimit", "files=1", "nofile"),
        ("--shm-size", "much", "64m"),
        ("--output", "type=zip,dest=x", "zip"),
        ("--output", "type=tar,dest=no/such/x.tar", "cannot reach the agent"),
        ("--cache-from", "type=gha", "gha"),
        ("--provenance", "mode=most", "min and max"),
        ("--annotation", "layer:a=b", "manifest-descriptor"),
        ("--call", "tests", "outline"),
        ("--output", "Dockerfile", "is a file"),
        ("--output", "Dockerfile/below", "Dockerfile"),
        ("--output", "type=local", "dest=DIR"),
        ("--progress", "loud", "loud"),
        ("--progress=quiet", "--output=type=oci", "standard output"),
        ("--output=out", "--output=type=tar,dest=x.tar", "one result at a time"),
    ] {
        let code = if word.contains("agent") { 10 } else { 2 };
        refuses(&remora(dir.path(), &["build", flag, value, "."]), code, word);
    }
}

#[test]
fn what_may_be_a_secret_in_the_wrong_place_is_not_shown() {
    let dir = context();
    for (flag, value) in [
        ("--secret", "id=token,value=hunter2"),
        ("--secret", "hunter2"),
        ("--cache-from", "type=s3,secret_access_key=hunter2"),
        ("--cache-from", "type=registry,token=hunter2"),
        ("--cache-to", "type=s3,secret_access_key=hunter2"),
    ] {
        let output = remora(dir.path(), &["build", flag, value, "."]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(flag) && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn completions_are_printed_for_every_shell() {
    let dir = context();
    for shell in ["bash", "zsh", "fish"] {
        let output = remora(dir.path(), &["completion", shell]);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("no-cache-filter"), "{shell}: {told}");
    }
}

#[test]
fn the_version_is_told_without_an_agent_too() {
    let dir = context();
    let output = remora(dir.path(), &["version"]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("client"), "{output:?}");
    refuses(&output, 10, "cannot reach the agent");
}

/// A wrong value for every flag of `build` that has one, and `None` where every value has a meaning.
const WRONG: &[(&str, Option<&str>)] = &[
    ("--add-host", Some("db")),
    ("--agent", Some("http://x")),
    ("--allow", None),
    ("--annotation", Some("layer:key=hunter2")),
    ("--attest", Some("type=hunter2")),
    ("--build-arg", Some("=hunter2")),
    ("--build-context", Some("name=no/such/directory")),
    ("--cache", Some("most")),
    ("--cache-fallback", Some("a,,b")),
    ("--cache-from", Some("type=gha")),
    ("--cache-repo", Some("UPPER")),
    ("--cache-scope", Some("")),
    ("--cache-to", None),
    ("--call", Some("tests")),
    ("--cgroup-parent", None),
    ("--digest-file", Some("no/such/directory/digest")),
    ("--file", Some("no/such/file")),
    ("--iidfile", Some("no/such/directory/id")),
    ("--label", Some("=hunter2")),
    ("--metadata-file", Some("no/such/directory/metadata")),
    ("--network", Some("bridge")),
    ("--no-cache-filter", None),
    ("--output", Some("type=zip")),
    ("--platform", Some("a//b")),
    ("--progress", Some("loud")),
    ("--provenance", Some("max")),
    ("--sbom", Some("perhaps")),
    ("--secret", Some("token=hunter2")),
    ("--shm-size", Some("much")),
    ("--ssh", Some("default=no/such/socket")),
    ("--tag", Some("App")),
    ("--target", None),
    // Read where TLS is spoken alone.
    ("--tls-ca", None),
    ("--tls-cert", None),
    ("--tls-key", None),
    ("--ulimit", Some("files=1")),
    ("--wait", Some("soon")),
];

#[test]
fn every_flag_with_a_wrong_value_is_refused_by_its_name_and_shows_no_secret() {
    let dir = context();
    let help = remora(dir.path(), &["build", "--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let flags = help.lines().filter_map(|line| {
        let (_, flag) = line.split_at_checked(6)?;
        let flag = flag.starts_with("--").then_some(flag)?;
        let (name, value) = flag.split_once([' ', '[']).unwrap_or((flag, ""));
        (!value.trim().is_empty()).then_some(name)
    });
    let mut flags: Vec<&str> = flags.collect();
    flags.sort_unstable();
    assert_eq!(flags, WRONG.iter().map(|(flag, _)| *flag).collect::<Vec<_>>(), "the table has every flag");
    for (flag, value) in WRONG {
        let Some(value) = value else { continue };
        let output = remora(dir.path(), &["build", &format!("{flag}={value}"), "."]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {told}");
        let named = told.contains(flag) || told.contains(" -f,");
        assert!(named && !told.contains("hunter2"), "{flag} {value}: {told}");
    }
}

#[test]
fn a_context_that_is_missing_is_all_that_is_asked_for() {
    for command in ["build", "plan"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_remora")).arg(command).env("REMORA_AGENT", "unix:///a").output().unwrap();
        refuses(&output, 2, &format!("Usage: remora {command} [OPTIONS] CONTEXT, as in: remora {command} -t app ."));
    }
}

#[test]
fn a_variable_that_is_set_and_empty_is_as_one_that_is_not_set() {
    let dir = context();
    let names = ["REMORA_CACHE", "REMORA_CACHE_SCOPE", "REMORA_CACHE_FALLBACK", "REMORA_CACHE_REPO", "REMORA_AGENT"];
    let others = ["REMORA_TOKEN", "BUILDKIT_PROGRESS", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "DOCKER_BUILDKIT"];
    let output = Command::new(env!("CARGO_BIN_EXE_remora"))
        .args(["build", "--wait", "0s", "."])
        .env_clear()
        .envs(names.iter().chain(&others).map(|name| (name, "")))
        .current_dir(dir.path())
        .output()
        .unwrap();
    refuses(&output, 10, "unix:///run/remora/agent.sock");
}

#[test]
fn what_scripts_write_is_taken() {
    let dir = context();
    for line in [
        "build --rm --force-rm=true --compress --squash --isolation default -m 2g --memory-swap -1 --cpu-shares 5 \
         --cpu-quota -1 --cpuset-cpus 0-3 --security-opt seccomp=unconfined --disable-content-trust=false .",
        "build . -t a -t b --tag=c --pull=true --no-cache=false -f Dockerfile",
        "build --builder default -D --provenance=false --sbom=false --cache-to type=inline --load .",
        "build --add-host a:10.0.0.1,b:10.0.0.2 --platform linux/amd64,linux/arm64 .",
    ] {
        let words: Vec<_> = line.split_whitespace().collect();
        refuses(&remora(dir.path(), &words), 10, "cannot reach the agent");
    }
    let told = remora(dir.path(), &["build", "--squash", "-m", "2g", "."]).stderr;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("--squash is left out") && told.contains("--memory is left out"), "{told}");
}

/// What reads JSON would stumble over them, and who wants quiet has asked for warnings alone.
#[test]
fn what_is_no_warning_is_told_neither_as_json_nor_where_it_is_quiet() {
    let dir = context();
    for how in [&["--progress=rawjson"][..], &["--progress=none"], &["-q"]] {
        let words = [&["build", "--squash", "--wait=200ms"], how, &["."]].concat();
        let told = String::from_utf8(remora(dir.path(), &words).stderr).unwrap();
        assert!(told.starts_with("remora: error: cannot reach the agent"), "{how:?}: {told}");
    }
    let told = remora(dir.path(), &["build", "--wait=200ms", "."]).stderr;
    assert!(
        String::from_utf8(told).unwrap().starts_with("remora: waiting up to 200ms (--wait): cannot reach the agent")
    );
}

#[test]
fn whoever_waits_for_one_agent_or_for_a_pool_is_told_once() {
    let dir = context();
    for (agents, who) in [
        ("tcp://127.0.0.1:1", "cannot reach the agent"),
        ("tcp://127.0.0.1:1,tcp://127.0.0.1:2", "no agent of the pool"),
    ] {
        for command in ["ps", "push a"] {
            let words: Vec<_> = command.split(' ').chain(["--wait=200ms", "--agent", agents]).collect();
            let told = String::from_utf8(remora(dir.path(), &words).stderr).unwrap();
            assert!(told.starts_with(&format!("remora: waiting up to 200ms (--wait): {who}")), "{command}: {told}");
            assert_eq!(told.matches("waiting up to").count(), 1, "{command}: {told}");
            assert!(told.contains(&format!("remora: error: {who}")), "{command}: {told}");
        }
    }
}

#[test]
fn a_manual_page_is_written_for_every_command() {
    let dir = context();
    let output = remora(dir.path(), &["man", "."]);
    assert!(output.status.success(), "{output:?}");
    let page = fs::read_to_string(dir.path().join("remora-build.1")).unwrap();
    for words in [".TH REMORA\\-BUILD 1", "no\\-cache\\-filter", ".SH EXAMPLES", "REMORA_CACHE_SCOPE"] {
        assert!(page.contains(words) || page.contains(&words.replace("\\-", "-")), "{words}\n{page}");
    }
    assert!(fs::read_to_string(dir.path().join("remora.1")).unwrap().contains("EXIT CODES"));
    for command in ["plan", "push", "prune", "info", "du", "ps", "cancel", "version", "completion", "man"] {
        let page = fs::read_to_string(dir.path().join(format!("remora-{command}.1"))).unwrap();
        assert!(page.contains(".SH EXAMPLES"), "{command}: {page}");
    }
    refuses(&remora(dir.path(), &["man", "no/such/directory"]), 2, "no/such/directory");
}
