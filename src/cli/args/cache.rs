//! The flags that say how a build uses the cache.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use crate::{
    cli::usage,
    model::{self, CacheRequest, Failure, MOST_FALLBACKS, Reference, cache_repository, check_scope},
};

#[derive(Args)]
#[command(next_help_heading = "Cache")]
#[allow(clippy::struct_field_names)] // as Docker names them
pub(in crate::cli) struct Cache {
    /// Read cache from this image first, such as registry.example/app:main; repeatable [default: what the scope has, else
    /// the tags themselves]
    #[arg(long, value_name = "REF")]
    cache_from: Vec<String>,
    /// How cache is kept in the registry
    #[arg(long = "cache", value_name = "MODE", env = "REMORA_CACHE", value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// Name of the branch, or of anything else, under which this build's cache is kept: its scope [default: the branch, as
    /// the CI's variables tell it]
    #[arg(long = "cache-scope", value_name = "NAME", env = "REMORA_CACHE_SCOPE", value_parser = scope)]
    scope: Option<String>,
    /// Further scopes, such as main, whose cache is read as well, best first; repeatable [default: the merge target, the
    /// default branch]
    #[arg(
        long = "cache-fallback",
        value_name = "NAME",
        env = "REMORA_CACHE_FALLBACK",
        value_delimiter = ',',
        value_parser = scope
    )]
    fallbacks: Vec<String>,
    /// Repository that holds the cache, such as registry.example/group/cache [default: the image's own]
    #[arg(long = "cache-repo", value_name = "REPOSITORY", env = "REMORA_CACHE_REPO", value_parser = cache_repository)]
    repository: Option<Reference>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// registry where the engine can, else inline: right for nearly all
    // Kaniko's --cache=true, and below its --cache=false.
    #[value(alias = "true")]
    Auto,
    /// Within images, one for each stage: every engine can do that
    Inline,
    /// All layers of all stages behind one manifest: refused on a graphdriver store, which cannot do it
    Registry,
    /// Neither written nor read; what the engine itself holds is used all the same (but see --no-cache)
    #[value(alias = "false")]
    Off,
}

impl Cache {
    /// The refs to import, and how to use the cache given what the CI says.
    pub(in crate::cli) fn request(
        self,
        variables: BTreeMap<String, String>,
    ) -> Result<(Vec<Reference>, CacheRequest), Failure> {
        if self.fallbacks.len() > MOST_FALLBACKS {
            let what =
                format!("--cache-fallback: {} were given, and the most are {MOST_FALLBACKS}", self.fallbacks.len());
            return Err(usage(what).next("name those that are most alike, best first"));
        }
        let imports = self.cache_from.iter().map(|text| {
            cache_from(text).map_err(|why| {
                // Scripts have keys of buckets among the fields, which the parser of flags would show: so it is read here.
                let shown = if text.contains('=') { String::new() } else { format!(" '{text}'") };
                usage(format!("--cache-from{shown}: {why}"))
                    .next("name an image, as in --cache-from registry.example/app:main")
            })
        });
        let imports = imports.collect::<Result<_, _>>()?;
        let request = CacheRequest {
            mode: match self.mode {
                Mode::Auto => model::CacheMode::Auto,
                Mode::Inline => model::CacheMode::Inline,
                Mode::Registry => model::CacheMode::Registry,
                Mode::Off => model::CacheMode::Off,
            },
            scope: self.scope,
            fallbacks: self.fallbacks,
            repository: self.repository,
            variables,
        };
        Ok((imports, request))
    }
}

fn scope(name: &str) -> Result<String, &'static str> {
    check_scope(name).map(|()| name.to_owned())
}

/// A cache to import: `REF` or `type=registry,ref=REF`.
fn cache_from(text: &str) -> Result<Reference, String> {
    if !text.contains('=') {
        return super::values::reference(text);
    }
    let (mut kind, mut place, mut odd) = ("registry", None, None);
    for field in super::values::fields(text) {
        match field? {
            ("type", value) => kind = value,
            ("ref", value) => place = Some(value),
            (key, _) => odd = Some(key),
        }
    }
    match (kind, place, odd) {
        ("registry", _, Some(key)) => Err(format!("'{key}' is not known here: type=registry,ref=REF")),
        ("registry", Some(place), None) => super::values::reference(place),
        ("registry", None, None) => Err("a cache in a registry has a ref, as in type=registry,ref=REF".to_owned()),
        (other, ..) => Err(format!("cache of type {other} is not here: registries hold it (type=registry,ref=REF)")),
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
}
