//! Takes a build from agent to agent, until one does it.

use std::{collections::BTreeMap, time::Instant};

use super::{
    RETRY,
    address::Named,
    census::{Census, Replica},
    choice::{self, Fit},
    is_pool, nobody,
};
use crate::{
    cli::{
        args::Connection,
        connect::{self, Agent, Manner},
        progress::Progress,
    },
    model::{Event, Failure, FailureKind},
};

/// How many agents may die under one build: it may be the build's own doing.
const MOST_DEATHS: usize = 3;

/// The way of one build.
pub(in crate::cli) struct Route<'c> {
    connection: &'c Connection,
    /// The sidecars are apart: they come last.
    named: Vec<Named>,
    sidecars: Vec<Named>,
    project: String,
    deadline: Instant,
    /// Where it is now.
    at: String,
    /// Who did not take it this time round, and why.
    refused: BTreeMap<String, String>,
    /// What the last of them said.
    last: Option<Failure>,
    died: Vec<String>,
    /// Everybody was asked who might hold an image, and this one does not.
    lacking: Option<Failure>,
    told: bool,
}

impl<'c> Route<'c> {
    /// For a build of this project.
    pub(in crate::cli) fn new(connection: &'c Connection, project: String) -> Result<Self, Failure> {
        let named = Named::list(&connection.agent)?;
        let named = if is_pool(&named) { named } else { Vec::new() };
        let (sidecars, named) = named.into_iter().partition(Named::is_sidecar);
        Ok(Self {
            connection,
            named,
            sidecars,
            project,
            deadline: Instant::now() + connection.wait,
            at: String::new(),
            refused: BTreeMap::new(),
            last: None,
            died: Vec::new(),
            lacking: None,
            told: false,
        })
    }

    fn is_pool(&self) -> bool {
        !self.named.is_empty() || !self.sidecars.is_empty()
    }

    /// The next agent that may take it; waits for one as long as `--wait` says.
    pub(in crate::cli) async fn next(&mut self, progress: &mut Progress) -> Result<Agent, Failure> {
        if !self.is_pool() {
            return connect::connect_telling(self.connection, |why| progress.note(why)).await;
        }
        let manner = Manner::new(self.connection)?;
        let mut pause = RETRY.0;
        loop {
            let pool = Census::take(&self.named.iter().collect::<Vec<_>>(), &manner).await;
            let fits = self.fits(&pool);
            if let Some(place) = self.best(&pool, &fits) {
                self.tell_choice(place, &pool, &fits, progress);
                let Census { mut there, .. } = pool;
                return Ok(self.taken(there.swap_remove(place)));
            }
            let mut absent = pool.absent;
            let mut others: Vec<String> =
                fits.iter().map(|(place, fit)| self.why_not(&pool.there[*place], *fit)).collect();
            for sidecar in &self.sidecars {
                let here = Census::take(&[sidecar], &manner).await;
                absent.extend(here.absent);
                for mut replica in here.there {
                    replica.state.name = sidecar.to_string();
                    let fit = choice::order("", std::slice::from_ref(&replica.state))[0].1;
                    if fit == Fit::Draining || fit == Fit::Full || self.refused.contains_key(&replica.state.name) {
                        others.push(self.why_not(&replica, fit));
                        continue;
                    }
                    let why = nobody("takes the build", &absent, &others);
                    progress
                        .show(Event::Notice { warning: true, text: format!("the agent of this pod takes it: {why}") });
                    progress.rest();
                    return Ok(self.taken(replica));
                }
            }
            if let Some(failure) = self.lacking.take() {
                return Err(failure);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            let why = self.nobody(&absent, &others);
            if left.is_zero() || others.is_empty() && absent.iter().all(|absent| !absent.may_pass) {
                return Err(why);
            }
            if !std::mem::replace(&mut self.told, true) {
                let wait = humantime::format_duration(self.connection.wait);
                progress.note(format!("waiting up to {wait} (--wait): {why}"));
            }
            self.refused.clear();
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    fn fits(&self, pool: &Census) -> Vec<(usize, Fit)> {
        let states: Vec<_> = pool.there.iter().map(|replica| replica.state.clone()).collect();
        choice::order(&self.project, &states)
    }

    /// Those that have not failed this build are better than those that have.
    fn best(&self, pool: &Census, fits: &[(usize, Fit)]) -> Option<usize> {
        let name = |place: usize| &pool.there[place].state.name;
        let takes = |(place, fit): &&(usize, Fit)| {
            let waits_for_engine = *fit == Fit::Idle && !self.sidecars.is_empty();
            !matches!(fit, Fit::Full | Fit::Draining) && !waits_for_engine && !self.refused.contains_key(name(*place))
        };
        let places = fits.iter().filter(takes).map(|(place, _)| *place);
        places.min_by_key(|place| self.died.contains(name(*place)))
    }

    fn taken(&mut self, replica: Replica) -> Agent {
        self.at = replica.state.name;
        Agent { client: replica.client, wait: self.deadline.saturating_duration_since(Instant::now()) }
    }

    fn tell_choice(&self, place: usize, pool: &Census, fits: &[(usize, Fit)], progress: &mut Progress) {
        let states: Vec<_> = pool.there.iter().map(|replica| replica.state.clone()).collect();
        let name = |place: usize| &states[place].name;
        let why = match choice::home(&self.project, &states) {
            Some(home) if home == place => format!("home of {}", self.project),
            Some(home) => {
                let fit = fits.iter().find(|(other, _)| *other == home).map_or(Fit::Good, |(_, fit)| *fit);
                self.why_not(&pool.there[home], fit)
            }
            None => String::new(),
        };
        progress.note(format!("agent {}: {why}", name(place)));
    }

    fn why_not(&self, replica: &Replica, fit: Fit) -> String {
        let name = &replica.state.name;
        match self.refused.get(name) {
            Some(why) => format!("{name}: {why}"),
            None if self.died.contains(name) => format!("{name} failed in the middle of it"),
            None => format!("{name} {}", fit.why()),
        }
    }

    fn nobody(&self, absent: &[super::Absent], others: &[String]) -> Failure {
        let why = nobody("takes the build", absent, others);
        match &self.last {
            Some(last) if last.kind == FailureKind::Engine => {
                Failure { kind: last.kind, ..why }.next(last.next.clone())
            }
            _ => why,
        }
    }

    /// Whether another agent should be asked after this failure. `begun` says that the engine was at work.
    pub(in crate::cli) fn passes_on(&mut self, failure: &Failure, begun: bool) -> bool {
        if !self.is_pool() {
            return false;
        }
        let at = std::mem::take(&mut self.at);
        match failure.kind {
            FailureKind::Busy | FailureKind::Agent | FailureKind::Engine if !begun => {
                self.refused.insert(at, failure.what.clone());
                self.last = Some(failure.clone());
            }
            FailureKind::Agent | FailureKind::Engine if self.died.len() + 1 < MOST_DEATHS => {
                self.died.push(at);
                self.refused.clear();
                // What it has waited so far was before the build.
                self.deadline = Instant::now() + self.connection.wait;
                self.told = false;
            }
            _ => return false,
        }
        true
    }

    /// The image is not there: the others are asked, each once.
    pub(in crate::cli) fn lacks(&mut self, failure: Failure) -> Result<(), Failure> {
        if !self.is_pool() {
            return Err(failure);
        }
        self.refused.insert(std::mem::take(&mut self.at), failure.what.clone());
        self.lacking.get_or_insert(failure);
        Ok(())
    }
}
