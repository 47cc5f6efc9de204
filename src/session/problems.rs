//! What the caller wants to know of a session afterwards: what went wrong on its own side, and how much was sent.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// More than this is not for reading.
const KEPT: usize = 16;

/// Something that kept the session from serving the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One line: what failed, with the path and the reason.
    pub what: String,
    /// One line: what to do next. Empty where there is nothing to say.
    pub next: String,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// The problems of one session, in the order in which they came up. Clones share one list.
///
/// The engine is told of them too, but passes them on late and wrapped in words of its own, or not at all.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    list: Arc<Mutex<Vec<Problem>>>,
    odd_name: Arc<OnceLock<Problem>>,
}

impl Problems {
    /// All problems so far; the first is the one that matters.
    pub fn list(&self) -> Vec<Problem> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it means if the engine turns out to refuse names that are not UTF-8: `None` where none was sent. Whether it
    /// does is to be seen in its own error, which names no file.
    pub fn odd_name(&self) -> Option<&Problem> {
        self.odd_name.get()
    }

    /// Keeps the first.
    pub(crate) fn add_odd_name(&self, problem: impl FnOnce() -> Problem) {
        self.odd_name.get_or_init(problem);
    }

    pub(crate) fn add(&self, problem: Problem) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < KEPT && !list.contains(&problem) {
            list.push(problem);
        }
    }
}

/// What was sent to the engine.
#[derive(Debug, Default)]
pub struct Counters {
    bytes: AtomicU64,
    files: AtomicU64,
}

impl Counters {
    /// Bytes of file content that the engine asked for and was sent.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Files whose content the engine asked for and was sent.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.files.fetch_add(1, Ordering::Relaxed);
    }
}
