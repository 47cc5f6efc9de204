//! Follows a call's events to its end.

use tonic::{Response, Status, Streaming};

use super::progress::Progress;
use crate::{
    model::{Event, Failure, FailureKind, Report},
    pb, wire,
};

/// Shows what happens until the call is done.
pub(super) async fn follow(
    call: impl Future<Output = Result<Response<Streaming<pb::Event>>, Status>>,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    let mut events = call.await.map_err(|status| wire::from_status(&status))?.into_inner();
    while let Some(event) = events.message().await.map_err(|status| wire::from_status(&status))? {
        match wire::from_event(event) {
            Some(Event::Done(report)) => return Ok(report),
            Some(event) => progress.show(event),
            None => {}
        }
    }
    Err(Failure::new(FailureKind::Agent, "the agent ended the call without a result").next("look at the agent's log"))
}
