//! How many builds run at once: each gets a place, or waits for one.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    agent::{Inner, going_away},
    builds::Entry as Listed,
    prepare::gone,
};
use crate::{
    model::{BuildRequest, Event, Failure, FailureKind},
    strategy::queue::{Entry, Limits, Queue, Ticket},
};

/// Its place is told again after this time at the earliest.
const TELL: Duration = Duration::from_secs(5);

/// The places, and who waits for one.
pub(super) struct Admission {
    queue: Arc<watch::Sender<Queue>>,
    tickets: AtomicU64,
}

/// A place, or one in the queue. Dropped, it is somebody else's.
pub(super) struct Place {
    queue: Arc<watch::Sender<Queue>>,
    ticket: Ticket,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self { queue: Arc::new(watch::Sender::new(Queue::new(limits))), tickets: AtomicU64::default() }
    }

    /// How many builds run, and how many wait.
    pub(super) fn busy(&self) -> (usize, usize) {
        let queue = self.queue.borrow();
        (queue.running(), queue.waiting())
    }

    /// Whether a build that waits would make room for one of this caller's project, if the queue is full.
    pub(super) fn makes_room(&self, caller: &str, project: &str) -> bool {
        self.queue.borrow().too_many(caller, project).is_some()
    }

    /// A place for a build of this caller's project, now or later.
    fn enter(&self, caller: &str, project: &str) -> Result<Place, Failure> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let mut entry = Entry::Full;
        self.queue.send_modify(|queue| entry = queue.enter(ticket, caller, project));
        if entry == Entry::Full {
            return Err(full(self.queue.borrow().limits(), ""));
        }
        Ok(Place { queue: Arc::clone(&self.queue), ticket })
    }
}

impl Place {
    /// Returns when the build may begin, and tells what is before it until then. It fails where it has to make room.
    async fn ready(&self, listed: &Listed, events: &mpsc::Sender<Event>) -> Result<(), Failure> {
        let mut queue = self.queue.subscribe();
        let mut told: Option<(usize, Instant)> = None;
        loop {
            let seen = {
                let queue = queue.borrow_and_update();
                let ahead = queue.ahead(self.ticket);
                if ahead.is_none() && !queue.runs(self.ticket) {
                    return Err(full(queue.limits(), "; others have fewer that wait"));
                }
                ahead.map(|ahead| (ahead, queue.running()))
            };
            listed.waits(seen.map(|(ahead, _)| ahead));
            let Some((ahead, running)) = seen else { return Ok(()) };
            let news = told.is_none_or(|(told, _)| told != ahead);
            let due = told.map_or_else(Instant::now, |(_, at)| at + TELL);
            if news && due <= Instant::now() {
                told = Some((ahead, Instant::now()));
                drop(events.send(Event::Waiting { text: text(ahead, running) }).await);
                continue;
            }
            tokio::select! {
                // It lives as long as this place.
                _ = queue.changed() => {}
                () = async { if news { tokio::time::sleep_until(due).await } else { pending().await } } => {}
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.send_modify(|queue| queue.leave(self.ticket));
    }
}

fn full(limits: Limits, why: &str) -> Failure {
    let what = format!("the agent is full: {} builds run, and {} wait{why}", limits.running, limits.waiting);
    Failure::new(FailureKind::Busy, what)
        .next("try again later, or have the agent take more: --max-builds, --max-queue, or a pool of agents")
}

fn text(ahead: usize, running: usize) -> String {
    match ahead {
        0 => format!("waiting: next, when one of {running} running builds ends"),
        1 => "waiting: 1 build ahead".to_owned(),
        _ => format!("waiting: {ahead} builds ahead"),
    }
}

impl Inner {
    /// A place for this build; waits for one while the client is there and the agent stays.
    pub(super) async fn admit(
        &self,
        request: &BuildRequest,
        caller: &str,
        listed: &Listed,
        events: &mpsc::Sender<Event>,
    ) -> Result<Place, Failure> {
        let place = self.admission.enter(caller, &request.project())?;
        let session = async {
            let lent = self.sessions.find(&request.session).await?;
            lent.ended().await;
            Err::<(), _>(gone())
        };
        tokio::select! {
            biased;
            ready = place.ready(listed, events) => ready.map(|()| place),
            () = self.draining.cancelled() => Err(going_away()),
            Err(failure) = session => Err(failure),
        }
    }
}
