//! `remora prune`.

use std::time::Duration;

use super::{
    args::{Connection, Prune},
    connect::Agent,
    exit::Failures,
    follow, pool,
    progress::Progress,
};
use crate::model::{Failure, PruneRequest};

pub(super) async fn prune(connection: &Connection, args: Prune) -> Result<(), Failure> {
    let mut failures = Failures::default();
    for member in pool::all(connection).await? {
        member.head();
        if let Err(failure) = prune_one(member.agent, &args).await {
            failures.add(member.name.as_deref(), failure);
        }
    }
    failures.end()
}

async fn prune_one(mut agent: Agent, args: &Prune) -> Result<(), Failure> {
    let request = PruneRequest {
        all: args.all,
        // Each filter narrows it down.
        unused_for: args.filter.iter().copied().max().unwrap_or(Duration::ZERO),
        keep_bytes: args.keep_bytes.unwrap_or(0),
        dry_run: args.dry_run,
        wait: agent.wait,
    };
    let call = agent.client.prune(crate::pb::PruneRequest::from(request));
    follow::follow(call, &mut Progress::by_itself(false)).await?;
    Ok(())
}
