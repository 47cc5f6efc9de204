//! Docker-in-Docker made right before it starts: an engine's `daemon.json`, from what its pod is and what is wanted.
//! Pure.
//!
//! An engine refuses to start over a key that it does not know, and nobody may know its version yet. So the keys are
//! those that 20.10 to 29 take: where they differ, the file has both forms, of which each engine reads its own. Within
//! `builder` and `features` none looks at what it does not know; and 20.10 takes `default-network-opts` for its flag
//! `bridge`, without a word, since it looks for keys one level down.

mod gc;
mod merge;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::model::{EngineVersion, ImageStore, Volume};

/// What Docker gives a network by itself. A larger one gains little, and 25.0 refuses it for its bridge.
const USUAL_MTU: u32 = 1500;
/// The first version whose containerd image store is chosen unasked: the first that is tested with it.
const CONTAINERD_SINCE: EngineVersion = EngineVersion(28, 0, 0);
/// The first version that takes registries without a scheme for its builds as well.
const BARE_HOSTS_SINCE: EngineVersion = EngineVersion(23, 0, 0);

/// What the pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The filesystem behind the engine's data.
    pub volume: Volume,
    /// Whether nothing lies there yet, as in an emptyDir. What is taken of its filesystem is then somebody else's.
    pub fresh: bool,
    /// The largest packet that leaves the pod, in bytes; `None` without a default route.
    pub mtu: Option<u32>,
}

/// What is wanted of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The engine's socket: it listens there, and nowhere else.
    pub socket: PathBuf,
    /// Where its data go.
    pub data_root: PathBuf,
    /// Its version, where that is known.
    pub version: Option<EngineVersion>,
    /// Mirrors of Docker Hub, as URLs.
    pub registry_mirrors: Vec<String>,
    /// Registries that speak plain HTTP, as `host` or `host:port`.
    pub insecure_registries: Vec<String>,
    /// The group that may use the socket.
    pub group: u32,
    /// How much of the volume build cache may take, in percent.
    pub gc_share: u8,
    /// Bytes that are the engine's, where the volume's size does not tell: an emptyDir's `sizeLimit`.
    pub data_size: Option<u64>,
    /// Where it keeps images; `None` is what its version does best.
    pub image_store: Option<ImageStore>,
    /// Graphdriver or snapshotter; `None` is overlay's.
    pub storage_driver: Option<String>,
}

/// An engine's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The content of `daemon.json`.
    pub config: Map<String, Value>,
    /// What a person should know, a line each.
    pub warnings: Vec<String>,
}

/// What `daemon.json` says. Keys of `base`, the user's own, win, and where they differ that is told. The error is a
/// line: why no engine should start here, and what to do.
pub fn daemon_json(wanted: &Wanted, pod: &Pod, base: Map<String, Value>) -> Result<Prepared, String> {
    refuse(wanted, pod, &base)?;
    let mut warnings = doubts(pod);
    let own = |name: &str| base.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    // The user's own, for all networks.
    let mtu = own("mtu").or(pod.mtu.map(|mtu| mtu.min(USUAL_MTU)));
    match (own("mtu"), pod.mtu) {
        (Some(own), Some(pod)) if own > pod => warnings.push(format!(
            "mtu is {own}, and packets that leave the pod have {pod} bytes at most: downloads in RUN steps may hang"
        )),
        (None, None) => {
            warnings.push("there is no default route, and so no mtu is written: the engine takes 1500".to_owned());
        }
        _ => {}
    }
    let (store, driver) = storage(wanted, &base)?;
    let driver = driver.unwrap_or(match store {
        ImageStore::Graphdriver => "overlay2",
        ImageStore::Containerd => "overlayfs",
    });
    let mut config = json!({
        "hosts": [format!("unix://{}", wanted.socket.display())],
        "data-root": wanted.data_root,
        "group": wanted.group.to_string(),
        // Chosen by itself it may be vfs, which copies every layer.
        "storage-driver": driver,
        "features": { "containerd-snapshotter": store == ImageStore::Containerd },
    });
    let space = wanted.data_size.map_or(pod.volume.total, |size| size.min(pod.volume.total));
    // An emptyDir is on the node's own disk, and the kubelet evicts the pod that fills it.
    let room = if pod.fresh { space.min(pod.volume.free) } else { space };
    if space > 0 {
        config["builder"] = json!({ "gc": gc::gc(space, room, wanted.gc_share) });
    }
    if let Some(mtu) = mtu {
        config["mtu"] = json!(mtu);
        // What `mtu` does for the network that RUN steps use by default, for all others.
        config["default-network-opts"] = json!({ "bridge": { "com.docker.network.driver.mtu": mtu.to_string() } });
    }
    if !wanted.registry_mirrors.is_empty() {
        config["registry-mirrors"] = json!(wanted.registry_mirrors);
    }
    if !wanted.insecure_registries.is_empty() {
        config["insecure-registries"] = json!(insecure(wanted));
    }
    let Value::Object(mut config) = config else { return Err("no configuration was made".to_owned()) };
    merge::merge(&mut config, base, &mut warnings);
    Ok(Prepared { config, warnings })
}

