//! Runs the work of a call in a task of its own, and streams its events to the caller.

use std::pin::Pin;

use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tokio_util::task::TaskTracker;
use tonic::{Response, Status};
use tracing::Instrument as _;

use crate::{
    model::{Event, Failure, Report, Tally},
    pb, wire,
};

/// What the caller gets.
pub(super) type EventStream = Pin<Box<dyn Stream<Item = Result<pb::Event, Status>> + Send>>;

/// What becomes of the work when its caller is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnHangUp {
    /// It is dropped.
    Cancel,
    /// It goes on to its end.
    CarryOn,
}

/// Events that may wait for a slow caller. A full queue holds the engine's stream back.
const WAITING: usize = 64;

/// Starts `work`, tracked by `running`, and streams what it sends, and then its report or failure.
pub(super) fn stream<W, F>(running: &TaskTracker, on_hang_up: OnHangUp, work: W) -> Response<EventStream>
where
    W: FnOnce(mpsc::Sender<Event>) -> F + Send + 'static,
    F: Future<Output = Result<Report, Failure>> + Send + 'static,
{
    let (events, received) = mpsc::channel(WAITING);
    let (end, ended) = mpsc::channel(1);
    let task = async move {
        let caller_gone = end.clone();
        let work = work(events);
        tokio::pin!(work);
        let result = tokio::select! {
            result = &mut work => result,
            () = caller_gone.closed() => match on_hang_up {
                OnHangUp::Cancel => return tracing::info!("the caller is gone: cancelled"),
                OnHangUp::CarryOn => work.await,
            },
        };
        if let Err(failure) = &result {
            tracing::info!(kind = ?failure.kind, what = failure.what, "failed");
        }
        drop(end.send(result).await);
    };
    // What is logged of it says whose it is.
    running.spawn(task.in_current_span());
    let events = ReceiverStream::new(received).map(|event| Ok(wire::to_event(event)));
    let end = ReceiverStream::new(ended).map(|result| match result {
        Ok(report) => Ok(wire::to_event(Event::Done(report))),
        Err(failure) => Err(wire::to_status(failure)),
    });
    Response::new(Box::pin(events.chain(end)))
}

/// Shows events to `seen` and passes them on, and folds them into the tally that the handle gives once the sender is
/// dropped.
pub(super) fn tee(
    events: mpsc::Sender<Event>,
    seen: impl Fn(&Event) + Send + 'static,
) -> (mpsc::Sender<Event>, JoinHandle<Tally>) {
    let (sender, mut receiver) = mpsc::channel::<Event>(1);
    let tally = tokio::spawn(async move {
        let mut tally = Tally::default();
        while let Some(event) = receiver.recv().await {
            tally.add(&event);
            seen(&event);
            drop(events.send(event).await);
        }
        tally
    });
    (sender, tally)
}
