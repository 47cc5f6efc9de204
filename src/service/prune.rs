//! Frees disk space.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::agent::Inner;
use crate::model::{EngineKind, Event, Failure, PruneRequest, Report};

pub(super) async fn prune(
    agent: Arc<Inner>,
    request: PruneRequest,
    events: mpsc::Sender<Event>,
) -> Result<Report, Failure> {
    let since = std::time::Instant::now();
    let capabilities = agent.engine_within(request.wait, &events).await?;
    // Images first: what they held of the build cache is free to go then.
    if capabilities.kind == EngineKind::Dockerd {
        let freed = agent.engine.prune_images(&request).await?;
        tell(&events, "images", freed, request.dry_run).await;
    }
    let freed = agent.engine.prune_cache(&request).await?;
    tell(&events, "build cache", freed, request.dry_run).await;
    let elapsed_ms = since.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    Ok(Report { elapsed_ms, ..Report::default() })
}

async fn tell(events: &mpsc::Sender<Event>, kind: &str, freed: crate::engine::Freed, dry_run: bool) {
    let freed =
        Event::Freed { kind: kind.to_owned(), count: freed.count, bytes: freed.bytes, dry_run, at_most: freed.at_most };
    // Nobody may be listening any more: the prune goes on.
    drop(events.send(freed).await);
}
