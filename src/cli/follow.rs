//! Follows a call's events to its end.

use std::{future::pending, time::Duration};

use futures_util::FutureExt as _;
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
    let done = events(call, progress).await;
    progress.finish();
    done
}

async fn events(
    call: impl Future<Output = Result<Response<Streaming<pb::Event>>, Status>>,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    let mut events = call.await.map_err(|status| wire::from_status(&status))?.into_inner();
    while let Some(event) = next(&mut events, progress).await.map_err(|status| wire::from_status(&status))? {
        match wire::from_event(event) {
            Some(Event::Done(report)) => return Ok(report),
            Some(event) => progress.show(event),
            None => {}
        }
    }
    Err(Failure::new(FailureKind::Lost, "the agent ended the call without a result").next("look at the agent's log"))
}

/// The next event. While none is there, what came so far is shown.
async fn next(events: &mut Streaming<pb::Event>, progress: &mut Progress) -> Result<Option<pb::Event>, Status> {
    if let Some(next) = events.message().now_or_never() {
        return next;
    }
    loop {
        progress.rest();
        tokio::select! {
            next = events.message() => return next,
            () = after(progress.every()) => {}
        }
    }
}

async fn after(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => pending().await,
    }
}
