//! The command line.

mod cache;
mod compat;
mod lent;
mod output;
mod run;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub(super) use cache::Cache;
use compat::Compat;
pub(super) use lent::Lent;
pub(super) use output::Output;
use run::Run;

use crate::model::{Reference, is_platform};

/// Builds and pushes container images through a remora-agent, with every step cached that can be.
#[derive(Parser)]
#[command(name = "remora", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the build itself failed: a step, or the Dockerfile
  2    usage or configuration
  10   the agent cannot be reached
  11   the engine is not available
  12   a registry did not take or give what was asked
  13   refused by the agent's policy
  70   a defect of remora
  130  interrupted (SIGINT), 143 terminated (SIGTERM)";

/// Where the agent is.
#[derive(ClapArgs)]
#[allow(clippy::doc_markdown, rustdoc::bare_urls)] // --help shows them as they are
pub(super) struct Connection {
    /// The agent: unix:///path or tcp://host:port (which wants REMORA_TOKEN)
    #[arg(
        long,
        global = true,
        env = "REMORA_AGENT",
        value_name = "URL",
        default_value = "unix:///run/remora/agent.sock"
    )]
    pub(super) agent: String,
    /// How long to wait for an agent and an engine that are still starting
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(super) wait: Duration,
}

const BUILD_EXAMPLES: &str = "\
Examples:
  remora build --push -t registry.example/app:1 .
  remora build -f docker/Dockerfile --target test --build-arg VERSION .
  remora build --secret id=npmrc,src=$HOME/.npmrc --ssh default -t app .";

const PLAN_EXAMPLES: &str = "\
Examples:
  remora plan --push -t registry.example/app:1 .
  remora plan --json --cache-scope feature/x -t registry.example/app:1 .";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Build an image from a Dockerfile, with every step cached that can be
    #[command(after_help = BUILD_EXAMPLES)]
    Build(Box<Build>),
    /// Say what such a build would do about cache, and why; nothing is run or written
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(Box<Plan>),
    /// Push images that the engine holds
    Push(Push),
    /// Free disk space of the engine: build cache and dangling images
    Prune(Prune),
    /// Show what the agent and its engine are, and what they do; this waits for the agent alone
    Info(Info),
    /// Say what client, agent and engine are
    Version,
    /// Print completions for a shell: bash, elvish, fish, powershell or zsh
    Completion(Completion),
}

#[derive(ClapArgs)]
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names)] // flags, as Docker names them
pub(super) struct Build {
    /// Directory of the build context; - is a Dockerfile on standard input that needs none
    #[arg(value_name = "CONTEXT")]
    pub(super) context: PathBuf,
    /// The Dockerfile; - is standard input [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Name of the image; repeatable
    #[arg(short, long = "tag", value_name = "NAME[:TAG]", value_parser = tag)]
    pub(super) tags: Vec<Reference>,
    /// Build this stage instead of the last
    #[arg(long, value_name = "STAGE")]
    pub(super) target: Option<String>,
    /// Set a build arg; without a value it is taken from the environment; repeatable
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]", value_parser = build_arg)]
    pub(super) build_args: Vec<(String, Option<String>)>,
    /// Give the image a label; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(super) labels: Vec<(String, String)>,
    /// Run every step anew
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Run the steps of this stage anew; repeatable
    #[arg(long = "no-cache-filter", value_name = "STAGE", value_delimiter = ',')]
    pub(super) no_cache_stages: Vec<String>,
    /// Ask the registry for newer base images
    #[arg(long)]
    pub(super) pull: bool,
    /// Build for this platform, such as linux/arm64; repeatable
    #[arg(long = "platform", value_name = "OS/ARCH", value_delimiter = ',', value_parser = platform)]
    pub(super) platforms: Vec<String>,
    /// The network that RUN steps see
    #[arg(long, value_enum, default_value_t = Network::Default)]
    pub(super) network: Network,
    /// Push the image to its registries
    #[arg(long)]
    pub(super) push: bool,
    /// Keep the image in the engine (the default without --push)
    #[arg(long)]
    pub(super) load: bool,
    /// Where the result goes: type=registry, image, docker, oci, tar or cacheonly; - is an archive on standard output
    #[arg(short, long, value_name = "type=TYPE[,dest=FILE]", value_parser = output::output)]
    pub(super) output: Option<Output>,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    pub(super) iidfile: Option<PathBuf>,
    /// Write what was built to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) metadata_file: Option<PathBuf>,
    /// Print the image's id, and nothing else
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// How progress is told
    #[arg(long, value_name = "TYPE", env = "BUILDKIT_PROGRESS", value_enum, default_value_t = Told::Auto)]
    pub(super) progress: Told,
    /// Ask for an entitlement, network.host or security.insecure, which the agent must allow; repeatable
    #[arg(long = "allow", value_name = "ENTITLEMENT", value_delimiter = ',')]
    pub(super) entitlements: Vec<String>,
    #[command(flatten)]
    pub(super) run: Run,
    #[command(flatten)]
    pub(super) lent: Lent,
    #[command(flatten)]
    pub(super) cache: Cache,
    #[command(flatten)]
    pub(super) compat: Compat,
}

