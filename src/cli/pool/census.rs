//! Who of a pool is there, and how busy each is.

use std::{collections::HashSet, io, time::Duration};

use futures_util::{
    FutureExt as _,
    stream::{self, StreamExt as _},
};
use tonic::Code;

use super::address::Named;
use crate::{
    cli::connect::{Address, Client, Manner, may_pass, unreachable},
    model::{Failure, FailureKind},
    pb::{StateRequest, StateResponse as State},
    wire,
};

/// How long an agent may take to be connected to and to answer. One that is mute costs so much, and no more.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long one that has answered may take to tell its state: it may ask Kubernetes who we are, for five seconds.
const STATE: Duration = Duration::from_secs(6);

/// How many are asked at once.
const AT_ONCE: usize = 64;

/// An agent that answers.
pub(super) struct Replica {
    pub(super) address: String,
    pub(super) client: Client,
    pub(super) state: State,
}

/// One that does not.
pub(super) struct Absent {
    pub(super) address: String,
    pub(super) why: Failure,
    /// Whether it may be there later.
    pub(super) may_pass: bool,
}

/// All that was found out.
#[derive(Default)]
pub(super) struct Census {
    pub(super) there: Vec<Replica>,
    pub(super) absent: Vec<Absent>,
}

impl Census {
    /// Asks all of them at once, for a build of this project. One that has several addresses counts once.
    pub(super) async fn take(named: &[&Named], manner: &Manner, project: &str) -> Self {
        let mut census = Self::default();
        let mut addresses: Vec<Address> = Vec::new();
        let resolving: Vec<_> = named.iter().map(|named| named.addresses().boxed()).collect();
        let resolved: Vec<_> = stream::iter(resolving).buffered(AT_ONCE).collect().await;
        for (named, found) in named.iter().zip(resolved) {
            match found {
                Ok(found) => addresses.extend(found),
                Err(error) => census.absent.push(Absent {
                    address: named.to_string(),
                    why: unreachable(&named.to_string(), &error)
                        .next("check the name: a headless service has no address before a replica is ready"),
                    may_pass: true,
                }),
            }
        }
        let mut instances = HashSet::new();
        let asking: Vec<_> = addresses.into_iter().map(|address| ask(address, manner, project).boxed()).collect();
        let mut answers = stream::iter(asking).buffered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Replica { state, .. })
                    if !state.instance.is_empty() && !instances.insert(state.instance.clone()) => {}
                Ok(replica) => census.there.push(replica),
                Err(absent) => census.absent.push(absent),
            }
        }
        census.tell_apart();
        census
    }

    /// Two that have the same name are two all the same, in the order of their addresses.
    fn tell_apart(&mut self) {
        for place in 1..self.there.len() {
            let (before, rest) = self.there.split_at_mut(place);
            let name = &mut rest[0].state.name;
            if before.iter().any(|replica| replica.state.name == *name) {
                *name = format!("{name}#{place}");
            }
        }
    }
}

async fn ask(address: Address, manner: &Manner, project: &str) -> Result<Replica, Absent> {
    let failed = |error: io::Error| {
        let (address, may_pass) = (address.to_string(), may_pass(&error));
        Absent { why: unreachable(&address, &error), address, may_pass }
    };
    let late = |limit: Duration| {
        let what = format!("it accepts the connection, and does not answer within {limit:?}");
        failed(io::Error::new(io::ErrorKind::TimedOut, what))
    };
    let opened = tokio::time::timeout(DEADLINE, manner.open(&address)).await;
    let mut client = opened.map_err(|_| late(DEADLINE))?.map_err(failed)?;
    let request = StateRequest { project: project.to_owned() };
    let answer = tokio::time::timeout(STATE, client.state(request)).await.map_err(|_| late(STATE))?;
    let mut state = match answer {
        Ok(state) => state.into_inner(),
        // It is older than the call, and takes whatever comes.
        Err(status) if status.code() == Code::Unimplemented => State { engine_ready: true, ..State::default() },
        Err(status) => {
            let why = wire::from_status(&status);
            let may_pass = matches!(why.kind, FailureKind::Agent | FailureKind::Lost);
            return Err(Absent { why, address: address.to_string(), may_pass });
        }
    };
    if state.name.is_empty() {
        state.name = address.to_string();
    }
    Ok(Replica { address: address.to_string(), client, state })
}
