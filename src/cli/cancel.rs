//! `remora cancel`.

use super::{
    args::{Cancel, Connection},
    pool::{self, Member},
    text, usage,
};
use crate::{
    model::{CancelRequest, Failure},
    pb, wire,
};

/// Ends each of these builds; the ids of those that ended go to standard output.
pub(super) async fn cancel(connection: &Connection, args: Cancel) -> Result<(), Failure> {
    let mut members = pool::all(connection).await?;
    let by = caller();
    let mut done = Ok(());
    for build in args.builds {
        match cancel_one(&mut members, CancelRequest { build, by: by.clone() }).await {
            Ok(id) => text::data(&id),
            // One that has just ended keeps no other alive.
            Err(failure) => {
                if let Err(earlier) = std::mem::replace(&mut done, Err(failure)) {
                    text::notice(&format!("error: {earlier}"));
                }
            }
        }
    }
    done
}

/// Ends the build where it runs. Of several agents each is asked what it has, so that a short id means one build of all.
async fn cancel_one(members: &mut [Member], request: CancelRequest) -> Result<String, Failure> {
    let failed = |status| wire::from_status(&status);
    let mut holders = Vec::new();
    if members.len() > 1 {
        for (place, member) in members.iter_mut().enumerate() {
            let listed = member.agent.client.list_builds(pb::ListBuildsRequest {}).await.map_err(failed)?;
            let mut builds = listed.into_inner().builds.into_iter();
            if builds.any(|build| build.id.starts_with(&request.build)) {
                holders.push(place);
            }
        }
    }
    if let [_, _, ..] = holders.as_slice() {
        let what = format!("builds of {} agents begin with '{}'", holders.len(), request.build);
        return Err(usage(what).next("give more of the id"));
    }
    // Where nobody has it, the first one says so.
    let member = &mut members[holders.first().copied().unwrap_or(0)];
    let answer = member.agent.client.cancel(pb::CancelRequest::from(request)).await.map_err(failed)?;
    Ok(answer.into_inner().build.unwrap_or_default().id)
}

/// Who runs this, as user@host.
fn caller() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let system = rustix::system::uname();
    let name = format!("{user}@{}", system.nodename().to_string_lossy());
    name.chars().filter(|c| !c.is_control()).take(50).collect()
}
