//! `remora-agent prepare-engine`: the pod it is in > the `daemon.json` of the engine that starts after it.

use std::{fs, io, path::Path};

use serde_json::{Map, Value};

use super::{args::Prepare, complain, print, put};
use crate::{
    config::registry_host,
    dind::{Pod, Wanted, daemon_json},
    host,
};

/// The variable that the agent in the same pod reads too.
const INSECURE: &str = "REMORA_INSECURE_REGISTRY";

/// Looks, decides, and writes the file. The error is what is wrong and what to do; then there is no file, so that no
/// engine starts.
pub(super) fn run(args: Prepare) -> Result<(), String> {
    let base = args.base.as_deref().map_or_else(|| Ok(Map::new()), read)?;
    let named = |key: &str| base.get(key).and_then(Value::as_str).map(Into::into);
    let Prepare { config, data_root, socket, .. } = args;
    // One that the user's own file names is the one that matters.
    let data_root = named("data-root").unwrap_or(data_root);
    let volume = host::volume(&data_root).map_err(|error| {
        format!("{}: {error}; mount the volume of the engine's data there in this container too", data_root.display())
    })?;
    let pod = Pod { volume, fresh: is_fresh(&data_root), mtu: host::mtu() };
    let wanted = Wanted {
        socket,
        data_root,
        version: args.engine_version,
        registry_mirrors: args.registry_mirror,
        insecure_registries: insecure(args.insecure_registry, std::env::var(INSECURE).ok())?,
        group: args.group,
        gc_share: args.gc_share,
        data_size: args.data_size,
        image_store: args.image_store.map(Into::into),
        storage_driver: args.storage_driver,
    };
    let failed = |error| {
        format!("{}: {error}; mount a volume there that the engine's container mounts as well", config.display())
    };
    // One of an earlier start must not outlive a refusal.
    match fs::remove_file(&config) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let prepared = daemon_json(&wanted, &pod, base)?;
    write(&config, &prepared.config).map_err(failed)?;
    for warning in &prepared.warnings {
        complain(&format!("warning: {warning}"));
    }
    print(&format!("{:#}", Value::Object(prepared.config)));
    print(&format!("this is {0}; start the engine as: dockerd --config-file {0}", config.display()));
    Ok(())
}

/// The flags, else what the variable has.
fn insecure(flags: Vec<String>, variable: Option<String>) -> Result<Vec<String>, String> {
    let Some(hosts) = variable.filter(|hosts| flags.is_empty() && !hosts.is_empty()) else { return Ok(flags) };
    let parsed = hosts.split(',').map(|host| registry_host(host.trim()));
    parsed.collect::<Result<_, _>>().map_err(|mistake| format!("{INSECURE}: {mistake}"))
}

/// Whether nothing lies there but what the filesystem makes itself. An engine closes its directory to others.
fn is_fresh(data_root: &Path) -> bool {
    let is_its_own = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() == "lost+found");
    fs::read_dir(data_root).is_ok_and(|mut entries| entries.all(is_its_own))
}

fn read(path: &Path) -> Result<Map<String, Value>, String> {
    let told = |problem: String| format!("--base {}: {problem}", path.display());
    let text = fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(base)) => Ok(base),
        Ok(_) => Err(told("a daemon.json is an object".to_owned())),
        Err(error) => Err(told(error.to_string())),
    }
}

fn write(path: &Path, config: &Map<String, Value>) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(config)?;
    text.push(b'\n');
    put(&text, path, 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_and_agent_are_told_of_plain_http_in_the_same_way() {
        let hosts = |text: &str| insecure(Vec::new(), Some(text.to_owned()));
        assert_eq!(hosts("r:5000, r.example"), Ok(vec!["r:5000".to_owned(), "r.example".to_owned()]));
        assert_eq!(hosts(""), Ok(Vec::new()));
        assert_eq!(insecure(vec!["flag".to_owned()], Some("r".to_owned())), Ok(vec!["flag".to_owned()]));
        assert!(hosts("http://r").is_err_and(|why| why.starts_with("REMORA_INSECURE_REGISTRY: ")));
    }
}
