//! `remora version`.

use super::{args::Connection, exit::Failures, pool, text};
use crate::{
    model::{Failure, REVISION},
    pb, wire,
};

/// What this is, and what it talks to.
pub(super) async fn version(connection: &Connection) -> Result<(), Failure> {
    let line = |key: &str, value: String| text::data(&format!("{key:<8} {value}"));
    line("client", format!("{} (API revision {REVISION})", env!("CARGO_PKG_VERSION")));
    let mut failures = Failures::default();
    for mut member in pool::all(connection).await? {
        member.head();
        let info = match member.agent.client.info(pb::InfoRequest {}).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                failures.add(member.name.as_deref(), wire::from_status(&status));
                continue;
            }
        };
        line("agent", format!("{} (API revision {})", info.agent_version, info.revision));
        let engine = info.engine.map(|engine| format!("{} {}", engine.kind, engine.version));
        line("engine", engine.unwrap_or_else(|| format!("not available: {}", info.engine_problem)));
    }
    failures.end()
}
