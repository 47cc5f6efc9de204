//! What the agent and its engine are and do.

use std::time::Duration;

use super::{agent::Inner, builds::count};
use crate::{engine::State, model::REVISION, pb, wire};

/// How long the engine may take to count its disk use, for somebody who only wants to know.
const PATIENCE: Duration = Duration::from_secs(10);

/// All but the builds, which not everybody may see who may see this.
pub(super) async fn info(agent: &Inner) -> pb::InfoResponse {
    let mut info = pb::InfoResponse {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: REVISION,
        state: Some(state(agent)),
        ..pb::InfoResponse::default()
    };
    match agent.engine.settled().await {
        State::Absent(failure) => {
            info.engine_problem = failure.what;
            info.engine_next = failure.next;
        }
        State::Ready(capabilities) => {
            info.engine = Some(wire::to_engine(&capabilities, agent.engine.url().to_string()));
            match tokio::time::timeout(PATIENCE, agent.engine.disk_usage()).await {
                Ok(Ok(kinds)) => info.disk = kinds.into_iter().map(disk_usage).collect(),
                Err(_) => info.engine_problem = format!("the engine told no disk use within {PATIENCE:?}"),
                Ok(Err(failure)) => info.engine_problem = failure.what,
            }
        }
    }
    info
}

/// How busy the agent is.
pub(super) fn state(agent: &Inner) -> pb::StateResponse {
    let (running, waiting) = agent.admission.busy();
    let limits = agent.settings.limits;
    pb::StateResponse {
        name: agent.settings.name.clone(),
        instance: agent.instance.clone(),
        running: count(running),
        waiting: count(waiting),
        max_builds: count(limits.running),
        max_queue: count(limits.waiting),
        draining: agent.draining.is_cancelled(),
        engine_ready: matches!(agent.engine.state(), State::Ready(_)),
        // It depends on who asks.
        makes_room: false,
    }
}

fn disk_usage((kind, used): (&str, crate::engine::Used)) -> pb::DiskUsage {
    let crate::engine::Used { count, bytes, reclaimable_bytes } = used;
    pb::DiskUsage { kind: kind.to_owned(), count, bytes, reclaimable_bytes }
}
