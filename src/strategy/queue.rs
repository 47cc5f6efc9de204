//! Which build is next: those that wait for a place, fairly between projects.

use std::collections::{BTreeSet, VecDeque};

/// How many builds there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At once; 0 is without limit.
    pub running: usize,
    /// Waiting.
    pub waiting: usize,
}

/// A build. Each has a number of its own.
pub type Ticket = u64;

/// What becomes of a build that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It has a place.
    Runs,
    /// It waits for one.
    Waits,
    /// As many wait as may: it is not taken.
    Full,
}

/// The builds that run, and those that wait. Projects take turns; within one, who comes first is first.
#[derive(Debug, Clone)]
pub struct Queue {
    limits: Limits,
    running: BTreeSet<Ticket>,
    /// The next project is the first. None is without a build.
    turns: VecDeque<(String, VecDeque<Ticket>)>,
}

impl Queue {
    /// Nobody is there.
    pub fn new(limits: Limits) -> Self {
        Self { limits, running: BTreeSet::new(), turns: VecDeque::new() }
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many builds run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// How many builds wait.
    pub fn waiting(&self) -> usize {
        self.turns.iter().map(|(_, tickets)| tickets.len()).sum()
    }

    /// Takes in a build of this project.
    pub fn enter(&mut self, ticket: Ticket, project: &str) -> Entry {
        if self.has_place() {
            // Nobody waits while there is one.
            self.running.insert(ticket);
            return Entry::Runs;
        }
        if self.waiting() >= self.limits.waiting {
            return Entry::Full;
        }
        match self.turns.iter_mut().find(|(known, _)| known == project) {
            Some((_, tickets)) => tickets.push_back(ticket),
            None => self.turns.push_back((project.to_owned(), [ticket].into())),
        }
        Entry::Waits
    }

    /// Lets a build go, whether it ran or waited. One that is not known changes nothing.
    pub fn leave(&mut self, ticket: Ticket) {
        if self.running.remove(&ticket) {
            while self.has_place() && self.start_next() {}
            return;
        }
        for (_, tickets) in &mut self.turns {
            tickets.retain(|waiting| *waiting != ticket);
        }
        self.turns.retain(|(_, tickets)| !tickets.is_empty());
    }

    /// How many builds begin before this one, as things are; `None` for one that does not wait.
    pub fn ahead(&self, ticket: Ticket) -> Option<usize> {
        let place = |tickets: &VecDeque<Ticket>| tickets.iter().position(|waiting| *waiting == ticket);
        let (turn, round) =
            self.turns.iter().enumerate().find_map(|(turn, (_, tickets))| Some((turn, place(tickets)?)))?;
        let before = self.turns.iter().enumerate().map(|(other, (_, tickets))| match other.cmp(&turn) {
            std::cmp::Ordering::Less => tickets.len().min(round + 1),
            std::cmp::Ordering::Equal => round,
            std::cmp::Ordering::Greater => tickets.len().min(round),
        });
        Some(before.sum())
    }

    fn has_place(&self) -> bool {
        self.limits.running == 0 || self.running.len() < self.limits.running
    }

    fn start_next(&mut self) -> bool {
        let Some((project, mut tickets)) = self.turns.pop_front() else { return false };
        self.running.extend(tickets.pop_front());
        if !tickets.is_empty() {
            self.turns.push_back((project, tickets));
        }
        true
    }
}

#[cfg(test)]
mod tests;
