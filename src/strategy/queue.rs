//! Which build is next: those that wait for a place, fairly between callers, and between the projects of each.

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
    /// As many wait as may, and nobody makes room: it is not taken.
    Full,
}

/// The builds that run, and those that wait. Callers take turns, for they name their projects as they like; within one,
/// projects do; within one of those, who comes first is first.
#[derive(Debug, Clone)]
pub struct Queue {
    limits: Limits,
    running: BTreeSet<Ticket>,
    callers: Turns<Projects>,
}

/// Who takes turns, by names. The next one is the first; none is without a build.
type Turns<T> = VecDeque<(String, T)>;
/// Of one caller.
type Projects = Turns<VecDeque<Ticket>>;

impl Queue {
    /// Nobody is there.
    pub fn new(limits: Limits) -> Self {
        Self { limits, running: BTreeSet::new(), callers: VecDeque::new() }
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
        self.callers.iter().map(|(_, projects)| waiting(projects)).sum()
    }

    /// Whether this build runs. One that was taken in, and neither runs nor waits any more, has made room for another.
    pub fn runs(&self, ticket: Ticket) -> bool {
        self.running.contains(&ticket)
    }

    /// Takes in a build of this caller, empty where nobody knows who it is, for this project. Where as many wait as may,
    /// the newest of whoever has many waiting makes room for one who has few.
    pub fn enter(&mut self, ticket: Ticket, caller: &str, project: &str) -> Entry {
        if self.has_place() {
            // Nobody waits while there is one.
            self.running.insert(ticket);
            return Entry::Runs;
        }
        if self.waiting() >= self.limits.waiting {
            let Some(newest) = self.too_many(caller, project) else { return Entry::Full };
            self.leave(newest);
        }
        turn_of(turn_of(&mut self.callers, caller), project).push_back(ticket);
        Entry::Waits
    }

    /// Lets a build go, whether it ran or waited. One that is not known changes nothing.
    pub fn leave(&mut self, ticket: Ticket) {
        if self.running.remove(&ticket) {
            while self.has_place() && self.start_next() {}
            return;
        }
        for (_, projects) in &mut self.callers {
            for (_, tickets) in &mut *projects {
                tickets.retain(|waiting| *waiting != ticket);
            }
            projects.retain(|(_, tickets)| !tickets.is_empty());
        }
        self.callers.retain(|(_, projects)| !projects.is_empty());
    }

    /// How many builds begin before this one, as things are; `None` for one that does not wait.
    pub fn ahead(&self, ticket: Ticket) -> Option<usize> {
        let mut callers = self.callers.clone();
        std::iter::from_fn(|| next(&mut callers)).position(|other| other == ticket)
    }

    /// Who makes room for a build of this caller and project, if the queue is full: the newest build of the caller who
    /// has the most, where that is at least two more than this one has; else the same of this caller's own projects.
    pub fn too_many(&self, caller: &str, project: &str) -> Option<Ticket> {
        let own = || {
            let (_, projects) = self.callers.iter().find(|(name, _)| name == caller)?;
            crowding(projects, VecDeque::len, project)
        };
        let theirs = crowding(&self.callers, waiting, caller).and_then(|projects| largest(projects, VecDeque::len));
        theirs.or_else(own)?.back().copied()
    }

    fn has_place(&self) -> bool {
        self.limits.running == 0 || self.running.len() < self.limits.running
    }

    fn start_next(&mut self) -> bool {
        let next = next(&mut self.callers);
        self.running.extend(next);
        next.is_some()
    }
}

/// What is taken in turns by this name, from now on.
fn turn_of<'t, T: Default>(turns: &'t mut Turns<T>, name: &str) -> &'t mut T {
    let place = turns.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        turns.push_back((name.to_owned(), T::default()));
        turns.len() - 1
    });
    &mut turns[place].1
}

fn waiting(projects: &Projects) -> usize {
    projects.iter().map(|(_, tickets)| tickets.len()).sum()
}

/// What the name that has the most takes in turns.
fn largest<T>(turns: &Turns<T>, number: impl Fn(&T) -> usize) -> Option<&T> {
    turns.iter().map(|(_, of)| of).max_by_key(|of| number(of))
}

/// The same, where it has at least two more than this name: with one more, the two would take each other's place for ever.
fn crowding<'t, T>(turns: &'t Turns<T>, number: impl Fn(&T) -> usize, beside: &str) -> Option<&'t T> {
    let own = turns.iter().find(|(name, _)| name == beside).map_or(0, |(_, of)| number(of));
    largest(turns, &number).filter(|most| number(most) >= own + 2)
}

/// Takes out the build that is next. Whose it is has the next turn last.
fn next(callers: &mut Turns<Projects>) -> Option<Ticket> {
    let (caller, mut projects) = callers.pop_front()?;
    let (project, mut tickets) = projects.pop_front()?;
    let next = tickets.pop_front();
    if !tickets.is_empty() {
        projects.push_back((project, tickets));
    }
    if !projects.is_empty() {
        callers.push_back((caller, projects));
    }
    next
}

#[cfg(test)]
mod tests;
