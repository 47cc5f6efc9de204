//! Why something failed, in words for the person who reads the job's log.

use std::fmt;

/// A failure with two readers in mind: `what` and `next` are for a person, the cause chain goes to the agent's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Decides the exit code of the client and the gRPC status.
    pub kind: FailureKind,
    /// One line: what failed, and where.
    pub what: String,
    /// One line: what to do next. Empty where there is nothing to say.
    pub next: String,
    /// Name of the step that failed, as the engine shows it. Empty where no step did.
    pub step: String,
    /// The last lines of the failed step's output.
    pub log: Vec<String>,
    /// The lines of the Dockerfile that failed.
    pub excerpt: Option<Excerpt>,
}

/// What sort of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// A step or the Dockerfile.
    Build,
    /// The request or the configuration.
    Usage,
    /// The engine is not there, or went away.
    Engine,
    /// A registry did not take or give what was asked.
    Registry,
    /// Something that the agent was told to refuse.
    Policy,
    /// The image or the build that the request names is not here; another agent may have it.
    NotFound,
    /// The caller gave up.
    Cancelled,
    /// The agent is going away or cannot be reached.
    Agent,
    /// The connection to the agent broke in the middle of a call: it may have died of it.
    Lost,
    /// As many builds wait as the agent lets wait.
    Busy,
    /// A defect: something that has no name yet.
    Internal,
}

/// Some lines of a Dockerfile, with those at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// Name of the Dockerfile.
    pub file: String,
    /// Number of the first of `lines`, from 1.
    pub first_line: u32,
    /// The lines, without their ends.
    pub lines: Vec<String>,
    /// First line at fault, from 1.
    pub from_line: u32,
    /// Last line at fault, from 1, included.
    pub to_line: u32,
}

impl Failure {
    /// A failure of one line; `next` may follow with [`Failure::next`].
    pub fn new(kind: FailureKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), next: String::new(), step: String::new(), log: Vec::new(), excerpt: None }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}
