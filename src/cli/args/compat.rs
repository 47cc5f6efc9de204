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
    pub(in crate::cli) fn notice(&self) -> Option<String> {
        let Self { cache_to, provenance: _, sbom: _, attest: _ } = self;
        let first = cache_to.first()?;
        Some(format!("--cache-to {first} is left out: the cache is written by itself, and --cache-repo says where"))
    }
}

fn nothing(text: &str) -> Result<Nothing, &'static str> {
    let disabled = text == "false" || text.split(',').any(|field| field == "disabled=true");
    if disabled { Ok(Nothing) } else { Err("attestations are not here yet: leave it out, or switch it off") }
}

/// A cache to import: `REF` or `type=registry,ref=REF`.
pub(super) fn cache_from(text: &str) -> Result<crate::model::Reference, String> {
    if !text.contains('=') {
        return super::reference(text);
    }
    let (mut kind, mut place) = ("registry", None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("type", value)) => kind = value,
            Some(("ref", value)) => place = Some(value),
            _ => return Err(format!("'{field}' is not known here: type=registry,ref=REF")),
        }
    }
    match (kind, place) {
        ("registry", Some(place)) => super::reference(place),
        ("registry", None) => Err("a cache in a registry has a ref, as in type=registry,ref=REF".to_owned()),
        (other, _) => Err(format!("cache of type {other} is not here: registries hold it (type=registry,ref=REF)")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn caches_are_named_as_docker_names_them() {
        for text in ["r.example/app:c", "type=registry,ref=r.example/app:c", "ref=r.example/app:c"] {
            assert_eq!(cache_from(text).unwrap().to_string(), "r.example/app:c", "{text}");
        }
        for odd in
            ["type=gha", "type=local,src=dir", "type=registry", "type=registry,ref=A", "type=registry,ref=a,mode=max"]
        {
            assert!(cache_from(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn no_attestation_is_promised() {
        assert!(nothing("false").is_ok() && nothing("type=sbom,disabled=true").is_ok());
        assert!(nothing("true").is_err() && nothing("mode=max").is_err());
    }
}
