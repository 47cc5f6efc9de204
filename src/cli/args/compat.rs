//! Flags of `docker build` that scripts have, and that need nothing done here.

use clap::Args;

#[derive(Args)]
#[command(next_help_heading = "Taken for the sake of scripts")]
pub(in crate::cli) struct Compat {
    /// Left out: the cache is written by itself (--cache, --cache-scope, --cache-repo)
    #[arg(long, value_name = "DEST")]
    cache_to: Vec<String>,
    /// Attestations are not here yet: false alone is taken
    #[arg(long, value_name = "false", value_parser = nothing, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    provenance: Option<Nothing>,
    /// The same
    #[arg(long, value_name = "false", value_parser = nothing, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    sbom: Option<Nothing>,
    /// The same: type=TYPE,disabled=true alone
    #[arg(long, value_name = "type=TYPE,disabled=true", value_parser = nothing)]
    attest: Vec<Nothing>,
}

/// That nothing is wanted.
#[derive(Clone)]
struct Nothing;

impl Compat {
    /// What a person should know of what is left out.
    pub(in crate::cli) fn notice(&self) -> Option<&'static str> {
        let Self { cache_to, provenance: _, sbom: _, attest: _ } = self;
        let text = "--cache-to is left out: the cache is written by itself, and --cache-repo says where";
        (!cache_to.is_empty()).then_some(text)
    }
}

fn nothing(text: &str) -> Result<Nothing, &'static str> {
    let disabled = text == "false" || text.split(',').any(|field| field == "disabled=true");
    if disabled { Ok(Nothing) } else { Err("attestations are not here yet: leave it out, or switch it off") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attestation_is_promised() {
        assert!(nothing("false").is_ok() && nothing("type=sbom,disabled=true").is_ok());
        assert!(nothing("true").is_err() && nothing("mode=max").is_err());
    }
}