fn refuse(wanted: &Wanted, pod: &Pod, base: &Map<String, Value>) -> Result<(), String> {
    let root = wanted.data_root.display();
    let Volume { filesystem, .. } = &pod.volume;
    if let Some(version) = wanted.version.filter(|version| *version < EngineVersion::OLDEST) {
        return Err(format!("the engine {version} is too old; {} or later is wanted", EngineVersion::OLDEST));
    }
    if base.contains_key("hosts") {
        return Err(format!(
            "the base has `hosts`; leave it out: the engine listens at {} alone, and one that listens on TCP is open to \
             every step of the pod",
            wanted.socket.display()
        ));
    }
    // Who names another driver knows what it can do.
    if wanted.storage_driver.is_none() && !base.contains_key("storage-driver") && !pod.volume.takes_layers() {
        let where_it_is =
            if pod.volume.is_overlay() { "it is in a container's own layers" } else { "it is on a network filesystem" };
        return Err(format!(
            "{root} is on {filesystem}: {where_it_is}, on which an engine can lay none of its own but by copying all of \
             them (vfs); mount an emptyDir or a PersistentVolumeClaim with a disk at {root}, in this container and in \
             the engine's"
        ));
    }
    Ok(())
}

fn doubts(pod: &Pod) -> Vec<String> {
    let Volume { filesystem, free, .. } = &pod.volume;
    let mut doubts = Vec::new();
    if pod.volume.is_memory() {
        doubts.push(format!(
            "the engine's data are on {filesystem}: images and cache count as memory of the pod; an emptyDir without \
             `medium: Memory` is a disk"
        ));
    }
    if pod.volume.has_little() {
        let gigabytes = free / 100_000_000;
        doubts.push(format!(
            "the engine's volume has {}.{} GB free, which images and cache soon fill; give it more",
            gigabytes / 10,
            gigabytes % 10
        ));
    }
    doubts
}

/// The image store and the driver that is named. The store is what the flag or the user's own file says, else what goes
/// with the driver, else containerd's where it is known and tested.
fn storage<'a>(wanted: &'a Wanted, base: &'a Map<String, Value>) -> Result<(ImageStore, Option<&'a str>), String> {
    let own = base.get("features").and_then(|features| features.get("containerd-snapshotter")).and_then(Value::as_bool);
    let own = own.map(|own| if own { ImageStore::Containerd } else { ImageStore::Graphdriver });
    let flag = wanted.image_store.map(|store| ("--image-store", store));
    let asked = flag.or(own.map(|store| ("features.containerd-snapshotter of the base", store)));
    if let (Some((_, flag)), Some(own)) = (flag, own)
        && flag != own
    {
        return Err(format!(
            "--image-store wants the {} store, and features.containerd-snapshotter of the base the {} store; leave one \
             of them out",
            flag.as_str(),
            own.as_str()
        ));
    }
    // As everywhere, the base wins.
    let theirs =
        base.get("storage-driver").and_then(Value::as_str).map(|driver| ("storage-driver of the base", driver));
    let named = theirs.or(wanted.storage_driver.as_deref().map(|driver| ("--storage-driver", driver)));
    let store = match (asked, named) {
        (Some((key, store)), Some((driver_key, driver)))
            if ImageStore::of_driver(driver).is_some_and(|of_driver| of_driver != store) =>
        {
            return Err(format!(
                "{key} wants the {} store, and {driver_key} is {driver}, which that store does not know: no pull would \
                 work; leave one of them out",
                store.as_str()
            ));
        }
        (Some((_, store)), _) => store,
        // One that both know is a graphdriver to whoever does not ask for more.
        (None, Some((_, driver))) => ImageStore::of_driver(driver).unwrap_or(ImageStore::Graphdriver),
        (None, None) if wanted.version.is_some_and(|version| version >= CONTAINERD_SINCE) => ImageStore::Containerd,
        (None, None) => ImageStore::Graphdriver,
    };
    Ok((store, named.map(|(_, driver)| driver)))
}

/// The builds of 20.10 heed plain HTTP only where the registry is written with the scheme, newer ones only without.
fn insecure(wanted: &Wanted) -> Vec<String> {
    let both = wanted.version.is_none_or(|version| version < BARE_HOSTS_SINCE);
    let with_scheme = |host: &String| both.then(|| format!("http://{host}"));
    wanted.insecure_registries.iter().flat_map(|host| [Some(host.clone()), with_scheme(host)]).flatten().collect()
}

#[cfg(test)]
mod tests;
