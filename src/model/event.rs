//! What happens during a call: the one interface between the work and its display.

use super::Report;

/// Number of a step, from 1, in the order in which steps start.
pub type StepId = u32;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something a person should know: why it waits, a warning, a retry.
    Notice {
        /// Whether it is a warning.
        warning: bool,
        /// One line.
        text: String,
    },
    /// The build waits for a place in the agent. It is told again when that changes.
    Waiting {
        /// One line.
        text: String,
    },
    /// The engine's check of the Dockerfile found something. It may be told more than once.
    Check {
        /// One line.
        text: String,
        /// Where it is explained; may be empty.
        url: String,
    },
    /// What `BuildKit` says, where the request asks for that.
    Status {
        /// One JSON text without a line's end.
        json: Vec<u8>,
    },
    /// The engine takes the build.
    Accepted {
        /// Id of the build, as `remora info` lists it.
        build_id: String,
    },
    /// A step begins, or begins anew: the engine may run one more than once.
    StepStarted {
        /// Its number.
        step: StepId,
        /// Its name, such as `[builder 2/5] RUN make`.
        name: String,
    },
    /// A piece of a step's output, as it was written.
    StepLog {
        /// The step.
        step: StepId,
        /// Whether it came from standard error.
        stderr: bool,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Bytes or items that a step has moved.
    StepProgress {
        /// The step.
        step: StepId,
        /// What moves, such as `transferring context` or a layer's digest.
        what: String,
        /// Done so far.
        current: u64,
        /// Of how many; 0 where it is not known.
        total: u64,
        /// Whether it is complete.
        done: bool,
    },
    /// A step ends.
    StepDone {
        /// The step.
        step: StepId,
        /// Whether it came from the cache.
        cached: bool,
        /// Why it failed.
        error: Option<String>,
        /// How long it took, in milliseconds.
        elapsed_ms: u64,
    },
    /// A push moves on.
    PushProgress {
        /// What is pushed.
        reference: String,
        /// Short digest of the layer.
        layer: String,
        /// `Pushing`, `Pushed`, `Layer already exists` ...
        state: String,
        /// Bytes so far.
        current: u64,
        /// Of how many; 0 where it is not known.
        total: u64,
    },
    /// A tag is in its registry.
    Pushed {
        /// The tag.
        reference: String,
        /// Digest of its manifest.
        digest: String,
    },
    /// A prune freed, or would free, something.
    Freed {
        /// `images` or `build cache`.
        kind: String,
        /// How many records.
        count: u64,
        /// How many bytes.
        bytes: u64,
        /// Whether it only would.
        dry_run: bool,
        /// Whether the bytes are the most that it can be.
        at_most: bool,
    },
    /// The last event of a call that worked.
    Done(Report),
}
