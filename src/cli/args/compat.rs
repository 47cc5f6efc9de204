//! Flags of `docker build` that scripts have, and that need nothing done here.

use clap::Args;

#[derive(Args)]
#[command(next_help_heading = "Accepted for compatibility, without effect")]
pub(in crate::cli) struct Compat {
    /// Accepted and ignored: cache is written by itself (--cache, --cache-scope, --cache-repo)
    #[arg(long, value_name = "DEST")]
    cache_to: Vec<String>,
    #[command(flatten)]
    old: Old,
}

/// Flags of the builder before BuildKit, which `docker buildx build` takes, and does nothing about, as well.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools)] // flags, as Docker named them
struct Old {
    #[arg(long, hide = true)]
    rm: bool,
    #[arg(long, hide = true)]
    force_rm: bool,
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    #[arg(long, hide = true)]
    squash: bool,
    #[arg(long, hide = true)]
    isolation: Option<String>,
    #[arg(long, hide = true)]
    security_opt: Vec<String>,
    #[arg(short, long, hide = true)]
    memory: Option<String>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    memory_swap: Option<String>,
    #[arg(short, long, hide = true)]
    cpu_shares: Option<String>,
    #[arg(long, hide = true)]
    cpu_period: Option<String>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    cpu_quota: Option<String>,
    #[arg(long, hide = true)]
    cpuset_cpus: Option<String>,
    #[arg(long, hide = true)]
    cpuset_mems: Option<String>,
    #[arg(long, hide = true)]
    builder: Option<String>,
    #[arg(short = 'D', long, hide = true)]
    debug: bool,
}

impl Compat {
    /// What a person should know of what is left out, a line each.
    pub(in crate::cli) fn notices(&self) -> Vec<String> {
        let Self { cache_to, old } = self;
        let Old {
            // They change nothing that one could see: steps leave nothing behind, and nobody trusts a tag here.
            rm: _,
            force_rm: _,
            compress: _,
            disable_content_trust: _,
            squash,
            isolation,
            security_opt,
            memory,
            memory_swap,
            cpu_shares,
            cpu_period,
            cpu_quota,
            cpuset_cpus,
            cpuset_mems,
            builder,
            debug,
        } = old;
        let limit = "the engine's BuildKit limits no step so: give the limit to the engine's pod";
        let left_out = [
            (
                "--cache-to",
                !cache_to.is_empty(),
                "a build that knows its branch writes cache when it pushes, and --cache-repo says where else",
            ),
            ("--squash", *squash, "BuildKit squashes nothing: copy what is wanted into a last stage"),
            ("--isolation", isolation.is_some(), "BuildKit knows one kind of it"),
            ("--security-opt", !security_opt.is_empty(), "RUN --security=insecure with --allow security.insecure"),
            ("--memory", memory.is_some(), limit),
            ("--memory-swap", memory_swap.is_some(), limit),
            ("--cpu-shares", cpu_shares.is_some(), limit),
            ("--cpu-period", cpu_period.is_some(), limit),
            ("--cpu-quota", cpu_quota.is_some(), limit),
            ("--cpuset-cpus", cpuset_cpus.is_some(), limit),
            ("--cpuset-mems", cpuset_mems.is_some(), limit),
            ("--builder", builder.is_some(), "the agent is named with --agent or REMORA_AGENT"),
            ("--debug", *debug, "the agent's log has it: REMORA_LOG=debug there"),
        ];
        let given = left_out.into_iter().filter(|(_, given, _)| *given);
        given.map(|(flag, _, why)| format!("{flag} is left out: {why}")).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        compat: Compat,
    }

    fn notices(line: &str) -> Vec<String> {
        Line::try_parse_from(std::iter::once("x").chain(line.split(' '))).unwrap().compat.notices()
    }

    #[test]
    fn what_is_left_out_and_would_be_missed_is_said() {
        assert_eq!(notices("--rm --force-rm --compress --disable-content-trust"), [""; 0]);
        let told = notices("-m 2g --memory-swap -1 -c 5 --security-opt seccomp=x --security-opt y --builder b -D");
        let flags: Vec<_> = told.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(flags, ["--security-opt", "--memory", "--memory-swap", "--cpu-shares", "--builder", "--debug"]);
    }
}
