//! What a build does about cache, and why: the plan as a person reads it, and what came of it.

use std::{collections::BTreeSet, time::SystemTime};

use super::age;

/// What a build does about cache, and why. Texts are one line each, for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The engine: what it is, its version and its image store.
    pub engine: String,
    /// The CI that the build runs in; empty where none is known.
    pub ci: String,
    /// The build's own scope.
    pub scope: Option<String>,
    /// Further scopes that it reads, best first.
    pub fallbacks: Vec<String>,
    /// How cache is exported: `inline`, `registry` or `off`.
    pub mode: String,
    /// Why so.
    pub mode_why: String,
    /// The cache refs that were asked for, best first.
    pub refs: Vec<CacheRef>,
    /// Why none was asked for; empty where one was.
    pub no_read_why: String,
    /// The cache refs that are imported, by digest and in this order.
    pub imports: Vec<String>,
    /// The stages that the target needs, itself the last; none where the engine does not tell them.
    pub stages: Vec<StageCache>,
    /// The cache refs that are written where something changed.
    pub writes: Vec<String>,
    /// Why nothing is written; empty where something is.
    pub no_write_why: String,
    /// How the result gets into its registries.
    pub push: String,
    /// Whether the cached image may be published as the result.
    pub retag: Retag,
    /// What else a person should know.
    pub notes: Vec<String>,
    /// What came of it; `None` before the build.
    pub outcome: Option<CacheOutcome>,
}

/// A cache ref that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRef {
    /// Where.
    pub reference: String,
    /// Whose it is.
    pub whose: Whose,
    /// The stage that it holds, empty for an image's only one; `None` where it was not made for one.
    pub stage: Option<String>,
    /// What the registry said.
    pub found: Found,
}

/// Whose a cache ref is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Named by the caller.
    Named,
    /// The build's own scope.
    Own(String),
    /// A scope that it falls back to.
    Fallback(String),
    /// One of the tags that the image is to be given: what was there before.
    Tag,
}

impl Whose {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Own(_) => "own",
            Self::Fallback(_) => "fallback",
            Self::Tag => "tag",
        }
    }

    /// The scope.
    pub fn scope(&self) -> Option<&str> {
        match self {
            Self::Own(scope) | Self::Fallback(scope) => Some(scope),
            Self::Named | Self::Tag => None,
        }
    }
}

/// How cache lies at a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheKind {
    /// In the config of an image.
    Inline,
    /// As a manifest of its own.
    Registry,
}

impl CacheKind {
    /// As `--cache` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Registry => "registry",
        }
    }
}

/// What a registry said of a cache ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It carries cache.
    Cache {
        /// Digest of its manifest.
        digest: String,
        /// How.
        kind: CacheKind,
        /// When it was made, as RFC 3339, where it says so.
        created: Option<String>,
    },
    /// There is nothing.
    Missing,
    /// There is something, which is of no use; why.
    Useless(String),
    /// It could not be asked; why.
    Failed(String),
}

impl Found {
    /// One word for it.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Cache { .. } => "found",
            Self::Missing => "missing",
            Self::Useless(_) => "useless",
            Self::Failed(_) => "failed",
        }
    }
}

/// What is done about the cache of one stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageCache {
    /// Its name, or `stage-1` for the second where it has none; empty for the only one.
    pub name: String,
    /// How many steps of it do something.
    pub steps: u32,
    /// Whether it is what is built.
    pub target: bool,
    /// The cache ref that holds it, where it is written.
    pub place: Option<String>,
    /// Why so.
    pub why: String,
}

/// Whether a cached image may be published as the result by manifest PUT, without loading a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retag {
    /// Whether it may, if every step comes from that image's cache.
    pub possible: bool,
    /// Which image, or why not.
    pub why: String,
}

/// What came of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheOutcome {
    /// Whether the cached image was published as the result.
    pub republished: bool,
    /// Which image, or why not.
    pub why: String,
    /// The cache refs that were written.
    pub written: Vec<String>,
}

/// Cache that a build reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Whose: a scope, or a reference.
    pub name: String,
    /// How old, as `3 h old`, where that is known.
    pub age: Option<String>,
}

impl Explanation {
    /// Whose cache is read, best first, each once. What holds the same as a better one is not read again.
    pub fn sources(&self, now: SystemTime) -> Vec<Source> {
        let (mut known, mut sources) = (BTreeSet::new(), Vec::<Source>::new());
        for cache_ref in &self.refs {
            let Found::Cache { digest, created, .. } = &cache_ref.found else { continue };
            let imported = self.imports.iter().any(|import| import.ends_with(digest.as_str()));
            if !imported || !known.insert(digest) {
                continue;
            }
            let age = created.as_deref().and_then(|created| age(created, now));
            let name = cache_ref.name();
            match sources.iter_mut().find(|source| source.name == name) {
                Some(source) => source.age = source.age.take().or(age),
                None => sources.push(Source { name: name.to_owned(), age }),
            }
        }
        sources
    }

    /// The same with what came of it.
    #[must_use]
    pub fn with(self, outcome: CacheOutcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }
}

impl CacheRef {
    /// Whose it is, for a person: its scope, or itself.
    pub fn name(&self) -> &str {
        self.whose.scope().unwrap_or(&self.reference)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn cache_is_said_to_be_read_where_it_is_read_and_once() {
        let found = |digest: &str, created: Option<&str>| Found::Cache {
            digest: digest.to_owned(),
            kind: CacheKind::Inline,
            created: created.map(str::to_owned),
        };
        let cache_ref =
            |whose: Whose, found| CacheRef { reference: "r.example/a:1".to_owned(), whose, stage: None, found };
        let (own, main) = (Whose::Own("x".to_owned()), Whose::Fallback("main".to_owned()));
        let refs = vec![
            cache_ref(own.clone(), Found::Missing),
            cache_ref(own, found("sha256:1", None)),
            cache_ref(main.clone(), found("sha256:1", Some("2026-01-01T00:00:00Z"))),
            cache_ref(main, found("sha256:2", Some("2026-01-01T00:00:00Z"))),
            cache_ref(Whose::Tag, Found::Useless("no cache".to_owned())),
            cache_ref(Whose::Tag, found("sha256:3", None)),
        ];
        // The last one is there, and would only stand in the way of the others.
        let imports = ["sha256:1", "sha256:2"].map(|digest| format!("r.example/a@{digest}")).to_vec();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + 3 * 3600);
        let sources = Explanation { refs, imports, ..Explanation::default() }.sources(now);
        let source = |name: &str, age: Option<&str>| Source { name: name.to_owned(), age: age.map(str::to_owned) };
        assert_eq!(sources, [source("x", None), source("main", Some("3 h old"))]);
    }
}
