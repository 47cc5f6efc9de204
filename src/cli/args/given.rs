//! The command line as people and scripts give it.

use std::ffi::{OsStr, OsString};

use clap::{
    ArgAction, Command, CommandFactory as _, Error, FromArgMatches as _,
    builder::Resettable,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Args;

/// Reads this process' command line, or says what is wrong with it and exits with 2.
pub(in crate::cli) fn parse() -> Args {
    read(std::env::args_os().collect(), |name| std::env::var_os(name)).unwrap_or_else(|error| error.exit())
}

/// Reads a command line, whose first word is the program's name.
pub(in crate::cli) fn read(words: Vec<OsString>, variable: impl Fn(&OsStr) -> Option<OsString>) -> Result<Args, Error> {
    let mut command = without_empty_variables(Args::command(), &variable);
    let words = without_true_and_false(&command, words);
    let matches = command.try_get_matches_from_mut(words).map_err(advised).map_err(masked)?;
    Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// A variable that is set and empty is as one that is not set: in CI files that is how one is taken back.
fn without_empty_variables(command: Command, variable: &impl Fn(&OsStr) -> Option<OsString>) -> Command {
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if variable(name).is_some_and(|value| value.is_empty()) => arg.env(Resettable::Reset),
        _ => arg,
    });
    command.mut_subcommands(|command| without_empty_variables(command, variable))
}

/// Switches have values in Docker's command line: `--pull=true` is `--pull`, and `--pull=false` takes an earlier one
/// back.
fn without_true_and_false(command: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let subcommand = words.iter().skip(1).find_map(|word| command.find_subcommand(word));
    let switches: Vec<&str> = subcommand
        .unwrap_or(command)
        .get_arguments()
        .filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue))
        .filter_map(|arg| arg.get_long())
        .collect();
    let mut kept: Vec<OsString> = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    for word in words.by_ref() {
        let switch = word.to_str().and_then(|word| word.strip_prefix("--")?.split_once('='));
        match switch.filter(|(name, _)| switches.contains(name)).map(|(name, value)| (name, truth(value))) {
            Some((name, Some(true))) => kept.push(format!("--{name}").into()),
            Some((name, Some(false))) => kept.retain(|word| word.to_str() != Some(&format!("--{name}"))),
            // Whoever reads it next says what is wrong with it.
            _ if word == "--" => {
                kept.push(word);
                break;
            }
            _ => kept.push(word),
        }
    }
    kept.extend(words);
    kept
}

/// As Go reads it.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Flags of other builders that are not here, and what to write instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("--print", "it became --call"),
    ("--policy", "policies are not here; the agent says what it allows (--allow-entitlement)"),
    ("--resource", "limits of steps are not here: give them to the engine's pod"),
    ("--destination", "name the image with -t, and --push it"),
    ("--dockerfile", "name the Dockerfile with -f"),
    ("--context", "name the context last, without a flag"),
    ("--layers", "steps are always cached: --no-cache switches that off"),
    ("--config", "name the directory of Docker's configuration in DOCKER_CONFIG"),
    ("--context-sub-path", "name the directory itself as the context"),
    ("--cache-dir", "the cache lies in the registry: --cache-repo says where"),
    ("--cache-ttl", "let the registry's own retention remove tags that begin with `cache`; --no-cache runs every step"),
    ("--no-push", "leave it out: without --push nothing is pushed"),
    ("--tar-path", "write the image with -o type=docker,dest=FILE"),
    ("--tarPath", "write the image with -o type=docker,dest=FILE"),
    ("--oci-layout-path", "write the image with -o type=oci,dest=FILE"),
    ("--image-name-with-digest-file", "write the digest with --digest-file, and all names with --metadata-file"),
    ("--compression", "say how with -o type=registry,compression=zstd"),
    ("--reproducible", "-o type=registry,rewrite-timestamp=true, and the build arg SOURCE_DATE_EPOCH"),
    ("--custom-platform", "name the platform with --platform"),
    ("--verbosity", "--progress says how much is shown"),
    ("--git", "name the repository as the context: https://host/group/repo.git#main"),
    ("--authfile", "name the directory of Docker's configuration in DOCKER_CONFIG"),
    ("--insecure", INSECURE),
    ("--insecure-pull", INSECURE),
    ("--skip-tls-verify", INSECURE),
    ("--tls-verify", INSECURE),
    ("--registry-mirror", "mirrors are a setting of the engine: remora-agent prepare-engine --registry-mirror"),
    ("--registry-certificate", "certificates are a setting of the engine and of the agent"),
    ("--cache-copy-layers", NEEDLESS),
    ("--cache-run-layers", NEEDLESS),
    ("--cleanup", NEEDLESS),
    ("--compressed-caching", NEEDLESS),
    ("--force", NEEDLESS),
    ("--ignore-var-run", NEEDLESS),
    ("--image-download-retry", NEEDLESS),
    ("--image-fs-extract-retry", NEEDLESS),
    ("--no-push-cache", NEEDLESS),
    ("--push-retry", NEEDLESS),
    ("--single-snapshot", NEEDLESS),
    ("--skip-unused-stages", NEEDLESS),
    ("--snapshot-mode", NEEDLESS),
    ("--snapshotMode", NEEDLESS),
    ("--use-new-run", NEEDLESS),
];

const INSECURE: &str = "a registry on plain HTTP is a setting of the engine, and of the agent: --insecure-registry";

/// Of what Kaniko must be told, and `BuildKit` not.
const NEEDLESS: &str = "leave it out: nothing needs to stand in its place";

