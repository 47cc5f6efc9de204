//! The flags of `remora-agent prepare-engine`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use crate::model::{EngineVersion, ImageStore};

pub(in super::super) const EXAMPLES: &str = "\
Examples:
  remora-agent prepare-engine      in an init container with the engine's two volumes
  remora-agent prepare-engine --engine-version 28 --registry-mirror https://mirror.ci
The engine then runs as: dockerd --config-file /run/engine/daemon.json
(of an image docker:dind these are the container's args; without them it listens on TCP)";

#[derive(ClapArgs)]
pub(in super::super) struct Prepare {
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "/run/engine/daemon.json")]
    pub(in super::super) config: PathBuf,
    /// Where the engine's data go: a volume, mounted here at the same path as in the engine's container
    #[arg(long, value_name = "DIR", default_value = "/var/lib/docker")]
    pub(in super::super) data_root: PathBuf,
    /// Where the engine listens, and nowhere else
    #[arg(long, value_name = "PATH", default_value = "/run/engine/docker.sock")]
    pub(in super::super) socket: PathBuf,
    /// The engine's version, such as 28; without it the file is one that all versions from 20.10 take
    #[arg(long, value_name = "VERSION")]
    pub(in super::super) engine_version: Option<EngineVersion>,
    /// A mirror of Docker Hub; repeatable
    #[arg(long, value_name = "URL", value_parser = mirror)]
    pub(in super::super) registry_mirror: Vec<String>,
    /// This registry speaks plain HTTP; repeatable [env: REMORA_INSECURE_REGISTRY, as the agent's, with commas]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = crate::config::registry_host)]
    pub(in super::super) insecure_registry: Vec<String>,
    /// The group that may use the engine's socket: the agent's
    #[arg(long, value_name = "GID", default_value_t = 65532)]
    pub(in super::super) group: u32,
    /// How much of the volume, or of what is free on a fresh one, build cache may take
    #[arg(long, value_name = "PERCENT", default_value = "60%", value_parser = share)]
    pub(in super::super) gc_share: u8,
    /// What of the volume is the engine's, such as 50Gi: for an emptyDir, its sizeLimit
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(in super::super) data_size: Option<u64>,
    /// Where the engine keeps images [default: the store of the driver that is named, else containerd where
    /// --engine-version is 28 or later, else graphdriver]
    #[arg(long, value_name = "STORE", value_enum)]
    pub(in super::super) image_store: Option<Store>,
    /// Graphdriver or snapshotter [default: overlay2 or overlayfs, by the store]
    #[arg(long, value_name = "NAME")]
    pub(in super::super) storage_driver: Option<String>,
    /// A daemon.json of your own, whose keys win
    #[arg(long, value_name = "FILE")]
    pub(in super::super) base: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(in super::super) enum Store {
    Graphdriver,
    Containerd,
}

impl From<Store> for ImageStore {
    fn from(store: Store) -> Self {
        match store {
            Store::Graphdriver => Self::Graphdriver,
            Store::Containerd => Self::Containerd,
        }
    }
}

/// An engine does not start over a mirror that is anything else.
fn mirror(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or(text.strip_prefix("http://"));
    match host.map(|host| host.trim_end_matches('/')) {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => Ok(text.to_owned()),
        _ => Err("write it as https://HOST[:PORT], without a path or a login".to_owned()),
    }
}

fn share(text: &str) -> Result<u8, String> {
    match text.strip_suffix('%').unwrap_or(text).parse() {
        Ok(share @ 1..=100) => Ok(share),
        _ => Err("write a share from 1% to 100%".to_owned()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let size = text.parse::<bytesize::ByteSize>();
    size.map(|size| size.as_u64()).map_err(|_| "a size is a number with a unit, such as 50GB or 50Gi".to_owned())
}
