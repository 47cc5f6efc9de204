//! Facts about an engine and what is around it > findings, each with what to do. Pure.

mod bugs;

use std::path::PathBuf;

use crate::model::{Capabilities, DEFAULT_NETWORK, EngineKind, Failure, Finding, ImageStore, Volume};

/// What was found out. The service and the engine room gather it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Where the engine is.
    pub address: String,
    /// What it tells of itself, or why it does not.
    pub engine: Result<EngineFacts, Failure>,
    /// The largest packet that leaves the pod, in bytes.
    pub pod_mtu: Option<u32>,
    /// Addresses at which an engine answers whoever asks, without TLS.
    pub open_tcp: Vec<String>,
    /// Whether the agent has a git of its own.
    pub agent_git: bool,
    /// Registries that were asked, by the repository.
    pub registries: Vec<(String, Asked)>,
}

/// What a registry answered: whether it has the image.
pub type Asked = Result<bool, Failure>;

/// What an engine tells.
#[derive(Debug, Clone)]
pub struct EngineFacts {
    /// What it is and can do.
    pub capabilities: Capabilities,
    /// Whether the agent sees the engine's bridge, and so has the engine's way out, as in a pod.
    pub same_network: bool,
    /// Its bridge networks, with their MTUs in bytes. None of a buildkitd.
    pub networks: Vec<(String, u32)>,
    /// Where its data are and the filesystem behind them, where the agent sees that.
    pub data: Option<(PathBuf, Volume)>,
}

/// Free bytes below which builds are about to fail.
const HARDLY_ANY: u64 = 1_000_000_000;

/// What is to be said of these facts, the engine first.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    match &facts.engine {
        Err(failure) => found.push(Finding::error("engine", failure.what.clone(), failure.next.clone())),
        Ok(engine) => {
            let Capabilities { kind, version, .. } = &engine.capabilities;
            found.push(Finding::ok("engine", format!("{} {version} answers at {}", kind.as_str(), facts.address)));
            found.extend(bugs::known(&engine.capabilities));
            found.push(storage(&engine.capabilities));
            found.push(disk(engine.data.as_ref()));
            found.extend(network(engine, facts.pod_mtu));
            found.push(git(&engine.capabilities, facts.agent_git));
        }
    }
    found.push(open_tcp(&facts.open_tcp));
    found.extend(facts.registries.iter().map(|(repository, asked)| registry(repository, asked)));
    found
}

fn storage(engine: &Capabilities) -> Finding {
    let (about, driver) = ("storage", engine.storage_driver.as_str());
    let store = engine.image_store.map(|store| format!(" ({} image store)", store.as_str())).unwrap_or_default();
    if engine.image_store == Some(ImageStore::Containerd)
        && ImageStore::of_driver(driver) == Some(ImageStore::Graphdriver)
    {
        return Finding::error(
            about,
            format!("the storage driver is {driver}, which the containerd image store does not know: no pull works"),
            "take \"storage-driver\" out of the engine's daemon.json, or \"containerd-snapshotter\" out of its features",
        );
    }
    if matches!(driver, "vfs" | "native") {
        return Finding::error(
            about,
            format!(
                "the storage driver is {driver}: each layer is a copy of all below it, slow and many times as large"
            ),
            "put the engine's data on a volume with a disk, such as an emptyDir at /var/lib/docker, and name the driver; \
             remora-agent prepare-engine does",
        );
    }
    Finding::ok(about, format!("{driver}{store}"))
}

fn disk(data: Option<&(PathBuf, Volume)>) -> Finding {
    let about = "disk";
    let Some((path, volume)) = data else {
        return Finding::ok(
            about,
            "not looked at: the agent does not see the engine's data; mounted into it, read-only, they are looked at",
        );
    };
    let what = format!("{} GB of {} GB are free at {}", tenths(volume.free), tenths(volume.total), path.display());
    let next = "give the volume more room, or free some with remora prune; remora du tells what takes it";
    match volume.free {
        ..HARDLY_ANY => Finding::error(about, what, next),
        _ if volume.has_little() => Finding::warning(about, what, next),
        _ => Finding::ok(about, what),
    }
}

/// Bytes as GB with one digit behind the point.
fn tenths(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000_000, bytes / 100_000_000 % 10)
}

fn network(engine: &EngineFacts, pod: Option<u32>) -> Vec<Finding> {
    let about = "network";
    if engine.capabilities.kind == EngineKind::Buildkitd || !engine.same_network {
        return vec![Finding::ok(
            about,
            "not looked at: the agent does not see the engine's bridge, so it has a network of its own",
        )];
    }
    let Some(pod) = pod else {
        return vec![Finding::warning(
            about,
            "there is no default route, as the agent sees it: registries beyond this network cannot be reached",
            "look at the network of the pod or the machine",
        )];
    };
    let wide = engine.networks.iter().filter(|(_, mtu)| *mtu > pod);
    let finding = |(name, mtu): &(String, u32)| {
        let what = format!(
            "the engine's network {name} has an MTU of {mtu}, and the way out, as the agent sees it, takes {pod}"
        );
        if name == DEFAULT_NETWORK {
            let what = format!("{what}: downloads in RUN steps may hang for ever");
            return Finding::error(
                about,
                what,
                format!("start the engine with \"mtu\": {pod}; remora-agent prepare-engine does"),
            );
        }
        let what = format!("{what}: downloads in its containers may hang; RUN steps do not use it");
        let next = format!("if it is of use, make it anew with --opt com.docker.network.driver.mtu={pod}");
        Finding::warning(about, what, next)
    };
    let found: Vec<_> = wide.map(finding).collect();
    if found.is_empty() {
        return vec![Finding::ok(
            about,
            format!("no network of the engine has an MTU above that of the way out, {pod}"),
        )];
    }
    found
}

fn git(engine: &Capabilities, agent: bool) -> Finding {
    let about = "git";
    match (engine.git, agent) {
        (true, _) => Finding::ok(about, "the engine fetches git contexts"),
        (false, true) => Finding::ok(about, "the agent fetches git contexts; the engine has no git"),
        (false, false) => Finding::warning(
            about,
            "neither the engine nor the agent has git: builds of git contexts fail",
            "install git where the agent runs; its image has it",
        ),
    }
}

fn open_tcp(open: &[String]) -> Finding {
    let about = "access";
    match open {
        [] => Finding::ok(about, "no engine answers on TCP without TLS here"),
        open => Finding::error(
            about,
            format!("an engine answers whoever asks at {}: each step of the pod is root on its node", open.join(", ")),
            "let the engine listen on a unix socket alone; in a pod start it as: dockerd --config-file \
             /run/engine/daemon.json",
        ),
    }
}

fn registry(repository: &str, asked: &Asked) -> Finding {
    let about = "registry";
    match asked {
        Ok(true) => Finding::ok(about, format!("{repository} can be read")),
        Ok(false) => Finding::ok(about, format!("{repository}: the registry answers, and has no such image yet")),
        Err(failure) => Finding::error(about, failure.what.clone(), failure.next.clone()),
    }
}

#[cfg(test)]
mod tests;
