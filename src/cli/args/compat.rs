//! Flags of `docker build` that scripts have, and that need nothing done here.

use clap::Args;

#[derive(Args)]
#[command(next_help_heading = "Taken for the sake of scripts")]
pub(in crate::cli) struct Compat {
    /// Left out: the cache is written by itself (--cache, --cache-scope, --cache-repo)
    #[arg(long, value_name = "DEST")]
    cache_to: Vec<String>,
}

impl Compat {
    /// What a person should know of what is left out.
    pub(in crate::cli) fn notice(&self) -> Option<&'static str> {
        let Self { cache_to } = self;
        let text = "--cache-to is left out: the cache is written by itself, and --cache-repo says where";
        (!cache_to.is_empty()).then_some(text)
    }
}
