//! Which replica a project's builds go to. Pure.
//!
//! Rendezvous hashing: of all replicas the one whose name and the project's give the greatest number is the project's
//! home. All clients agree on it without talking to each other, and a replica that comes or goes moves only its own
//! projects. The load is bounded (as in "Consistent Hashing with Bounded Loads", <https://arxiv.org/abs/1608.01350>): one
//! that has more than its share passes a build to the next.

use sha2::{Digest as _, Sha256};

use crate::pb::StateResponse as State;

/// How many times the mean a replica may have to do before builds that would wait there go on to the next. Less would
/// even out better, and build cold what is warm at home: with 5/4 one build of five met a cold engine in `benches/pool.sh`.
const BOUND: u64 = 2;

/// How willing a replica is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Fit {
    /// It has a place, or no more to do than its share.
    Good,
    /// The build would wait there, and less elsewhere.
    Busy,
    /// As many builds wait as may, and one of them makes room.
    Crowded,
    /// As many builds wait as may.
    Full,
    /// Its engine does not answer.
    NoEngine,
    /// It is shutting down.
    Draining,
}

impl Fit {
    /// What is said of it.
    pub(in crate::cli) fn why(self) -> &'static str {
        match self {
            Self::Good => "has a place",
            Self::Busy => "is busy",
            Self::Crowded => "is full of others' builds",
            Self::Full => "is full",
            Self::NoEngine => "waits for its engine",
            Self::Draining => "is shutting down",
        }
    }
}

/// The replicas by their place in `states`, the best for this project first.
pub(in crate::cli) fn order(project: &str, states: &[State]) -> Vec<(usize, Fit)> {
    let share = share(states);
    let mut order: Vec<_> = states.iter().enumerate().map(|(place, state)| (place, fit(state, share))).collect();
    order.sort_by_key(|(place, fit)| (*fit, std::cmp::Reverse(weight(project, &states[*place].name))));
    order
}

/// The place of the project's home, wherever its builds can go now.
pub(in crate::cli) fn home(project: &str, states: &[State]) -> Option<usize> {
    (0..states.len()).max_by_key(|place| weight(project, &states[*place].name))
}

fn weight(project: &str, name: &str) -> [u8; 32] {
    Sha256::new().chain_update(name).chain_update([0]).chain_update(project).finalize().into()
}

fn load(state: &State) -> u64 {
    u64::from(state.running) + u64::from(state.waiting)
}

/// How much a replica may have to do before one more, of all that take work.
fn share(states: &[State]) -> u64 {
    let taking: Vec<_> = states.iter().filter(|state| !state.draining && state.engine_ready).collect();
    let all: u64 = taking.iter().map(|state| load(state)).sum::<u64>() + 1;
    (all * BOUND).div_ceil((taking.len() as u64).max(1))
}

fn fit(state: &State, share: u64) -> Fit {
    let has_place = state.max_builds == 0 || state.running < state.max_builds;
    match state {
        State { draining: true, .. } => Fit::Draining,
        State { engine_ready: false, .. } => Fit::NoEngine,
        _ if has_place => Fit::Good,
        State { waiting, max_queue, makes_room: true, .. } if waiting >= max_queue => Fit::Crowded,
        State { waiting, max_queue, .. } if waiting >= max_queue => Fit::Full,
        _ if load(state) < share => Fit::Good,
        _ => Fit::Busy,
    }
}

#[cfg(test)]
mod tests;
