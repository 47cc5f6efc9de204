//! How to use the cache <-> protobuf.

use super::request::usage;
use crate::{
    model::{CacheMode, CacheRequest, Failure, MOST_FALLBACKS, Reference, cache_repository, check_scope, ci_variable},
    pb,
};

const SCOPE: &str = "name it after a branch, such as main";

fn scope(name: String) -> Result<String, Failure> {
    match check_scope(&name) {
        Ok(()) => Ok(name),
        Err(problem) => Err(usage(problem).next(SCOPE)),
    }
}

fn repository(text: &str) -> Result<Reference, Failure> {
    cache_repository(text).map_err(|problem| {
        usage(format!("the cache repository '{}': {problem}", text.escape_debug()))
            .next("name one to which this build may push, such as registry.example/team/cache")
    })
}

impl TryFrom<pb::CacheOptions> for CacheRequest {
    type Error = Failure;

    fn try_from(options: pb::CacheOptions) -> Result<Self, Failure> {
        let mode = options.mode();
        let pb::CacheOptions { mode: _, scope: own, fallbacks, repository: text, variables } = options;
        if fallbacks.len() > MOST_FALLBACKS {
            return Err(usage(format!("{} cache fall-backs, and the most are {MOST_FALLBACKS}", fallbacks.len()))
                .next("name those that are most alike, best first"));
        }
        Ok(Self {
            mode: match mode {
                pb::CacheMode::Auto => CacheMode::Auto,
                pb::CacheMode::Inline => CacheMode::Inline,
                pb::CacheMode::Registry => CacheMode::Registry,
                pb::CacheMode::Off => CacheMode::Off,
            },
            scope: own.map(scope).transpose()?,
            fallbacks: fallbacks.into_iter().map(scope).collect::<Result<_, _>>()?,
            repository: if text.is_empty() { None } else { Some(repository(&text)?) },
            // What a client should not have sent is nobody's mistake in the build.
            variables: variables
                .into_iter()
                .filter_map(|(name, value)| ci_variable(&name, &value).map(|value| (name, value)))
                .collect(),
        })
    }
}

impl From<CacheRequest> for pb::CacheOptions {
    fn from(request: CacheRequest) -> Self {
        let CacheRequest { mode, scope, fallbacks, repository, variables } = request;
        let mode = match mode {
            CacheMode::Auto => pb::CacheMode::Auto,
            CacheMode::Inline => pb::CacheMode::Inline,
            CacheMode::Registry => pb::CacheMode::Registry,
            CacheMode::Off => pb::CacheMode::Off,
        };
        Self {
            mode: mode.into(),
            scope,
            fallbacks,
            repository: repository.map(|repository| repository.to_string()).unwrap_or_default(),
            variables: variables.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_could_name_no_cache_is_refused() {
        let ok = pb::CacheOptions::default();
        let scope = |name: &str| pb::CacheOptions { scope: Some(name.to_owned()), ..ok.clone() };
        let fallbacks = |names: Vec<String>| pb::CacheOptions { fallbacks: names, ..ok.clone() };
        let repository = |text: &str| pb::CacheOptions { repository: text.to_owned(), ..ok.clone() };
        for bad in [
            scope(""),
            scope("a\nb"),
            scope(&"x".repeat(crate::model::LONGEST_SCOPE + 1)),
            fallbacks(vec![String::new()]),
            fallbacks(vec!["x".to_owned(); MOST_FALLBACKS + 1]),
            repository("Cache"),
            repository("cache"),
            repository(&format!("r.example/c@sha256:{}", "a".repeat(64))),
        ] {
            let failure = CacheRequest::try_from(bad.clone()).unwrap_err();
            assert!(!failure.what.contains('\n') && !failure.next.is_empty(), "{bad:?}: {failure:?}");
        }
        assert!(CacheRequest::try_from(ok).unwrap() == CacheRequest::default());
    }

    #[test]
    fn variables_that_nobody_asked_for_are_dropped() {
        let sent = [("GIT_BRANCH", "main"), ("HOME", "/root"), ("TAG_NAME", "a\nb")];
        let variables = sent.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let read = CacheRequest::try_from(pb::CacheOptions { variables, ..pb::CacheOptions::default() }).unwrap();
        assert_eq!(read.variables, [("GIT_BRANCH".to_owned(), "main".to_owned())].into());
    }
}
