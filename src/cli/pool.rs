//! Several agents behind one `--agent`: which of them takes a call.
//!
//! | module | what it does |
//! | --- | --- |
//! | `address` | `--agent` > names > addresses |
//! | `census` | who is there, and how busy each is |
//! | `choice` | who is best for a project. Pure |
//! | `route` | takes a build from agent to agent, until one does it |

mod address;
mod census;
mod choice;
mod route;

use std::time::Duration;

use address::Named;
use census::{Absent, Census};
pub(super) use route::Route;

use super::{
    args::Connection,
    connect::{self, Agent, Manner},
    text,
    wait::Wait,
};
use crate::model::{Failure, FailureKind};

/// An agent, with its name where there are several.
pub(super) struct Member {
    pub(super) name: Option<String>,
    pub(super) address: String,
    pub(super) agent: Agent,
}

impl Member {
    /// Says whose lines come now.
    pub(super) fn head(&self) {
        if let Some(name) = &self.name {
            text::data(&format!("# {name}"));
        }
    }
}

/// Whether this names more than one agent.
fn is_pool(named: &[Named]) -> bool {
    !matches!(named, [Named::One(_)])
}

/// Every agent that answers, as soon as one does. Those that do not are told; the sidecar may be missing.
pub(super) async fn all(connection: &Connection) -> Result<Vec<Member>, Failure> {
    let named = Named::list(&connection.agent)?;
    let mut wait = Wait::new(connection.wait);
    let tell = |why: String| text::notice(&why);
    if !is_pool(&named) {
        let agent = connect::connect(connection, &mut wait, tell).await?;
        return Ok(vec![Member { name: None, address: connection.agent.clone(), agent }]);
    }
    let manner = Manner::new(connection)?;
    loop {
        let census = Census::take(&named.iter().collect::<Vec<_>>(), &manner, "").await;
        if census.there.is_empty() {
            let why = nobody("answers", &census.absent, &[]);
            if census.absent.iter().all(|absent| !absent.may_pass) {
                return Err(why);
            }
            wait.pause(why, tell).await?;
            continue;
        }
        for absent in census.absent.iter().filter(|absent| !absent.address.starts_with("unix:")) {
            text::notice(&format!("warning: {}", absent.why));
        }
        // An engine that is not there is waited for where no other is.
        let some_ready = census.there.iter().any(|replica| replica.state.engine_ready);
        let member = |census::Replica { address, client, state }: census::Replica| {
            let wait = if some_ready && !state.engine_ready { Duration::ZERO } else { wait.left() };
            Member { name: Some(state.name), address, agent: Agent { client, wait } }
        };
        return Ok(census.there.into_iter().map(member).collect());
    }
}

/// Why nobody does it: each by its name.
fn nobody(does: &str, absent: &[Absent], others: &[String]) -> Failure {
    let told: Vec<_> = others.iter().cloned().chain(absent.iter().map(|absent| absent.why.what.clone())).collect();
    let what = format!("no agent of the pool {does}: {}", told.join("; "));
    match absent.iter().find(|absent| !absent.may_pass || absent.why.kind == FailureKind::Policy) {
        // A refused token is the same everywhere.
        Some(absent) if others.is_empty() => Failure::new(absent.why.kind, what).next(absent.why.next.clone()),
        _ => {
            let next = absent.iter().map(|absent| absent.why.next.as_str()).find(|next| !next.is_empty());
            Failure::new(FailureKind::Agent, what).next(
                next.unwrap_or(
                    "wait longer (--wait), or let the pool take more: more replicas, --max-builds, --max-queue",
                ),
            )
        }
    }
}
