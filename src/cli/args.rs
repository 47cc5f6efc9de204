//! The command line.

mod build;
mod cache;
mod call;
mod compat;
mod described;
mod given;
mod lent;
mod output;
mod run;
mod tls;
mod values;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand};

pub(super) use build::{Build, Network, Told};
pub(super) use cache::Cache;
pub(super) use call::{Asked, Call};
use compat::Compat;
use described::Described;
pub(super) use given::parse;
pub(super) use lent::Lent;
pub(super) use output::{Goal, Output};
use run::Run;
pub(super) use tls::Tls;
pub(super) use values::HeldFilter;

use crate::model::Reference;

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
  10   the agent cannot be reached, or is full
  11   the engine is not available
  12   a registry did not take or give what was asked
  13   refused by the agent's policy or the cluster's, or for want of a token
  70   a defect of remora
  130  interrupted (SIGINT), or ended with remora cancel
  143  terminated (SIGTERM)";

/// Where the agent is.
#[derive(ClapArgs)]
#[command(next_help_heading = "Agent")]
#[allow(clippy::doc_markdown, rustdoc::bare_urls)] // --help shows them as they are
pub(super) struct Connection {
    /// The agent: unix:///path, tcp://host:port, or dns:///host:port for all that are behind a name; several with commas,
    /// of which each project has one for its home, and unix:/// takes what the others do not. It is shown the token of REMORA_TOKEN, else of the file that
    /// REMORA_TOKEN_FILE names, else of /var/run/secrets/remora/token
    #[arg(
        long,
        global = true,
        env = "REMORA_AGENT",
        value_name = "URL",
        default_value = "unix:///run/remora/agent.sock"
    )]
    pub(super) agent: String,
    /// How long to wait for an agent and an engine that are still starting, and for an agent that is full
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = values::duration)]
    pub(super) wait: Duration,
    #[command(flatten)]
    pub(super) tls: Tls,
}

const PLAN_EXAMPLES: &str = "\
Examples:
  remora plan --push -t registry.example/app:1 .
  remora plan --json --cache-scope feature/x -t registry.example/app:1 .";

const PUSH_EXAMPLES: &str = "\
Examples:
  remora push registry.example/app:1 registry.example/app:latest";

const PRUNE_EXAMPLES: &str = "\
Examples:
  remora prune --filter unused-for=72h --keep-bytes 20GB --dry-run
  remora prune --all";

const INFO_EXAMPLES: &str = "\
Examples:
  remora info
  remora info --json --wait 5s";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  remora doctor
  remora doctor registry.example/app registry.example/base:1
Exit codes:
  0    nothing is wrong, though there may be warnings
  1    something is";

const VERSION_EXAMPLES: &str = "\
Examples:
  remora version";

const DU_EXAMPLES: &str = "\
Examples:
  remora du
  remora du --filter type=exec.cachemount --verbose
  remora du --filter unused-for=72h      what remora prune with the same filter looks at";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(remora completion bash)
  remora completion zsh > ~/.zfunc/_remora";

const MAN_EXAMPLES: &str = "\
Examples:
  remora man /usr/local/share/man/man1";

const PS_EXAMPLES: &str = "\
Examples:
  remora ps
  remora cancel $(remora ps -q)      ends all of them";

const CANCEL_EXAMPLES: &str = "\
Examples:
  remora cancel 3f2a
  remora cancel $(remora ps -q)";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Build an image from a Dockerfile, with every step cached that can be
    #[command(override_usage = "remora build [OPTIONS] CONTEXT, as in: remora build -t app .", after_help = build::EXAMPLES, args_override_self = true)]
    Build(Box<Build>),
    /// Say which cache such a build would read and write, and how it would push; nothing is run or written
    #[command(override_usage = "remora plan [OPTIONS] CONTEXT, as in: remora plan -t app .", after_help = PLAN_EXAMPLES, args_override_self = true)]
    Plan(Box<Plan>),
    /// Push images that the engine holds
    #[command(after_help = PUSH_EXAMPLES)]
    Push(Push),
    /// Free disk space of the engine: build cache and dangling images
    #[command(after_help = PRUNE_EXAMPLES)]
    Prune(Prune),
    /// Show what the engine can do, the disk space that it uses, and what runs; an engine that is still starting is not
    /// waited for
    #[command(after_help = INFO_EXAMPLES)]
    Info(Info),
    /// Look for what makes builds fail, hang or run cold, and say what to do about it; an engine that is still starting is
    /// not waited for
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(Doctor),
    /// Show what the engine holds on its disk, by kind and by age
    #[command(after_help = DU_EXAMPLES)]
    Du(Du),
    /// List the builds that run through the agent, and those that wait for a place
    #[command(after_help = PS_EXAMPLES)]
    Ps(Ps),
    /// End builds that run or wait: their clients say who ended them, and exit with 130
    #[command(after_help = CANCEL_EXAMPLES)]
    Cancel(Cancel),
    /// Print the versions of client, agent and engine
    #[command(after_help = VERSION_EXAMPLES)]
    Version,
    /// Print completions for a shell: bash, elvish, fish, powershell or zsh
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completion(Completion),
    /// Write the manual pages into a directory
    #[command(after_help = MAN_EXAMPLES)]
    Man(Man),
}

#[derive(ClapArgs)]
pub(super) struct Plan {
    #[command(flatten)]
    pub(super) build: Build,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(ClapArgs)]
pub(super) struct Push {
    /// What to push
    #[arg(value_name = "NAME[:TAG]", required = true, value_parser = values::tag)]
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
    #[arg(long, value_name = "FILTER", value_parser = values::age_filter, action = ArgAction::Append)]
    pub(super) filter: Vec<Duration>,
    /// Keep this much build cache, such as 10GB
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(super) keep_bytes: Option<u64>,
    /// Say what would be freed, and free nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Accepted as with Docker: nothing is asked here
    #[arg(short, long, hide = true)]
    pub(super) force: bool,
}

#[derive(ClapArgs)]
pub(super) struct Completion {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}

#[derive(ClapArgs)]
pub(super) struct Doctor {
    /// Images whose registries are asked, with this machine's credentials
    #[arg(value_name = "REPOSITORY", value_parser = values::reference)]
    pub(super) repositories: Vec<Reference>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(ClapArgs)]
pub(super) struct Du {
    /// Only some of it: unused-for=TIME, or type=TYPE: image, regular (results of steps), source.local (contexts that were
    /// sent), source.git.checkout, exec.cachemount (RUN --mount=type=cache), frontend or internal; repeatable
    #[arg(long, value_name = "FILTER", value_parser = values::held_filter)]
    pub(super) filter: Vec<HeldFilter>,
    /// List the 1000 largest records too
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(ClapArgs)]
pub(super) struct Ps {
    /// Print the ids, and nothing else
    #[arg(short, long, conflicts_with = "json")]
    pub(super) quiet: bool,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(ClapArgs)]
pub(super) struct Cancel {
    /// Id of a running build, or the beginning of one that no other has
    #[arg(value_name = "BUILD", required = true)]
    pub(super) builds: Vec<String>,
}

#[derive(ClapArgs)]
pub(super) struct Man {
    /// Where the pages go
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
}

#[derive(ClapArgs)]
pub(super) struct Info {
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
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
}