impl Build {
    /// Whether the image's id is all that goes to standard output.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet || self.progress == Told::Quiet
    }
}

#[derive(ClapArgs)]
pub(super) struct Plan {
    #[command(flatten)]
    pub(super) build: Build,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Ways to tell progress.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Told {
    /// A line when a step starts, its output, a line when it ends
    #[value(alias = "")]
    Auto,
    /// The same
    Plain,
    /// The same, so far
    Tty,
    /// As -q
    Quiet,
    /// Warnings alone
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Network {
    /// The engine's own
    Default,
    /// None but loopback
    None,
    /// The engine's host; the agent must allow the entitlement network.host
    Host,
}

#[derive(ClapArgs)]
pub(super) struct Push {
    /// What to push
    #[arg(value_name = "NAME[:TAG]", required = true, value_parser = tag)]
    pub(super) tags: Vec<Reference>,
    /// Print the digest, and nothing else
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(ClapArgs)]
pub(super) struct Prune {
    /// All build cache that is not in use, and all images that no container uses
    #[arg(short, long)]
    pub(super) all: bool,
    /// Only build cache that was not used, and images that were not made, for this long: until=24h or unused-for=24h
    #[arg(long, value_name = "FILTER", value_parser = age_filter, action = ArgAction::Append)]
    pub(super) filter: Vec<Duration>,
    /// Keep this much build cache, such as 10GB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) keep_bytes: Option<u64>,
    /// Say what would be freed, and free nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(ClapArgs)]
pub(super) struct Completion {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}

#[derive(ClapArgs)]
pub(super) struct Info {
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The fields of `KEY=VALUE,KEY=VALUE`. Messages have no value: it may be a secret in the wrong place.
fn fields(text: &str) -> impl Iterator<Item = Result<(&str, &str), String>> {
    text.split(',').map(|field| field.split_once('=').ok_or_else(|| "a field of it is no KEY=VALUE".to_owned()))
}

fn reference(text: &str) -> Result<Reference, String> {
    // clap says which argument and which value.
    text.parse().map_err(|e: crate::model::InvalidReference| e.problem.to_owned())
}

/// A name for something, not the name of something that is there.
fn tag(text: &str) -> Result<Reference, String> {
    let reference = reference(text)?;
    if reference.digest().is_some() {
        return Err("a tag is wanted, and not a digest".to_owned());
    }
    Ok(reference)
}

fn build_arg(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.trim().is_empty() {
        return Err("a build arg needs a name, as in NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value))
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.trim().is_empty() {
        return Err("a label needs a name, as in NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn platform(text: &str) -> Result<String, String> {
    if is_platform(text) {
        return Ok(text.to_owned());
    }
    Err("a platform is OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64".to_owned())
}

/// Longer times are mistakes, and overflow clocks.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text)
        .ok()
        .filter(|time| *time <= LONGEST)
        .ok_or_else(|| "a time is a number with a unit, such as 500ms, 60s, 5m or 24h, up to ten years".to_owned())
}

fn age_filter(text: &str) -> Result<Duration, String> {
    match text.split_once('=') {
        Some(("until" | "unused-for", age)) => duration(age),
        _ => Err("the filters are until=TIME and unused-for=TIME, such as until=24h".to_owned()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let size = text.parse::<bytesize::ByteSize>();
    size.map(|size| size.as_u64()).map_err(|_| "a size is a number with a unit, such as 500MB or 10GB".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn bad_values_are_refused_with_a_hint() {
        for line in [
            "build --build-arg =x .",
            "build --label =x .",
            "build -t App .",
            "build --platform a/b/c/d .",
            "plan --cache max .",
            "build --json .",
            "build --cache max .",
            "build --cache-scope= .",
            "build --cache-fallback a,,b .",
            "build --cache-repo cache .",
            "build --cache-repo r.example/Cache .",
            "--wait soon build .",
            "--wait 500000000000y build .",
            "push r/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "prune --filter since=2h",
            "prune --keep-bytes much",
        ] {
            let args = std::iter::once("remora").chain(line.split(' '));
            let error = Args::try_parse_from(args).err().unwrap();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn values_are_read_as_docker_reads_them() {
        assert_eq!(build_arg("A=b=c").unwrap(), ("A".to_owned(), Some("b=c".to_owned())));
        assert_eq!(build_arg("A").unwrap(), ("A".to_owned(), None));
        assert_eq!(age_filter("until=1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(size("10GB").unwrap(), 10_000_000_000);
    }
}
