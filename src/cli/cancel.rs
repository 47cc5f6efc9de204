//! `remora cancel`.

use super::{
    args::{Cancel, Connection},
    exit::Failures,
    pool::{self, Member},
    text, usage,
};
use crate::{
    model::{CancelRequest, Failure, FailureKind, SessionId},
    pb, wire,
};

/// Ends each of these builds; the ids of those that ended go to standard output.
pub(super) async fn cancel(connection: &Connection, args: Cancel) -> Result<(), Failure> {
    let mut members = pool::all(connection).await?;
    let by = caller();
    let mut failures = Failures::default();
    for build in args.builds {
        match cancel_one(&mut members, &CancelRequest { build, by: by.clone() }).await {
            Ok(id) => text::data(&id),
            // One that has just ended keeps no other alive.
            Err(failure) => failures.add(None, failure),
        }
    }
    failures.end()
}

/// Ends the build where it runs. A whole id is one build's, and tried at each agent; of a short one each is asked what it
/// has, so that it means one build of all.
async fn cancel_one(members: &mut [Member], request: &CancelRequest) -> Result<String, Failure> {
    let mut failed: Option<Failure> = None;
    let mut worse = |status| {
        let failure = wire::from_status(&status);
        if failed.as_ref().is_none_or(|earlier| earlier.kind == FailureKind::NotFound) {
            failed = Some(failure);
        }
    };
    let mut places: Vec<usize> = (0..members.len()).collect();
    if members.len() > 1 && SessionId::parse(&request.build).is_none() {
        let mut holders = Vec::new();
        for (place, member) in members.iter_mut().enumerate() {
            match member.agent.client.list_builds(pb::ListBuildsRequest {}).await {
                Ok(listed) => {
                    let mut builds = listed.into_inner().builds.into_iter();
                    holders.extend(builds.any(|build| build.id.starts_with(&request.build)).then_some(place));
                }
                Err(status) => worse(status),
            }
        }
        match holders.as_slice() {
            // Where nobody has it, the agents say so.
            [] => {}
            [_] => places = holders,
            _ => {
                let what = format!("builds of {} agents begin with '{}'", holders.len(), request.build);
                return Err(usage(what).next("give more of the id"));
            }
        }
    }
    for place in places {
        match members[place].agent.client.cancel(pb::CancelRequest::from(request.clone())).await {
            Ok(answer) => return Ok(answer.into_inner().build.unwrap_or_default().id),
            Err(status) => worse(status),
        }
    }
    Err(failed.unwrap_or_else(|| usage("there is no agent to ask")))
}

/// Who runs this, as user@host.
fn caller() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let system = rustix::system::uname();
    let name = format!("{user}@{}", system.nodename().to_string_lossy());
    name.chars().filter(|c| !c.is_control()).take(50).collect()
}
