//! Takes a build from agent to agent, until one does it.

use std::collections::BTreeMap;

use super::{
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
        wait::Wait,
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
    /// Whether it goes through the agents' queues.
    queues: bool,
    wait: Wait,
    /// Where it is now.
    at: String,
    /// Who did not take it this time round, and why.
    refused: BTreeMap<String, String>,
    /// What the last of them said.
    last: Option<Failure>,
    died: Vec<String>,
    /// Who was asked for what it does not have.
    lacking: BTreeMap<String, Failure>,
}

impl<'c> Route<'c> {
    /// For a call of this project; `queues` says whether it is a build, which waits for a place.
    pub(in crate::cli) fn new(connection: &'c Connection, project: String, queues: bool) -> Result<Self, Failure> {
        let named = Named::list(&connection.agent)?;
        let named = if is_pool(&named) { named } else { Vec::new() };
        let (sidecars, named) = named.into_iter().partition(Named::is_sidecar);
        Ok(Self {
            connection,
            named,
            sidecars,
            project,
            queues,
            wait: Wait::new(connection.wait),
            at: String::new(),
            refused: BTreeMap::new(),
            last: None,
            died: Vec::new(),
            lacking: BTreeMap::new(),
        })
    }

    fn is_pool(&self) -> bool {
        !self.named.is_empty() || !self.sidecars.is_empty()
    }

    /// The next agent that may take it; waits for one as long as `--wait` says.
    pub(in crate::cli) async fn next(&mut self, progress: &mut Progress) -> Result<Agent, Failure> {
        if !self.is_pool() {
            if let Some(refused) = self.last.take() {
                self.wait.pause(refused, |why| progress.note(why)).await?;
            }
            return connect::connect(self.connection, &mut self.wait, |why| progress.note(why)).await;
        }
        let manner = Manner::new(self.connection)?;
        loop {
            let pool = self.census(&self.named.iter().collect::<Vec<_>>(), &manner).await;
            let fits = self.fits(&pool);
            if let Some(place) = self.best(&pool, &fits) {
                self.tell_choice(place, &pool, &fits, progress);
                let Census { mut there, .. } = pool;
                return Ok(self.taken(there.swap_remove(place)));
            }
            let mut absent = pool.absent;
            let mut others: Vec<String> =
                fits.iter().map(|(place, fit)| self.why_not(&pool.there[*place], *fit)).collect();
            let lacks = |replica: &Replica| self.lacking.contains_key(&replica.state.name);
            // A sidecar that is not there is none.
            let mut all_lack = absent.is_empty() && pool.there.iter().all(lacks);
            for sidecar in &self.sidecars {
                let here = self.census(&[sidecar], &manner).await;
                absent.extend(here.absent);
                for mut replica in here.there {
                    replica.state.name = sidecar.to_string();
                    let fit = choice::order("", std::slice::from_ref(&replica.state))[0].1;
                    if matches!(fit, Fit::Draining | Fit::Full) || self.has_refused(&replica.state.name) {
                        all_lack &= lacks(&replica);
                        others.push(self.why_not(&replica, fit));
                        continue;
                    }
                    let why = nobody("takes it", &absent, &others);
                    progress
                        .show(Event::Notice { warning: true, text: format!("the agent of this pod takes it: {why}") });
                    progress.rest();
                    return Ok(self.taken(replica));
                }
            }
            let why = self.nobody(&absent, &others);
            if let (true, Some(failure)) = (all_lack, self.lacking.values().next()) {
                return Err(failure.clone());
            }
            if others.is_empty() && absent.iter().all(|absent| !absent.may_pass) {
                return Err(why);
            }
            self.wait.pause(why, |why| progress.note(why)).await?;
            self.refused.clear();
        }
    }

    async fn census(&self, named: &[&Named], manner: &Manner) -> Census {
        let mut census = Census::take(named, manner, &self.project).await;
        if !self.queues {
            // It waits for no place, and so there is always one.
            census.there.iter_mut().for_each(|replica| replica.state.max_builds = 0);
        }
        census
    }

    fn fits(&self, pool: &Census) -> Vec<(usize, Fit)> {
        let states: Vec<_> = pool.there.iter().map(|replica| replica.state.clone()).collect();
        choice::order(&self.project, &states)
    }

    /// Whether it was asked, and did not take it.
    fn has_refused(&self, name: &str) -> bool {
        self.refused.contains_key(name) || self.lacking.contains_key(name)
    }

    /// Those that have not failed this build are better than those that have.
    fn best(&self, pool: &Census, fits: &[(usize, Fit)]) -> Option<usize> {
        let name = |place: usize| &pool.there[place].state.name;
        let takes = |(place, fit): &&(usize, Fit)| {
            let waits_for_engine = *fit == Fit::NoEngine && !self.sidecars.is_empty();
            !matches!(fit, Fit::Full | Fit::Draining) && !waits_for_engine && !self.has_refused(name(*place))
        };
        let places = fits.iter().filter(takes).map(|(place, _)| *place);
        places.min_by_key(|place| self.died.contains(name(*place)))
    }

    fn taken(&mut self, replica: Replica) -> Agent {
        self.at = replica.state.name;
        Agent { client: replica.client, wait: self.wait.left() }
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
        let lacking = self.lacking.get(name).map(|failure| &failure.what);
        match self.refused.get(name).or(lacking) {
            Some(why) => format!("{name}: {why}"),
            None if self.died.contains(name) => format!("{name} failed in the middle of it"),
            None => format!("{name} {}", fit.why()),
        }
    }

    fn nobody(&self, absent: &[super::Absent], others: &[String]) -> Failure {
        let why = nobody("takes it", absent, others);
        match &self.last {
            Some(last) if last.kind == FailureKind::Engine && self.lacking.is_empty() => {
                Failure { kind: last.kind, ..why }.next(last.next.clone())
            }
            _ => why,
        }
    }

    /// After this failure another agent should be asked, which is to be said, or the same one later. Else the failure is
    /// the end.
    pub(in crate::cli) fn pass_on(&mut self, failure: Failure, progress: &Progress) -> Result<Option<String>, Failure> {
        use FailureKind::{Agent, Busy, Engine, Lost, NotFound};
        let at = std::mem::take(&mut self.at);
        let died = progress.has_begun() || failure.kind == Lost;
        if progress.was_taken() || died {
            // What it has waited so far was for an agent that took it.
            self.wait = Wait::new(self.connection.wait);
        }
        if !self.is_pool() {
            if died || !matches!(failure.kind, Agent | Busy) {
                return Err(failure);
            }
            self.last = Some(failure);
            return Ok(None);
        }
        let notice = format!("{}; another agent is asked", failure.what);
        match failure.kind {
            // Somebody else may hold it: an image lies where it was built.
            NotFound => drop(self.lacking.insert(at, failure)),
            Busy | Agent | Engine if !died => {
                self.refused.insert(at, failure.what.clone());
                self.last = Some(failure);
            }
            Agent | Lost | Engine if self.died.len() + 1 < MOST_DEATHS => {
                self.died.push(at);
                self.refused.clear();
            }
            _ => return Err(failure),
        }
        Ok(Some(notice))
    }
}

#[cfg(test)]
mod tests;
