//! What the engine holds on its disk.

use std::time::{SystemTime, UNIX_EPOCH};

use super::agent::Inner;
use crate::model::{DiskUsage, DiskUsageRequest, Failure};

pub(super) async fn disk_usage(agent: &Inner, request: &DiskUsageRequest) -> Result<DiskUsage, Failure> {
    agent.engine.wait(request.wait).await?;
    let held = agent.engine.while_it_answers(agent.engine.held()).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(DiskUsage::of(held, request, i64::try_from(now).unwrap_or(i64::MAX)))
}
