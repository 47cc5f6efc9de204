//! What a caller asks for.

use std::{collections::BTreeMap, time::Duration};

use super::{Annotation, CacheMode, CacheRequest, Provenance, Reference, RunOptions, Subrequest};

/// Names a session: 32 hexadecimal digits. Whoever knows it may use the session, so it never goes into a log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(pub String);

impl SessionId {
    /// Takes 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// One build.
#[derive(Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a flag of its own
pub struct BuildRequest {
    /// The session that serves context and credentials.
    pub session: SessionId,
    /// Name of the Dockerfile within the session's directory `dockerfile`; its path within a remote context.
    pub dockerfile: String,
    /// A build context that the engine fetches; the session's directory `context` where it is `None`.
    pub remote: Option<String>,
    /// Whether the Dockerfile of a remote context is the session's nevertheless, and not one within the context.
    pub dockerfile_lent: bool,
    /// Further build contexts by name. Values may hold credentials: `Debug` hides them.
    pub contexts: BTreeMap<String, String>,
    /// References to give the result.
    pub tags: Vec<Reference>,
    /// Stage to build; the last one where it is `None`.
    pub target: Option<String>,
    /// Build args. Their values may be secrets that somebody should have passed otherwise: `Debug` hides them.
    pub build_args: BTreeMap<String, String>,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// Run every step anew.
    pub no_cache: bool,
    /// Stages whose steps are run anew.
    pub no_cache_stages: Vec<String>,
    /// Ask the registry for newer base images.
    pub pull: bool,
    /// Platforms such as `linux/arm64`; the engine's own where it is empty.
    pub platforms: Vec<String>,
    /// The network that RUN steps see.
    pub network: Network,
    /// What RUN steps are given besides.
    pub run: RunOptions,
    /// Entitlements that it asks for, such as `network.host`.
    pub entitlements: Vec<String>,
    /// Cache refs to import; the tags where it is empty.
    pub cache_from: Vec<Reference>,
    /// How to use the cache, and whose it is.
    pub cache: CacheRequest,
    /// What is made.
    pub export: Export,
    /// How it is made: options of `BuildKit`'s exporter, such as `compression`.
    pub export_options: BTreeMap<String, String>,
    /// What the image is annotated with.
    pub annotations: Vec<Annotation>,
    /// What is attested of the result: `provenance` or `sbom`, with its parameters (`KEY=VALUE,KEY=VALUE`).
    pub attestations: BTreeMap<String, String>,
    /// What the frontend is asked, where nothing is built.
    pub subrequest: Option<Subrequest>,
    /// Push every tag.
    pub push: bool,
    /// Keep the result as an image in the engine.
    pub load: bool,
    /// Send `BuildKit`'s own status instead of what steps write.
    pub raw_status: bool,
    /// How much the report is to tell of how the result came about.
    pub provenance: Option<Provenance>,
    /// How long to wait for an engine that is not up yet.
    pub wait: Duration,
}

/// What a CI calls the project: GitLab, GitHub, Woodpecker, Drone, Buildkite.
const PROJECTS: &[&str] = &["CI_PROJECT_PATH", "GITHUB_REPOSITORY", "CI_REPO", "DRONE_REPO", "BUILDKITE_REPO"];

impl BuildRequest {
    /// Whether the build may write to a registry: an image, or cache.
    pub fn may_write(&self) -> bool {
        self.push || (self.cache.repository.is_some() && self.cache.mode != CacheMode::Off)
    }

    /// Whose build it is, for those who must be fair, and for those who look for the engine that knows it: the first tag's
    /// repository, else that of the cache, else what the CI calls the project, else the cache's scope. It may be empty.
    pub fn project(&self) -> String {
        let CacheRequest { repository, variables, scope, .. } = &self.cache;
        let named = self.tags.first().or(repository.as_ref()).map(Reference::name);
        let told = || PROJECTS.iter().find_map(|name| variables.get(*name).cloned());
        named.or_else(told).or_else(|| scope.clone()).unwrap_or_default()
    }
}

impl std::fmt::Debug for BuildRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildRequest")
            .field("dockerfile", &self.dockerfile)
            .field("contexts", &self.contexts.keys().collect::<Vec<_>>())
            .field("tags", &self.tags)
            .field("target", &self.target)
            .field("build_args", &self.build_args.keys().collect::<Vec<_>>())
            .field("platforms", &self.platforms)
            .field("entitlements", &self.entitlements)
            .field("cache", &self.cache)
            .field("export", &self.export)
            .field("attestations", &self.attestations)
            .field("subrequest", &self.subrequest)
            .field("push", &self.push)
            .field("load", &self.load)
            .finish_non_exhaustive()
    }
}

/// Whether this is `OS/ARCH` or `OS/ARCH/VARIANT`, or one word of them, as BuildKit reads it.
pub fn is_platform(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    text.split('/').count() <= 3 && text.split('/').all(word)
}

/// What a build makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Export {
    /// An image, in the engine or in registries.
    #[default]
    Image,
    /// An archive of the root file system, which the session takes.
    Tar,
    /// An archive of the image in the layout of OCI, which the session takes.
    Oci,
    /// An archive of the image as `docker load` takes it, which the session takes.
    Docker,
    /// The files of the root file system, which the session takes.
    Local,
    /// Nothing: the steps are done, and cached.
    CacheOnly,
}

/// Docker's name for the network of RUN steps, but of those with [`Network::None`] or [`Network::Host`].
pub const DEFAULT_NETWORK: &str = "bridge";

/// The network that RUN steps see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// The engine's own default.
    #[default]
    Default,
    /// None but loopback.
    None,
    /// The engine's host; needs the entitlement `network.host`.
    Host,
}

/// Pushes images that the engine holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// The session that answers for credentials, if any.
    pub session: Option<SessionId>,
    /// What to push.
    pub tags: Vec<Reference>,
    /// How long to wait for an engine that is not up yet.
    pub wait: Duration,
}

/// Frees disk space of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneRequest {
    /// Everything unused, not only what nothing refers to.
    pub all: bool,
    /// Only what was not used for this long; zero takes any age.
    pub unused_for: Duration,
    /// Bytes of build cache to keep.
    pub keep_bytes: u64,
    /// Say what would be freed, and free nothing.
    pub dry_run: bool,
    /// How long to wait for an engine that is not up yet.
    pub wait: Duration,
}

/// Ends a build from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Its id, or the beginning of it.
    pub build: String,
    /// Who ends it, for those who read the build's log.
    pub by: String,
}

/// Looks for what makes builds fail, hang or run cold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagnoseRequest {
    /// The session that answers for credentials, if any.
    pub session: Option<SessionId>,
    /// Images whose registries are asked.
    pub repositories: Vec<Reference>,
}
