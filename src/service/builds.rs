//! The builds that run or wait: their list, and how one of them is ended from outside.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio_util::sync::CancellationToken;

use crate::{
    model::{CancelRequest, Event, Failure, FailureKind, Reference, StepId},
    pb,
};

#[derive(Clone, Default)]
pub(super) struct Builds {
    running: Arc<Mutex<BTreeMap<String, Running>>>,
}

struct Running {
    tags: Vec<String>,
    since: Instant,
    /// What runs now. Steps are numbered in the order in which they start.
    steps: BTreeMap<StepId, String>,
    /// Where it waits: how many begin before it.
    ahead: Option<usize>,
    /// Who ended it, first.
    ended_by: Option<String>,
    end: CancellationToken,
    gone: CancellationToken,
}

/// Takes its build off the list when it is dropped.
pub(super) struct Entry {
    builds: Builds,
    id: String,
    end: CancellationToken,
}

/// The most builds that a message names.
const NAMED: usize = 5;

impl Builds {
    pub(super) fn enter(&self, id: &str, tags: &[Reference]) -> Entry {
        let end = CancellationToken::new();
        let running = Running {
            tags: tags.iter().map(Reference::to_string).collect(),
            since: Instant::now(),
            steps: BTreeMap::new(),
            ahead: None,
            ended_by: None,
            end: end.clone(),
            gone: CancellationToken::new(),
        };
        self.lock().insert(id.to_owned(), running);
        Entry { builds: self.clone(), id: id.to_owned(), end }
    }

    /// Oldest first.
    pub(super) fn list(&self) -> Vec<pb::RunningBuild> {
        let running = self.lock();
        let mut builds: Vec<_> = running.iter().collect();
        builds.sort_by_key(|(_, running)| running.since);
        builds.into_iter().map(|(id, running)| running.told(id)).collect()
    }

    /// Ends the one build that is meant, and returns once it is gone.
    pub(super) async fn cancel(&self, request: &CancelRequest) -> Result<pb::RunningBuild, Failure> {
        let (build, gone) = {
            let mut builds = self.lock();
            let id = meant(&builds, &request.build)?;
            let Some(running) = builds.get_mut(&id) else { return Err(unknown(&request.build)) };
            running.ended_by.get_or_insert_with(|| request.by.clone());
            running.end.cancel();
            (running.told(&id), running.gone.clone())
        };
        tracing::info!(build = build.id, by = request.by, "cancelled");
        gone.cancelled().await;
        Ok(build)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        // The map is whole after every statement: a panic elsewhere does not spoil it.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn told(&self, id: &str) -> pb::RunningBuild {
        pb::RunningBuild {
            id: id.to_owned(),
            tags: self.tags.clone(),
            running_ms: self.since.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
            steps: self.steps.values().cloned().collect(),
            waiting: self.ahead.is_some(),
            ahead: count(self.ahead.unwrap_or_default()),
        }
    }
}

/// As it goes over the wire.
pub(super) fn count(number: usize) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

/// The id that is this, or that alone begins so.
fn meant(builds: &BTreeMap<String, Running>, text: &str) -> Result<String, Failure> {
    if builds.contains_key(text) {
        return Ok(text.to_owned());
    }
    let found: Vec<&str> = builds.keys().map(String::as_str).filter(|id| id.starts_with(text)).collect();
    match found.as_slice() {
        [] => Err(unknown(text)),
        [id] => Ok((*id).to_owned()),
        several => {
            let and_more = if several.len() > NAMED { " ..." } else { "" };
            let names = several[..several.len().min(NAMED)].join(", ");
            let what = format!("{} running builds begin with '{text}': {names}{and_more}", several.len());
            Err(Failure::new(FailureKind::Usage, what).next("give more of the id"))
        }
    }
}

fn unknown(text: &str) -> Failure {
    Failure::new(FailureKind::NotFound, format!("no build that runs here has an id that begins with '{text}'"))
        .next("see which ones run: remora ps")
}

impl Entry {
    /// Returns when somebody ends the build, with what its caller is to be told.
    pub(super) async fn cancelled(&self) -> Failure {
        self.end.cancelled().await;
        let by = self.builds.lock().get(&self.id).and_then(|running| running.ended_by.clone()).unwrap_or_default();
        Failure::new(FailureKind::Cancelled, format!("cancelled by {by} (remora cancel)"))
    }

    /// Notes where it waits: how many begin before it, or that it does not.
    pub(super) fn waits(&self, ahead: Option<usize>) {
        if let Some(running) = self.builds.lock().get_mut(&self.id) {
            running.ahead = ahead;
        }
    }

    /// What keeps the list of its running steps.
    pub(super) fn watcher(&self) -> impl Fn(&Event) + Send + use<> {
        let (builds, id) = (self.builds.clone(), self.id.clone());
        move |event| match event {
            Event::StepStarted { step, name } => {
                if let Some(running) = builds.lock().get_mut(&id) {
                    running.steps.insert(*step, name.clone());
                }
            }
            Event::StepDone { step, .. } => {
                if let Some(running) = builds.lock().get_mut(&id) {
                    running.steps.remove(step);
                }
            }
            _ => {}
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(running) = self.builds.lock().remove(&self.id) {
            running.gone.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cancel(build: &str) -> CancelRequest {
        CancelRequest { build: build.to_owned(), by: "alice@host".to_owned() }
    }

    #[tokio::test]
    async fn the_one_build_that_is_meant_is_ended() {
        let builds = Builds::default();
        let (doomed, other) = (builds.enter("ab1", &[]), builds.enter("ab2", &[]));
        let unknown = (FailureKind::NotFound, "no build");
        for (text, (kind, word)) in
            [("ab", (FailureKind::Usage, "2 running builds")), ("ab12", unknown), ("b", unknown)]
        {
            let refused = builds.cancel(&cancel(text)).await.unwrap_err();
            assert_eq!(refused.kind, kind);
            assert!(refused.what.contains(word), "{text}: {refused}");
        }
        let build = async {
            let failure = doomed.cancelled().await;
            drop(doomed);
            failure
        };
        let request = cancel("ab1");
        let (failure, told) = tokio::join!(build, builds.cancel(&request));
        assert_eq!((failure.kind, told.unwrap().id.as_str()), (FailureKind::Cancelled, "ab1"));
        assert!(failure.what.contains("alice@host"), "{failure}");
        assert!(!other.end.is_cancelled());
        assert_eq!(builds.list().iter().map(|build| build.id.as_str()).collect::<Vec<_>>(), ["ab2"]);
    }

    #[test]
    fn the_list_has_the_steps_that_run() {
        let builds = Builds::default();
        let entry = builds.enter("a", &[]);
        let see = entry.watcher();
        let start = |step, name: &str| see(&Event::StepStarted { step, name: name.to_owned() });
        start(1, "one");
        start(2, "two");
        see(&Event::StepDone { step: 1, cached: false, error: None, elapsed_ms: 1 });
        assert_eq!(builds.list()[0].steps, ["two"]);
        drop(entry);
        start(3, "three");
        assert_eq!(builds.list(), []);
    }
}
