//! `BuildKit`'s Status stream > our events.

mod tail;

use std::collections::HashMap;

use bollard_buildkit_proto::{
    google::protobuf::Timestamp,
    moby::buildkit::v1::{StatusResponse, Vertex},
};
use tail::Tail;

use crate::model::{Event, StepId, without_credentials};

/// Bytes of a step's output that one event holds.
const LARGEST_LOG: usize = 64 << 10;

/// A step that ends again as it ended before is worth another line where it wrote something, or took this long, in
/// milliseconds.
const LONG_AGAIN: u64 = 500;

/// Numbers the steps, and remembers what a failure will need.
#[derive(Debug, Default)]
pub(super) struct Translator {
    steps: HashMap<String, Step>,
    started: StepId,
}

#[derive(Debug, Default)]
struct Step {
    id: StepId,
    name: String,
    running: bool,
    /// When the last completed run of this step had started: the engine may report one twice, or run it again.
    last_start: Option<Timestamp>,
    /// What was said of its end.
    said: Option<(bool, bool)>,
    /// Whether its present run wrote something.
    wrote: bool,
    failed: bool,
    tail: Tail,
}

/// `BuildKit` names so the step that looks at a cache ref.
const IMPORT: &str = "importing cache manifest from ";

impl Step {
    /// Whether a person saw it start. The look at a cache ref is none of theirs.
    fn shown(&self) -> bool {
        self.id != 0
    }
}

impl Translator {
    /// Numbers steps on from those that were shown before.
    pub(super) fn after(shown: StepId) -> Self {
        Self { started: shown, ..Self::default() }
    }

    /// How many steps were shown.
    pub(super) fn steps(&self) -> StepId {
        self.started
    }

    /// Adds the events that this message brings. Output goes on where the last event left it.
    pub(super) fn translate(&mut self, status: StatusResponse, events: &mut Vec<Event>) {
        tracing::trace!(?status, "status");
        // Logs and bytes may come in the same message as the end of their step: they go first.
        for vertex in &status.vertexes {
            if let Some(started) = vertex.started {
                self.start(vertex, started, events);
            }
        }
        for status in status.statuses {
            let Some(step) = self.steps.get(&status.vertex).filter(|step| step.shown()) else { continue };
            events.push(Event::StepProgress {
                step: step.id,
                what: status.id,
                current: status.current.try_into().unwrap_or(0),
                total: status.total.try_into().unwrap_or(0),
                done: status.completed.is_some(),
            });
        }
        for log in status.logs {
            let Some(step) = self.steps.get_mut(&log.vertex).filter(|step| step.shown()) else { continue };
            // A git source runs twice: to look, and to fetch. What writes once more is seen to run once more.
            if step.running && !std::mem::replace(&mut step.wrote, true) && step.said.is_some() {
                events.push(Event::StepStarted { step: step.id, name: step.name.clone() });
            }
            step.tail.push(&log.msg);
            let (id, from_stderr) = (step.id, log.stream == 2);
            // Most steps write a line at a time. An event for each would cost more than the line.
            match events.last_mut() {
                Some(Event::StepLog { step, stderr, data })
                    if *step == id && *stderr == from_stderr && data.len() + log.msg.len() <= LARGEST_LOG =>
                {
                    data.extend_from_slice(&log.msg);
                }
                _ => events.push(Event::StepLog { step: id, stderr: from_stderr, data: log.msg }),
            }
        }
        for warning in status.warnings {
            let text = String::from_utf8_lossy(&warning.short).into_owned();
            events.push(Event::Check { text, url: warning.url });
        }
        for vertex in &status.vertexes {
            match (vertex.started, vertex.completed) {
                (Some(started), Some(completed)) => self.complete(vertex, started, completed, events),
                // Its run before may have ended in this very message.
                (Some(started), None) => self.start(vertex, started, events),
                (None, _) => {}
            }
        }
    }

    fn start(&mut self, vertex: &Vertex, started: Timestamp, events: &mut Vec<Event>) {
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if step.running || step.last_start == Some(started) {
            return;
        }
        step.running = true;
        // The engine comes back to a step, to look for cache or to load what it found: a person saw it start once.
        if !step.shown() && !vertex.name.starts_with(IMPORT) {
            self.started += 1;
            step.id = self.started;
            step.name = without_credentials(&vertex.name).into_owned();
            events.push(Event::StepStarted { step: step.id, name: step.name.clone() });
        }
    }

    fn complete(&mut self, vertex: &Vertex, started: Timestamp, completed: Timestamp, events: &mut Vec<Event>) {
        let Some(step) = self.steps.get_mut(&vertex.digest) else { return };
        if !std::mem::take(&mut step.running) {
            return;
        }
        step.last_start = Some(started);
        if let Some(cache_ref) = vertex.name.strip_prefix(IMPORT) {
            // What was found is known by then, and what is read was said.
            if !vertex.error.is_empty() {
                events.push(Event::Notice { warning: false, text: import_notice(cache_ref, &vertex.error) });
            }
            return;
        }
        step.failed = !vertex.error.is_empty();
        let wrote = std::mem::take(&mut step.wrote);
        // What came from the cache is loaded when something needs it, and then reported again, bare: not as a new run.
        if !step.failed && !wrote && step.said == Some((true, false)) && vertex.inputs.is_empty() {
            return;
        }
        if !step.failed {
            step.tail = Tail::default();
        }
        let elapsed_ms = elapsed_ms(started, completed);
        let say = Some((vertex.cached, step.failed));
        if wrote || step.said != say || elapsed_ms >= LONG_AGAIN {
            step.said = say;
            let error = step.failed.then(|| without_credentials(&vertex.error).into_owned());
            events.push(Event::StepDone { step: step.id, cached: vertex.cached, error, elapsed_ms });
        }
    }

    /// Name and last lines of a step: that with this digest, else the first that failed.
    pub(super) fn failed_step(&self, digest: Option<&str>) -> Option<(&str, Vec<String>)> {
        let by_digest = digest.and_then(|digest| self.steps.get(digest)).filter(|step| step.failed);
        let failed = || self.steps.values().filter(|step| step.failed).min_by_key(|step| step.id);
        let step = by_digest.or_else(failed)?;
        Some((&step.name, step.tail.lines()))
    }
}

pub(super) fn elapsed_ms(from: Timestamp, to: Timestamp) -> u64 {
    let millis = |t: Timestamp| t.seconds.saturating_mul(1000).saturating_add(i64::from(t.nanos) / 1_000_000);
    millis(to).saturating_sub(millis(from)).try_into().unwrap_or(0)
}

fn import_notice(cache_ref: &str, error: &str) -> String {
    if error.contains("not found") {
        return format!("cache: {cache_ref} does not exist yet");
    }
    let reason = error.rsplit_once(&format!("{cache_ref}: ")).map_or(error, |(_, reason)| reason);
    format!("cache: {cache_ref} cannot be used: {reason}")
}
