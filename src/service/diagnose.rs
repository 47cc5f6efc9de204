//! Gathers the facts about the engine and what is around it; `doctor` says what they mean.

use std::{path::Path, time::Duration};

use futures_util::{StreamExt as _, stream};

use super::{agent::Inner, pulling::reading};
use crate::{
    doctor::{Asked, EngineFacts, Facts, findings},
    engine::State,
    git, host,
    model::{Capabilities, DiagnoseRequest, EngineUrl, Failure, FailureKind, Finding, Level, Reference},
    session::Lent,
    strategy::retry::Trouble,
};

/// How long one registry, or the engine, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Registries that are asked at a time.
const AT_ONCE: usize = 8;

/// The call Diagnose.
pub(super) async fn diagnose(agent: &Inner, request: &DiagnoseRequest) -> Result<Vec<Finding>, Failure> {
    let lent = match &request.session {
        Some(id) => Some(agent.sessions.find(id).await?),
        None => None,
    };
    let lent = lent.as_ref();
    let asked = stream::iter(request.repositories.clone())
        .map(|reference| async move { ask(agent, lent, &reference).await })
        .buffered(AT_ONCE)
        .collect();
    let (mut facts, registries) = tokio::join!(facts(agent), asked);
    facts.registries = registries;
    Ok(findings(&facts))
}

/// Writes what is not well to the log, once the engine is there.
pub(super) async fn log(agent: &Inner) {
    let mut engine = agent.engine.clone();
    while !matches!(engine.state(), State::Ready(_)) {
        engine.changed().await;
    }
    for Finding { level, about, what, next } in findings(&facts(agent).await) {
        match level {
            Level::Ok => tracing::debug!(about, "{what}"),
            Level::Warning => tracing::warn!(about, next, "{what}"),
            Level::Error => tracing::error!(about, next, "{what}"),
        }
    }
}

async fn facts(agent: &Inner) -> Facts {
    let engine = match agent.engine.settled().await {
        State::Ready(capabilities) => Ok(engine_facts(agent, &capabilities).await),
        State::Absent(failure) => Err(failure),
    };
    Facts {
        address: agent.engine.url().to_string(),
        engine,
        pod_mtu: host::mtu(),
        open_tcp: agent.engine.open_tcp().await,
        agent_git: git::is_there().await,
        registries: Vec::new(),
    }
}

async fn engine_facts(agent: &Inner, capabilities: &Capabilities) -> EngineFacts {
    let near = is_near(agent.engine.url());
    // What it does not tell in time is not known.
    let told = tokio::time::timeout(PATIENCE, agent.engine.surroundings()).await.ok().and_then(Result::ok);
    let seen = |root: &Path| near.then(|| host::volume(root).ok()).flatten();
    let data = told.as_ref().and_then(|told| Some((told.data_root.clone(), seen(&told.data_root)?)));
    let interface = told.as_ref().and_then(|told| told.interface.as_deref());
    let same_network = near && interface.is_some_and(host::has_interface);
    let networks = told.map(|told| told.networks).unwrap_or_default();
    EngineFacts { capabilities: capabilities.clone(), same_network, networks, data }
}

/// Whether the engine may be on this machine, or in this pod.
fn is_near(url: &EngineUrl) -> bool {
    match url {
        EngineUrl::Unix(_) => true,
        EngineUrl::Tcp { host, .. } => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

async fn ask(agent: &Inner, lent: Option<&Lent>, reference: &Reference) -> (String, Asked) {
    let asked = async {
        let credential = reading(agent, lent, reference.registry()).await?;
        match agent.registry.digest(reference, &credential).await {
            Ok(_) => Ok(true),
            Err(error) if error.trouble == Trouble::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    };
    let late = |_| {
        let what = format!("{} does not answer within {PATIENCE:?}", reference.registry());
        Err(Failure::new(FailureKind::Registry, what).next("check that the agent's network reaches it"))
    };
    (reference.to_string(), tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(late))
}
