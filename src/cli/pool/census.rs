//! Who of a pool is there, and how busy each is.

use std::{io, time::Duration};

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

/// How long an agent may take to be connected to and to tell its state. One that is mute costs so much, and no more.
const DEADLINE: Duration = Duration::from_secs(2);

/// How many are asked at once.
const AT_ONCE: usize = 64;

/// An agent that answers.
pub(super) struct Replica {
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
    /// Asks all of them at once.
    pub(super) async fn take(named: &[&Named], manner: &Manner) -> Self {
        let mut census = Self::default();
        let mut addresses: Vec<Address> = Vec::new();
        for named in named {
            match named.addresses().await {
                Ok(found) => addresses.extend(found),
                Err(error) => census.absent.push(Absent {
                    address: named.to_string(),
                    why: unreachable(&named.to_string(), &error)
                        .next("check the name: a headless service has no address before a replica is ready"),
                    may_pass: true,
                }),
            }
        }
        let asking: Vec<_> = addresses.into_iter().map(|address| ask(address, manner).boxed()).collect();
        let mut answers = stream::iter(asking).buffered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            match answer {
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

async fn ask(address: Address, manner: &Manner) -> Result<Replica, Absent> {
    let failed = |error: io::Error| {
        let (address, may_pass) = (address.to_string(), may_pass(&error));
        Absent { why: unreachable(&address, &error), address, may_pass }
    };
    let asking = async {
        let mut client = manner.open(&address).await.map_err(failed)?;
        let mut state = match client.state(StateRequest {}).await {
            Ok(state) => state.into_inner(),
            // It is older than the call, and takes whatever comes.
            Err(status) if status.code() == Code::Unimplemented => State { engine_ready: true, ..State::default() },
            Err(status) => {
                let why = wire::from_status(&status);
                let may_pass = why.kind == FailureKind::Agent;
                return Err(Absent { why, address: address.to_string(), may_pass });
            }
        };
        if state.name.is_empty() {
            state.name = address.to_string();
        }
        Ok(Replica { client, state })
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| {
        let what = format!("it accepts the connection, and does not answer within {DEADLINE:?}");
        Err(failed(io::Error::new(io::ErrorKind::TimedOut, what)))
    })
}