/// Commands of Docker's that are not here, and what to do instead.
const COMMANDS: &[(&str, &str)] = &[
    ("login", "credentials are those of `docker login` where the client runs, or DOCKER_AUTH_CONFIG"),
    ("images", "remora du says what the engine holds, and --verbose names it"),
    ("image", "remora du says what the engine holds, and --verbose names it"),
    ("rmi", "remora prune frees what nothing uses"),
    ("rm", "remora prune frees what nothing uses"),
    ("logout", "credentials are those of `docker login` where the client runs, or DOCKER_AUTH_CONFIG"),
    ("system", "remora du says what the engine holds, and remora prune frees it"),
    ("builder", "remora du, remora prune"),
    ("tag", "give every name to the build: remora build -t A -t B"),
    ("pull", "base images are fetched by the build; --pull asks for newer ones"),
    ("run", "containers are run by the engine's own client"),
    ("buildx", "leave the word out: remora build"),
    ("bake", "remora build builds one target: call it for each"),
];

/// A flag or a command that another builder has is told what it is here.
fn advised(mut error: Error) -> Error {
    if let Some(ContextValue::String(command)) = error.get(ContextKind::InvalidSubcommand)
        && let Some((_, advice)) = COMMANDS.iter().find(|(known, _)| known == command)
    {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![(*advice).into()]));
        return error;
    }
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) if error.kind() == ErrorKind::UnknownArgument => flag,
        _ => return error,
    };
    if let Some((_, advice)) = ELSEWHERE.iter().find(|(known, _)| known == flag) {
        // In the place of a flag that has a similar name.
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![(*advice).into()]));
    }
    error
}

/// What stands behind the first `=` of a value may be a secret in the wrong place: it is not shown.
fn masked(mut error: Error) -> Error {
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg] {
        let Some(ContextValue::String(text)) = error.get(kind) else { continue };
        // The usage of a flag has it too, as in `--build-arg <NAME[=VALUE]>`: it is ours.
        let is_usage = kind == ContextKind::InvalidArg && text.starts_with('-') && text.contains(" <");
        if let Some((name, _)) = text.split_once('=').filter(|_| !is_usage) {
            let shown = format!("{name}=...");
            error.insert(kind, ContextValue::String(shown));
        }
    }
    error
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::args::{Build, Command as Asked};

    fn read_line(line: &str, variables: &[(&str, &str)]) -> Result<Args, Error> {
        let words = std::iter::once("remora").chain(line.split(' ')).map(OsString::from).collect();
        read(words, |name| variables.iter().find(|(known, _)| name == *known).map(|(_, value)| OsString::from(value)))
    }

    fn build(line: &str) -> Build {
        match read_line(&format!("build {line}"), &[]).unwrap().command {
            Asked::Build(build) => *build,
            _ => unreachable!(),
        }
    }

    #[test]
    fn switches_have_values_as_docker_has_it() {
        assert!(build("--pull=true --no-cache=1 .").pull);
        assert!(!build("--pull=false .").pull);
        assert!(!build("--pull --pull=false .").pull && build("--pull=false --pull .").pull);
        assert!(build("--pull --pull .").pull);
        // As Kaniko has it.
        for (kaniko, ours) in [("true", "auto"), ("false", "off")] {
            let request = |mode| build(&format!("--cache={mode} .")).cache.request([].into()).unwrap().1;
            assert_eq!(request(kaniko), request(ours));
        }
        assert!(read_line("build --pull=maybe .", &[]).is_err());
        assert_eq!(build("-- --pull=true").context.to_str(), Some("--pull=true"));
    }

    #[test]
    fn flags_come_in_any_order_and_the_last_one_counts() {
        let build = build(". --target=one -t a -t b --tag=c --target two -f x -f=y");
        assert_eq!((build.tags.len(), build.target.as_deref()), (3, Some("two")));
        assert_eq!(build.file.unwrap().to_str(), Some("y"));
    }

    #[test]
    fn no_secret_is_shown_with_what_is_wrong() {
        for line in [
            "build --build-arg =hunter2 .",
            "build --label =hunter2 .",
            "build --build-arg =<hunter2 .",
            "build . TOKEN=a<hunter2",
            "build --build-arg A=1 TOKEN=hunter2 .",
            "build --build-args=TOKEN=hunter2 .",
            "build --no-such=hunter2 .",
            "build --annotation =hunter2 .",
        ] {
            let shown = read_line(line, &[]).err().unwrap().to_string();
            assert!(!shown.contains("hunter2"), "{line}: {shown}");
        }
    }

    #[test]
    fn a_command_of_dockers_is_told_what_it_is_here() {
        for (line, advice) in [("login r.example", "DOCKER_AUTH_CONFIG"), ("run x", "engine's own client")] {
            let shown = read_line(line, &[]).err().unwrap().to_string();
            assert!(shown.contains(advice) && !shown.contains("prune"), "{shown}");
        }
        assert!(read_line("prune -f", &[]).is_ok());
    }

    #[test]
    fn a_misspelt_flag_is_told_what_may_be_meant() {
        for (line, meant) in [
            ("build --build-args A=1 .", "exists: '--build-arg'"),
            ("build --platforms x .", "exists: '--platform'"),
            ("build --destination r.example/a:1 .", "-t, and --push"),
            ("build --print=outline .", "--call"),
            ("build --cache-ttl 168h .", "retention"),
            ("build --skip-unused-stages .", "leave it out"),
        ] {
            let shown = read_line(line, &[]).err().unwrap().to_string();
            assert!(shown.contains(meant), "{shown}");
        }
    }
}
