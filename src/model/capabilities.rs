//! What an engine can do: a value that is asked once per connection.

use std::net::IpAddr;

/// What builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Docker's daemon.
    Dockerd,
    /// A standalone buildkitd.
    Buildkitd,
}

/// Where a Docker engine keeps its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStore {
    /// The classic store.
    Graphdriver,
    /// Containerd's.
    Containerd,
}

impl ImageStore {
    /// The store that alone knows this storage driver; `None` where both do, or nobody knows. With that of the other an
    /// engine may start, and then pulls fail: <https://github.com/moby/moby/issues/46254>.
    pub fn of_driver(driver: &str) -> Option<Self> {
        match driver {
            "overlay2" | "overlay" | "vfs" | "aufs" | "devicemapper" => Some(Self::Graphdriver),
            "overlayfs" | "native" => Some(Self::Containerd),
            _ => None,
        }
    }
}

/// What an engine is and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own
pub struct Capabilities {
    /// What it is.
    pub kind: EngineKind,
    /// Its version, as it says it.
    pub version: String,
    /// Version of Docker's REST API; empty for buildkitd.
    pub api_version: String,
    /// Where it keeps images; `None` for buildkitd, which keeps none for others.
    pub image_store: Option<ImageStore>,
    /// Name of the graphdriver or snapshotter.
    pub storage_driver: String,
    /// Platforms that it builds for, its own first.
    pub platforms: Vec<String>,
    /// Exporters that it takes.
    pub exporters: Vec<&'static str>,
    /// Cache exports that it takes.
    pub cache_exports: Vec<&'static str>,
    /// Whether it reads a registry cache that lies as an image manifest; else only as an index of blobs.
    pub cache_manifests: bool,
    /// Whether inline cache that it exports lacks the layers of steps that were cached themselves, so that the next build
    /// finds their keys and nothing behind them. Seen on Docker 20.10 and 26, and not on 28.
    pub inline_forgets: bool,
    /// Whether it gives steps limits, a size of `/dev/shm` and a control group; else it leaves them out without a word.
    pub run_limits: bool,
    /// Whether its images can have annotations and attestations: it makes their manifests itself, and knows how.
    pub attestations: bool,
    /// Where containers reach its host, where it tells that.
    pub host_gateway: Option<IpAddr>,
    /// Whether it can fetch git contexts itself.
    pub git: bool,
    /// Whether it asks for the branch that a repository's HEAD is, and knows `ssh://`; else it takes `master` for the branch.
    pub git_head: bool,
}

impl EngineKind {
    /// The program's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dockerd => "dockerd",
            Self::Buildkitd => "buildkitd",
        }
    }
}

impl ImageStore {
    /// As in Docker's own documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Graphdriver => "graphdriver",
            Self::Containerd => "containerd",
        }
    }
}
