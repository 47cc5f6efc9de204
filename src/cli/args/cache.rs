//! The flags that say how a build uses the cache.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use crate::model::{
    self, CacheRequest, Failure, FailureKind, MOST_FALLBACKS, Reference, cache_repository, check_scope,
};

#[derive(Args)]
#[command(next_help_heading = "Cache")]
#[allow(clippy::struct_field_names)] // as Docker names them
pub(in crate::cli) struct Cache {
    /// Import cache from this image first; repeatable [default: what the scope has, else the tags themselves]
    #[arg(long, value_name = "REF", value_parser = super::compat::cache_from)]
    cache_from: Vec<Reference>,
    /// How cache is kept in the registry
    #[arg(long = "cache", value_name = "MODE", env = "REMORA_CACHE", value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// Whose cache this build reads first and writes [default: the branch, as the CI's variables tell it]
    #[arg(long = "cache-scope", value_name = "NAME", env = "REMORA_CACHE_SCOPE", value_parser = scope)]
    scope: Option<String>,
    /// Further scopes whose cache it reads, best first; repeatable [default: the merge target, the default branch]
    #[arg(
        long = "cache-fallback",
        value_name = "NAME",
        env = "REMORA_CACHE_FALLBACK",
        value_delimiter = ',',
        value_parser = scope
    )]
    fallbacks: Vec<String>,
    /// Where cache lies [default: the image's repository]
    #[arg(long = "cache-repo", value_name = "REPOSITORY", env = "REMORA_CACHE_REPO", value_parser = cache_repository)]
    repository: Option<Reference>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// As the engine does it best
    Auto,
    /// Within images
    Inline,
    /// As a cache manifest with every layer of every stage
    Registry,
    /// Neither written nor read
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
            return Err(Failure::new(FailureKind::Usage, what).next("name those that are most alike, best first"));
        }
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
        Ok((self.cache_from, request))
    }
}

fn scope(name: &str) -> Result<String, &'static str> {
    check_scope(name).map(|()| name.to_owned())
}
