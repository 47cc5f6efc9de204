//! `containerd.services.content.v1`: blobs that the engine reads from the agent, within the session.

use std::{collections::BTreeMap, pin::Pin};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::{Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;

use crate::session::{
    content::{self, Info, InfoRequest, InfoResponse, ReadRequest, ReadResponse},
    methods,
};

/// What the agent's own blobs are called; others are the client's.
pub(super) const STORE: &str = "remora";
/// Bytes in one message. `BuildKit` of Docker 20.10 refuses messages of 4 MiB.
const CHUNK: usize = 1 << 20;

/// Blobs by their digest. Who asks for another one waits until it is added, or gives up, or the session ends. Clones
/// share the blobs.
#[derive(Clone, Default)]
pub(super) struct Content(watch::Sender<BTreeMap<String, Bytes>>);

type Reading = Pin<Box<dyn Stream<Item = Result<ReadResponse, Status>> + Send>>;

impl Content {
    /// Adds blobs. Whether somebody waits for one.
    pub(super) fn add(&self, blobs: impl IntoIterator<Item = (String, Bytes)>) -> bool {
        let waiting = self.0.receiver_count() > 0;
        self.0.send_modify(|all| all.extend(blobs));
        waiting
    }

    /// Whether a call is for it: `BuildKit` calls a store for a cache by its kind and name.
    pub(super) fn answers<T>(call: &Request<T>) -> bool {
        let store = call.headers().get(content::STORE).and_then(|store| store.to_str().ok());
        [methods::BLOB_INFO, methods::BLOB_READ].contains(&call.uri().path())
            && store.and_then(|store| store.strip_prefix("local:")) == Some(STORE)
    }

    /// Answers a call.
    pub(super) async fn answer(self, call: Request<Incoming>) -> Response<Body> {
        if call.uri().path() == methods::BLOB_INFO {
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
