//! The fake BuildKit's history of builds, and the store that has the blobs of it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bollard_buildkit_proto::moby::buildkit::v1::{BuildHistoryEvent, BuildHistoryRecord, BuildResultInfo, Descriptor};
use remora::session::content::{ReadRequest, ReadResponse};
use tonic::{Status, body::Body, server::NamedService};
use tonic_prost::ProstCodec;

use super::{fake::BuildKit, rig::sha256};

/// The bytes of one message of the store.
const PIECE: usize = 1 << 20;

/// What the history has of one result.
#[derive(Debug, Clone)]
pub(crate) struct Attested {
    /// Empty where it is the only result.
    pub(crate) platform: &'static str,
    /// Type of the predicate.
    pub(crate) kind: &'static str,
    pub(crate) predicate: String,
}

/// The record of a build.
pub(super) fn event(all: &[Attested]) -> BuildHistoryEvent {
    let result = |of: &Attested| {
        let described = |media_type: &str, digest: String| Descriptor {
            media_type: media_type.to_owned(),
            digest,
            annotations: [("in-toto.io/predicate-type".to_owned(), of.kind.to_owned())].into(),
            ..Descriptor::default()
        };
        let other = described("application/octet-stream", sha256(b"something else"));
        let attested = described("application/vnd.in-toto+json", sha256(of.predicate.as_bytes()));
        BuildResultInfo { attestations: vec![other, attested], ..BuildResultInfo::default() }
    };
    let mut record = BuildHistoryRecord::default();
    for of in all {
        match of.platform {
            "" => record.result = Some(result(of)),
            platform => drop(record.results.insert(platform.to_owned(), result(of))),
        }
    }
    BuildHistoryEvent { record: Some(record), ..BuildHistoryEvent::default() }
}

/// Gives the blobs of the history.
#[derive(Clone)]
pub(super) struct Store(pub(super) BuildKit);

impl NamedService for Store {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

type Pieces = tokio_stream::Iter<std::vec::IntoIter<Result<ReadResponse, Status>>>;

impl Store {
    async fn read(self, request: tonic::Request<ReadRequest>) -> Result<tonic::Response<Pieces>, Status> {
        let all = (self.0.history)(String::new()).await?;
        let wanted = request.into_inner().digest;
        let blob = all.into_iter().map(|of| of.predicate).find(|blob| sha256(blob.as_bytes()) == wanted);
        let blob = blob.ok_or_else(|| Status::not_found(format!("no blob {wanted}")))?;
        let piece = |data: &[u8]| Ok(ReadResponse { offset: 0, data: data.to_vec().into() });
        let pieces: Vec<_> = blob.as_bytes().chunks(PIECE).map(piece).collect();
        Ok(tonic::Response::new(tokio_stream::iter(pieces)))
    }
}

impl tower::Service<http::Request<Body>> for Store {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: http::Request<Body>) -> Self::Future {
        let store = self.clone();
        Box::pin(async move {
            let read = tower::service_fn(move |request| store.clone().read(request));
            let codec = ProstCodec::<ReadResponse, ReadRequest>::default();
            Ok(tonic::server::Grpc::new(codec).server_streaming(read, call).await)
        })
    }
}
