//! `containerd.services.content.v1`: blobs that the engine reads from the agent, within the session.
//!
//! The messages are declared here: no crate brings them, and of each only what is used matters.

use std::{collections::BTreeMap, pin::Pin};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{Request, Response};
use hyper::body::Incoming;
use prost::Message;
use tokio::sync::watch;
use tonic::{Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;

const INFO: &str = "/containerd.services.content.v1.Content/Info";
const READ: &str = "/containerd.services.content.v1.Content/Read";
/// Bytes in one message. `BuildKit` of Docker 20.10 refuses messages of 4 MiB.
const CHUNK: usize = 1 << 20;

/// Blobs by their digest. Who asks for another one waits until it is added, or gives up, or the session ends. Clones
/// share the blobs.
#[derive(Clone, Default)]
pub(super) struct Content(watch::Sender<BTreeMap<String, Bytes>>);

#[derive(Clone, PartialEq, Message)]
struct InfoRequest {
    #[prost(string, tag = "1")]
    digest: String,
}

#[derive(Clone, PartialEq, Message)]
struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    info: Option<Info>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    digest: String,
    /// Bytes.
    #[prost(int64, tag = "2")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    offset: i64,
    /// Bytes; 0 for all that follow.
    #[prost(int64, tag = "3")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ReadResponse {
    #[prost(int64, tag = "1")]
    offset: i64,
    #[prost(bytes = "bytes", tag = "2")]
    data: Bytes,
}

type Reading = Pin<Box<dyn Stream<Item = Result<ReadResponse, Status>> + Send>>;

impl Content {
    /// Adds blobs. Whether somebody waits for one.
    pub(super) fn add(&self, blobs: impl IntoIterator<Item = (String, Bytes)>) -> bool {
        let waiting = self.0.receiver_count() > 0;
        self.0.send_modify(|all| all.extend(blobs));
        waiting
    }

    /// Whether a call of this path is for it.
    pub(super) fn answers(path: &str) -> bool {
        [INFO, READ].contains(&path)
    }

    /// Answers a call.
    pub(super) async fn answer(self, call: Request<Incoming>) -> Response<Body> {
        if call.uri().path() == INFO {
            let info = tower::service_fn(move |request: tonic::Request<InfoRequest>| self.clone().info(request));
            return Grpc::new(ProstCodec::<InfoResponse, InfoRequest>::default()).unary(info, call).await;
        }
        let read = tower::service_fn(move |request: tonic::Request<ReadRequest>| self.clone().read(request));
        Grpc::new(ProstCodec::<ReadResponse, ReadRequest>::default()).server_streaming(read, call).await
    }

    async fn blob(&self, digest: &str) -> Bytes {
        loop {
            let mut added = self.0.subscribe();
            if let Some(blob) = added.borrow_and_update().get(digest) {
                return blob.clone();
            }
            // It cannot fail: the sender is here.
            drop(added.changed().await);
        }
    }

    async fn info(self, request: tonic::Request<InfoRequest>) -> Result<tonic::Response<InfoResponse>, Status> {
        let InfoRequest { digest } = request.into_inner();
        let size = self.blob(&digest).await.len().try_into().unwrap_or(i64::MAX);
        Ok(tonic::Response::new(InfoResponse { info: Some(Info { digest, size }) }))
    }

    async fn read(self, request: tonic::Request<ReadRequest>) -> Result<tonic::Response<Reading>, Status> {
        let ReadRequest { digest, offset, size } = request.into_inner();
        let blob = self.blob(&digest).await;
        let from = usize::try_from(offset).ok().filter(|from| *from <= blob.len());
        let from = from.ok_or_else(|| Status::out_of_range(format!("{digest} has {} bytes", blob.len())))?;
        let size = usize::try_from(size).ok().filter(|size| *size > 0).unwrap_or(usize::MAX);
        let part = blob.slice(from..from.saturating_add(size).min(blob.len()));
        let chunks = (0..part.len()).step_by(CHUNK).map(move |at| {
            let data = part.slice(at..part.len().min(at + CHUNK));
            Ok(ReadResponse { offset: offset.saturating_add(at.try_into().unwrap_or(i64::MAX)), data })
        });
        Ok(tonic::Response::new(Box::pin(stream::iter(chunks))))
    }
}
