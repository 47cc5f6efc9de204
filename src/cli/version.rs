//! `remora version`.

use super::{args::Connection, pool, text};
use crate::{
    model::{Failure, REVISION},
    pb, wire,
};

/// What this is, and what it talks to.
pub(super) async fn version(connection: &Connection) -> Result<(), Failure> {
    let line = |key: &str, value: String| text::data(&format!("{key:<8} {value}"));
    line("client", format!("{} (API revision {REVISION})", env!("CARGO_PKG_VERSION")));
    for mut member in pool::all(connection).await? {
        member.head();
        let answer = member.agent.client.info(pb::InfoRequest {}).await.map_err(|status| wire::from_status(&status))?;
        let info = answer.into_inner();
        line("agent", format!("{} (API revision {})", info.agent_version, info.revision));
        let engine = info.engine.map(|engine| format!("{} {}", engine.kind, engine.version));
        line("engine", engine.unwrap_or_else(|| format!("not available: {}", info.engine_problem)));
    }
    Ok(())
}
