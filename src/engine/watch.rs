//! What happens in a solve, for those who want to know: its caller, and those who work beside it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bollard_buildkit_proto::moby::buildkit::v1::{StatusRequest, StatusResponse, control_client::ControlClient};
use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{Solver, dial::LARGEST_MESSAGE, raw, seen, status::Translator};
use crate::model::{BuildRequest, Event, Seen, StepId};

/// How long the engine may be silent before its last events, once the build itself has ended.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// How long what a step writes may wait for what it writes next. Most steps write a line at a time: to wake everybody
/// between here and the terminal for each takes the time of the step itself.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes of output that wait at most.
const GATHERED: usize = 256 << 10;

/// What is seen of one solve.
#[derive(Default)]
pub struct View {
    translator: Mutex<Translator>,
    seen: watch::Sender<Seen>,
    /// Cancelled when nothing more is watched.
    watched: CancellationToken,
    /// Whether `BuildKit`'s own status is told, instead of what steps write.
    raw: bool,
}

impl Solver {
    /// Passes on what happens in a solve until the engine says that it was all, or is silent after it is over.
    pub async fn watch(&self, id: &str, view: &View, events: &mpsc::Sender<Event>, over: &CancellationToken) {
        let _watched = view.watched.clone().drop_guard();
        let silence = || async {
            over.cancelled().await;
            sleep(LAST_EVENTS).await;
        };
        let mut control = ControlClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        let call = control.status(StatusRequest { r#ref: id.to_owned() });
        let called = tokio::select! { called = call => called, () = silence() => return };
        // Where there is nothing to see, the solve tells why.
        let Ok(mut statuses) = called.map(tonic::Response::into_inner) else { return };
        loop {
            let next = tokio::select! { next = statuses.message() => next, () = silence() => return };
            let Ok(Some(status)) = next else { return };
            let mut told = Vec::new();
            let mut gathered = view.take(status, &mut told);
            let mut ended = false;
            if gathered > 0 {
                sleep(GATHER).await;
                while gathered < GATHERED
                    && let Some(next) = statuses.message().now_or_never()
                {
                    let Ok(Some(status)) = next else {
                        ended = true;
                        break;
                    };
                    gathered += view.take(status, &mut told);
                }
            }
            for event in told {
                // Even where nobody listens, a failure will want to know the step.
                drop(events.send(event).await);
            }
            if ended {
                return;
            }
        }
    }
}

impl View {
    /// Of a solve whose status is told as the request has it.
    pub fn of(request: &BuildRequest) -> Self {
        Self { raw: request.raw_status, ..Self::default() }
    }

    /// Of a further solve, whose steps are numbered on from those that were shown of this one.
    #[must_use]
    pub fn further(&self, request: &BuildRequest) -> Self {
        Self { translator: Mutex::new(Translator::after(self.steps())), ..Self::of(request) }
    }

    /// Adds what this message tells. How many bytes of output are in it.
    fn take(&self, status: StatusResponse, told: &mut Vec<Event>) -> usize {
        self.seen.send_if_modified(|known| seen::see(known, &status));
        let written = status.logs.iter().map(|log| log.msg.len()).sum();
        if self.raw {
            told.push(Event::Status { json: raw::json(&status) });
        }
        self.translator().translate(status, told);
        if self.raw {
            told.retain(|event| !matches!(event, Event::StepLog { .. }));
        }
        written
    }

    pub(super) fn translator(&self) -> MutexGuard<'_, Translator> {
        self.translator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many steps were shown so far.
    pub fn steps(&self) -> StepId {
        self.translator().steps()
    }

    /// What is seen of the operations, as it comes.
    pub fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Returns when all was seen of a solve that is over: the engine may speak of the last steps after it has answered.
    pub async fn all_seen(&self) {
        drop(tokio::time::timeout(LAST_EVENTS, self.watched.cancelled()).await);
    }
}
