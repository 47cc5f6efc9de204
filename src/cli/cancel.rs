//! `remora cancel`.

use super::{
    args::{Cancel, Connection},
    connect, text,
};
use crate::{
    model::{CancelRequest, Failure},
    pb, wire,
};

/// Ends each of these builds; the ids of those that ended go to standard output.
pub(super) async fn cancel(connection: &Connection, args: Cancel) -> Result<(), Failure> {
    let mut agent = connect::connect(connection).await?;
    let by = caller();
    let mut done = Ok(());
    for build in args.builds {
        let request = pb::CancelRequest::from(CancelRequest { build, by: by.clone() });
        match agent.client.cancel(request).await {
            Ok(answer) => text::data(&answer.into_inner().build.unwrap_or_default().id),
            // One that has just ended keeps no other alive.
            Err(status) => {
                if let Err(earlier) = std::mem::replace(&mut done, Err(wire::from_status(&status))) {
                    text::notice(&format!("error: {earlier}"));
                }
            }
        }
    }
    done
}

/// Who runs this, as user@host.
fn caller() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let system = rustix::system::uname();
    let name = format!("{user}@{}", system.nodename().to_string_lossy());
    name.chars().filter(|c| !c.is_control()).take(50).collect()
}
