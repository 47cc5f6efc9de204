//! The command line.
#![allow(clippy::doc_markdown, rustdoc::bare_urls)] // --help shows the comments as they are

mod prepare;

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand};

pub(super) use prepare::Prepare;

use crate::config::AccessFlags;

/// Builds, pushes and prunes beside a Docker engine or a buildkitd, for `remora`, its client.
///
/// Without a subcommand it serves. Without --engine it asks REMORA_ENGINE, then DOCKER_HOST (with DOCKER_TLS_VERIFY and
/// DOCKER_CERT_PATH for mutual TLS), then unix:///var/run/docker.sock. It need not be there yet: the agent waits for it,
/// and finds it again when it restarts. SIGTERM lets running builds finish; a second one does not.
///
/// Each flag has a variable: REMORA_LISTEN for --listen, with commas where the flag is repeatable. A flag wins over it, and
/// it over the file of --config. REMORA_TOKEN is a secret that callers must show; REMORA_LOG=debug says more, and
/// REMORA_LOG_FORMAT=json for programs.
#[derive(Parser)]
#[command(name = "remora-agent", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) serve: Serve,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(ClapArgs)]
pub(super) struct Serve {
    /// The engine: unix:///path or tcp://host:port
    #[arg(long, value_name = "URL")]
    pub(super) engine: Option<String>,
    /// Where to listen: unix:///path (mode 0660), or tcp://address:port, which needs authentication, and beyond loopback
    /// TLS; repeatable [default: unix:///run/remora/agent.sock]
    #[arg(long, value_name = "URL")]
    pub(super) listen: Vec<String>,
    /// Let builds ask for this entitlement: network.host or security.insecure
    #[arg(long, value_name = "NAME")]
    pub(super) allow_entitlement: Vec<String>,
    /// This registry speaks plain HTTP; repeatable. Loopback does by itself
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(super) insecure_registry: Vec<String>,
    /// How much longer a build may take for registries that do not say which cache refs exist [default: 2s]
    #[arg(long, value_name = "TIME")]
    pub(super) cache_deadline: Option<String>,
    /// What the agent is called among those of a pool [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// How many builds run at once; the others wait [default: 0, without limit]
    #[arg(long, value_name = "N")]
    pub(super) max_builds: Option<String>,
    /// How many builds wait; more are turned away [default: 32]
    #[arg(long, value_name = "N")]
    pub(super) max_queue: Option<String>,
    /// A TOML file whose keys are named as the flags, with _ for -; flags win over it
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: AccessFlags,
}

const HEALTHCHECK_EXAMPLES: &str = "\
Examples:
  HEALTHCHECK CMD [\"remora-agent\", \"healthcheck\"]          in a Dockerfile
  exec: {command: [remora-agent, healthcheck, --live]}     a startup or liveness probe of Kubernetes
  remora-agent healthcheck --wait 60s                      in a script, until the engine is there";

const INSTALL_EXAMPLES: &str = "\
Examples:
  remora-agent install /run/remora/bin      steps then run /run/remora/bin/remora";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(remora-agent completion bash)";

const MAN_EXAMPLES: &str = "\
Examples:
  remora-agent man /usr/local/share/man/man1";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Ask the agent beside it whether it takes builds; exit code 0 if so, else 1
    #[command(after_help = HEALTHCHECK_EXAMPLES)]
    Healthcheck(Healthcheck),
    /// Copy the client, which lies beside this program, into a directory that steps see
    #[command(after_help = INSTALL_EXAMPLES)]
    Install(Install),
    /// Write the configuration of a Docker engine that starts in the same pod
    ///
    /// It has the MTU of the pod's own network, a socket and nothing else to listen on, overlay for its layers, and a limit
    /// for its build cache by the size of the volume. Where the engine's data would be on a container's own layers or on
    /// a network filesystem there is no file, so that the engine does not start.
    #[command(after_help = prepare::EXAMPLES)]
    PrepareEngine(Box<Prepare>),
    /// Print completions for a shell: bash, elvish, fish, powershell or zsh
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completion(Completion),
    /// Write the manual pages into a directory
    #[command(after_help = MAN_EXAMPLES)]
    Man(Man),
}

#[derive(ClapArgs)]
pub(super) struct Healthcheck {
    /// The agent: unix:///path or tcp://127.0.0.1:port [default: REMORA_LISTEN, else unix:///run/remora/agent.sock]
    #[arg(long, value_name = "URL")]
    pub(super) agent: Option<String>,
    /// How long to ask again while it does not take builds
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub(super) wait: Duration,
    /// Be content with an agent that answers, whether its engine is there or not
    #[arg(long)]
    pub(super) live: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write a time such as 30s or 2m"))
}

#[derive(ClapArgs)]
pub(super) struct Install {
    /// Where the client goes; it is made if it is missing
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
}

#[derive(ClapArgs)]
pub(super) struct Completion {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}

#[derive(ClapArgs)]
pub(super) struct Man {
    /// Where the pages go
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
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
    fn a_subcommand_takes_no_flags_of_the_server() {
        let error = Args::try_parse_from(["remora-agent", "--listen", "unix:///s", "man", "/"]).err().unwrap();
        assert_eq!(error.exit_code(), 2);
    }
}
