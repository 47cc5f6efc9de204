//! The sessions that clients lend, by their id.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, codegen::tokio_stream::StreamExt as _, metadata::MetadataMap};

use crate::{
    model::{Failure, FailureKind, SessionId},
    pb::SessionData,
    session::{Lent, Offer, pipe},
};

/// What the agent sends into a session.
pub(super) type Outgoing =
    std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<SessionData, tonic::Status>> + Send>>;

/// How long a call waits for the session that it names: the two are opened side by side.
const ARRIVAL: Duration = Duration::from_secs(5);

type Table = HashMap<SessionId, Lent>;

/// The open sessions.
#[derive(Clone)]
pub(super) struct Sessions {
    table: Arc<watch::Sender<Table>>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { table: Arc::new(watch::Sender::new(Table::new())) }
    }
}

impl Sessions {
    /// Takes in what a client lends, until its stream ends.
    pub(super) fn lend(&self, request: Request<Streaming<SessionData>>) -> Result<Outgoing, Failure> {
        let id = session_id(request.metadata())?;
        let offer = Offer {
            methods: texts(request.metadata(), "remora-method"),
            shared_key: texts(request.metadata(), "remora-shared-key").pop().unwrap_or_default(),
        };
        let (writer, outgoing) = pipe::<SessionData>();
        let io = writer.join(request.into_inner());
        let sessions = self.clone();
        tokio::spawn(async move {
            let lent = match Lent::open(io, offer).await {
                Ok(lent) => lent,
                Err(error) => return tracing::debug!(%error, "a session did not begin"),
            };
            let ended = lent.clone();
            let taken = sessions.table.send_if_modified(|table| {
                // An id is used once: a second session of the same name cannot take over the first.
                let free = !table.contains_key(&id);
                if free {
                    table.insert(id.clone(), lent);
                }
                free
            });
            if taken {
                ended.ended().await;
                sessions.table.send_if_modified(|table| {
                    table.remove(&id);
                    false
                });
            }
        });
        Ok(Box::pin(ReceiverStream::<SessionData>::map(outgoing, Ok)))
    }

    /// The session of this id, as soon as it is there.
    pub(super) async fn find(&self, id: &SessionId) -> Result<Lent, Failure> {
        let mut table = self.table.subscribe();
        let arrived = tokio::time::timeout(ARRIVAL, table.wait_for(|table| table.contains_key(id))).await;
        let found = match arrived {
            Ok(Ok(table)) => table.get(id).cloned(),
            _ => None,
        };
        found.ok_or_else(|| {
            // It may be open at another agent, whose connection broke between the two calls.
            Failure::new(FailureKind::Agent, "the request names a session that is not open")
                .next("open Session first, and name its id in the request")
        })
    }
}

fn session_id(metadata: &MetadataMap) -> Result<SessionId, Failure> {
    let id = texts(metadata, "remora-session").pop().unwrap_or_default();
    SessionId::parse(&id).ok_or_else(|| {
        Failure::new(FailureKind::Usage, "Session: the metadata remora-session must hold 32 hexadecimal digits")
    })
}

fn texts(metadata: &MetadataMap, key: &str) -> Vec<String> {
    metadata.get_all(key).iter().filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect()
}
