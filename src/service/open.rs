//! From the configuration to what an agent needs: sockets that are bound, and whom it asks.

use std::sync::Arc;

use super::{Listener, Settings, Tls};
use crate::{
    config::{Access, Config},
    kube::{Authority, Cluster, PullSecrets},
    strategy::queue::Limits,
};

/// Binds the sockets and finds the cluster, where it is wanted. `token` is the agent's own. The error is a line that
/// says what is wrong with the configuration.
pub async fn open(config: &Config, token: Option<String>) -> Result<(Vec<Listener>, Settings), String> {
    let Access { tls, kubernetes, pull_secrets } = &config.access;
    let tls = tls.clone().map(Tls::read).transpose()?.map(Arc::new);
    let wants_cluster = kubernetes.is_some() || !pull_secrets.is_empty();
    let cluster = if wants_cluster { Some(Cluster::find().await?) } else { None };
    let settings = Settings {
        allow_entitlement: config.allow_entitlement.iter().map(|e| e.as_str().to_owned()).collect(),
        insecure_registry: config.insecure_registry.clone(),
        cache_deadline: config.cache_deadline,
        token,
        name: config.name.clone().unwrap_or_else(host_name),
        limits: Limits { running: config.max_builds, waiting: config.max_queue },
        cluster: cluster.clone().zip(kubernetes.clone()).map(|(cluster, name)| Arc::new(Authority::new(cluster, name))),
        pull_secrets: cluster
            .filter(|_| !pull_secrets.is_empty())
            .map(|cluster| Arc::new(PullSecrets::new(cluster, pull_secrets.clone()))),
    };
    let mut listeners = Vec::new();
    for url in &config.listen {
        let listener = Listener::bind(url, tls.as_ref()).await;
        listeners.push(listener.map_err(|error| format!("cannot listen on {url}: {error}"))?);
    }
    Ok((listeners, settings))
}

/// In a pod, the pod's: it stays when a stateful set makes its pod anew.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
