//! What an engine tells of its networks and its disk, for those who look for trouble.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{Engine, docker};
use crate::model::{DEFAULT_NETWORK, EngineUrl, Failure};

/// How long somebody who may be an engine is given to say so.
const PATIENCE: Duration = Duration::from_millis(500);
/// Docker's ports, with TLS and without.
const PORTS: [u16; 2] = [2375, 2376];
/// What a network has that says nothing, in bytes.
const USUAL_MTU: u32 = 1500;
/// The default network's interface, where it says nothing else.
const USUAL_INTERFACE: &str = "docker0";

/// An engine's networks and data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Bridge networks, with their MTUs in bytes.
    pub networks: Vec<(String, u32)>,
    /// The interface of the default network, such as `docker0`, where the engine has one.
    pub interface: Option<String>,
    /// Where the data are, as the engine sees it.
    pub data_root: PathBuf,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "DockerRootDir", default)]
    data_root: PathBuf,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Driver")]
    driver: String,
    #[serde(rename = "Options", default)]
    options: Option<HashMap<String, String>>,
}

impl Engine {
    /// Asks a Docker engine. A buildkitd has nothing to tell, and fails.
    pub async fn surroundings(&self) -> Result<Surroundings, Failure> {
        let docker = self.docker()?;
        let info: Info = docker.get("GET /info", "/info").await?;
        let networks: Vec<Network> = docker.get("GET /networks", "/networks").await?;
        let mtu = |network: &Network| {
            let mtu = network.options.as_ref()?.get("com.docker.network.driver.mtu")?;
            mtu.parse().ok()
        };
        let interface = |network: &Network| {
            let name = network.options.as_ref().and_then(|options| options.get("com.docker.network.bridge.name"));
            name.map_or(USUAL_INTERFACE, String::as_str).to_owned()
        };
        let bridges: Vec<_> = networks.iter().filter(|network| network.driver == "bridge").collect();
        Ok(Surroundings {
            networks: bridges.iter().map(|network| (network.name.clone(), mtu(network).unwrap_or(USUAL_MTU))).collect(),
            interface: bridges.iter().find(|network| network.name == DEFAULT_NETWORK).map(|network| interface(network)),
            data_root: info.data_root,
        })
    }

    /// Addresses at which an engine answers without TLS: its own, if it is such a one, and Docker's ports on loopback.
    pub async fn open_tcp(&self) -> Vec<String> {
        let at = |host: &str, port| EngineUrl::Tcp { host: host.to_owned(), port, tls: None };
        let near = ["127.0.0.1", "::1"].into_iter().flat_map(|host| PORTS.map(|port| at(host, port)));
        let mut open = Vec::new();
        for url in std::iter::once(self.url.clone()).chain(near) {
            let plain = matches!(url, EngineUrl::Tcp { tls: None, .. });
            if plain && !open.contains(&url.to_string()) && answers(&url).await {
                open.push(url.to_string());
            }
        }
        open
    }
}

async fn answers(url: &EngineUrl) -> bool {
    matches!(tokio::time::timeout(PATIENCE, docker::version(url)).await, Ok(Ok(_)))
}
