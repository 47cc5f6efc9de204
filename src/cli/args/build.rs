//! The flags of `remora build`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Cache, Call, Compat, Described, Lent, Output, Run, output, values};
use crate::{cli::progress::Choice, model::Reference};

pub(super) const EXAMPLES: &str = "\
Examples:
  remora build --push -t registry.example/app:1 .
  remora build --push -t registry.example/app:1 --platform linux/amd64,linux/arm64 .
  remora build -f docker/Dockerfile --target test --build-arg VERSION .
  remora build --secret id=npmrc,src=$HOME/.npmrc --ssh default -t app .
  remora build -t app https://git.example/group/app.git#main
  tar -cz . | remora build -t app -
  remora build -o out .      writes the files of the last stage into the directory out
  remora build --check .     looks for mistakes in the Dockerfile, and builds nothing";

#[derive(Args)]
#[command(next_help_heading = "Build")]
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names)] // flags, as Docker names them
#[allow(clippy::doc_markdown, rustdoc::bare_urls)] // --help shows them as they are
pub(in crate::cli) struct Build {
    /// The build context: a directory such as ., the URL of a git repository or an archive, or - for an archive or a
    /// Dockerfile on standard input
    #[arg(help_heading = None, value_name = "CONTEXT")]
    pub(in crate::cli) context: PathBuf,
    /// The Dockerfile; - is standard input [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Name of the image; repeatable
    #[arg(short, long = "tag", value_name = "NAME[:TAG]", value_parser = values::tag, help_heading = "Image")]
    pub(in crate::cli) tags: Vec<Reference>,
    /// Build this stage instead of the last
    #[arg(long, value_name = "STAGE")]
    pub(in crate::cli) target: Option<String>,
    /// Something else that FROM and COPY --from may name: a directory, docker-image://alpine:3, the URL of a git repository
    /// or an archive, or oci-layout://DIR; repeatable
    #[arg(long = "build-context", value_name = "NAME=VALUE", value_parser = values::build_context)]
    pub(in crate::cli) contexts: Vec<(String, String)>,
    /// Set a build arg; without a value it is taken from the environment; repeatable
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]", value_parser = values::build_arg)]
    pub(in crate::cli) build_args: Vec<(String, Option<String>)>,
    /// Give the image a label; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = values::label, help_heading = "Image")]
    pub(in crate::cli) labels: Vec<(String, String)>,
    /// Run every step anew
    #[arg(long, help_heading = "Cache")]
    pub(in crate::cli) no_cache: bool,
    /// Run the steps of this stage anew; repeatable
    #[arg(long = "no-cache-filter", value_name = "STAGE", value_delimiter = ',', help_heading = "Cache")]
    pub(in crate::cli) no_cache_stages: Vec<String>,
    /// Ask the registry for newer base images
    #[arg(long)]
    pub(in crate::cli) pull: bool,
    /// Build for this platform, such as linux/arm64; repeatable
    #[arg(long = "platform", value_name = "OS/ARCH", value_delimiter = ',', value_parser = values::platform)]
    pub(in crate::cli) platforms: Vec<String>,
    /// The network that RUN steps see
    #[arg(long, value_enum, default_value_t = Network::Default, help_heading = "Steps")]
    pub(in crate::cli) network: Network,
    /// Push the image to its registries
    #[arg(long, help_heading = "Output")]
    pub(in crate::cli) push: bool,
    /// Keep the image in the engine (the default without --push; a standalone buildkitd keeps none)
    #[arg(long, help_heading = "Output")]
    pub(in crate::cli) load: bool,
    /// Where the result goes: a directory (the files of the last stage), - (a tar of them on standard output), or
    /// type=registry, image, docker, oci, tar, local or cacheonly
    #[arg(short, long, value_name = "DIR|type=TYPE[,dest=PLACE]", value_parser = output::output, help_heading = "Output")]
    pub(in crate::cli) output: Vec<Output>,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(in crate::cli) iidfile: Option<PathBuf>,
    /// Write the digest of the image's manifest to this file; /dev/stdout prints it
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(in crate::cli) digest_file: Option<PathBuf>,
    /// Write what was built, and what was done about cache, to this file, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(in crate::cli) metadata_file: Option<PathBuf>,
    /// Print the image's id, and nothing else
    #[arg(short, long, help_heading = "Progress")]
    pub(in crate::cli) quiet: bool,
    /// How progress is shown
    #[arg(long, value_name = "TYPE", env = "BUILDKIT_PROGRESS", value_enum, default_value_t = Told::Auto, help_heading = "Progress")]
    pub(in crate::cli) progress: Told,
    /// Ask for an entitlement, which the agent must allow: network.host, needed for RUN --network=host, or
    /// security.insecure, needed for RUN --security=insecure; repeatable
    #[arg(long = "allow", value_name = "ENTITLEMENT", value_delimiter = ',', help_heading = "Steps")]
    pub(in crate::cli) entitlements: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) call: Call,
    #[command(flatten)]
    pub(in crate::cli) described: Described,
    #[command(flatten)]
    pub(in crate::cli) run: Run,
    #[command(flatten)]
    pub(in crate::cli) lent: Lent,
    #[command(flatten)]
    pub(in crate::cli) cache: Cache,
    #[command(flatten)]
    pub(in crate::cli) compat: Compat,
}

impl Build {
    /// How progress is shown.
    pub(in crate::cli) fn display(&self) -> Choice {
        Choice::of_process(if self.quiet { Told::Quiet } else { self.progress })
    }

    /// Whether the image's id is all that goes to standard output.
    pub(in crate::cli) fn is_quiet(&self) -> bool {
        self.quiet || self.progress == Told::Quiet
    }
}

/// Ways to tell progress.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Told {
    /// tty on a terminal, ci in a CI, else plain
    #[value(alias = "")]
    Auto,
    /// Lines as they come: one when a step starts, its output, one when it ends
    Plain,
    /// What runs now, redrawn in place: for terminals
    Tty,
    /// One step after the other, folded where the CI can fold
    Ci,
    /// BuildKit's own status, a JSON text a line
    Rawjson,
    /// Warnings, and the image's id at the end, as with -q
    Quiet,
    /// Nothing but warnings
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Network {
    /// The engine's own
    Default,
    /// None but loopback
    None,
    /// The engine's host; the agent must allow the entitlement network.host
    Host,
}
