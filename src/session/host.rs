//! Serves the attachables on one connection: a small gRPC server inside a stream of bytes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::v1::{BytesMessage, CredentialsRequest, CredentialsResponse};
use bollard_buildkit_proto::moby::sshforward::v1::{self as sshforward, CheckAgentRequest, CheckAgentResponse};
use bollard_buildkit_proto::moby::upload::v1 as uploading;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use super::auth::Credentials;
use super::content::{self, InfoRequest, InfoResponse, ReadRequest, ReadResponse};
use super::directory::Directory;
use super::filesync::{self, Told};
use super::layout::Layout;
use super::methods;
use super::problems::{Counters, Problems};
use super::receive;
use super::secrets::Secrets;
use super::send::{Sink, Taker};
use super::ssh::{self, SshAgents};
use super::upload::Upload;
use crate::grpc::CONNECTION_WINDOW;

/// Bytes that either side may have on its way in one HTTP/2 frame, where the other agrees.
const FRAME: u32 = 1 << 20;

/// Bytes of an ask's metadata, where a `.dockerignore` travels line by line.
const HEADERS: u32 = 1 << 20;
/// Calls at a time. A build makes a few; each transfer has threads and buffers.
const CALLS: u32 = 64;
/// Bytes of an exported file in one message; as much as Docker's own clients take.
const EXPORT_MAX: usize = 16 << 20;

/// What the client lends to one build.
#[derive(Default)]
pub struct Attachables {
    /// Directories by the names that the engine knows them by: `context`, `dockerfile`.
    pub dirs: BTreeMap<String, Directory>,
    /// Credentials for registries.
    pub credentials: Credentials,
    /// Secrets that steps may mount.
    pub secrets: Secrets,
    /// SSH agents that steps may use.
    pub ssh: SshAgents,
    /// Where an export goes; without it, exports to the client are refused.
    pub taker: Option<Taker>,
    /// Images in the layout of OCI, by the names that the engine knows them by.
    pub layouts: BTreeMap<String, Layout>,
    /// What the engine takes as what a URL serves.
    pub upload: Option<Upload>,
    /// Counts what is sent; keep a clone to read it.
    pub counters: Arc<Counters>,
    /// Collects what goes wrong; keep a clone to read it.
    pub problems: Problems,
}

/// The connection broke.
#[derive(Debug, thiserror::Error)]
#[error("the session's connection broke")]
pub struct Error(#[from] hyper::Error);

/// Serves the [methods](methods::METHODS) on `io`, HTTP/2 with prior knowledge, until the other side closes it. Dropping
/// the future ends all transfers.
///
/// # Errors
/// The connection broke, or the other side does not speak HTTP/2.
pub async fn serve<IO>(io: IO, attachables: Attachables) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let attachables = Arc::new(attachables);
    let service = service_fn(move |request| {
        let attachables = attachables.clone();
        async move { Ok::<_, Infallible>(route(request, attachables).await) }
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(FRAME)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .max_concurrent_streams(CALLS)
        .max_send_buf_size(FRAME as usize)
        .serve_connection(TokioIo::new(io), service)
        .await
        .map_err(Error)
}

async fn route(request: Request<Incoming>, attachables: Arc<Attachables>) -> Response<Body> {
    match request.uri().path() {
        methods::FILE_SYNC => {
            let told = Told { counters: attachables.counters.clone(), problems: attachables.problems.clone() };
            filesync::diff_copy(request, &attachables.dirs, told)
        }
        methods::CREDENTIALS => credentials(request, attachables).await,
        methods::SECRETS => secret(request, attachables).await,
        methods::SSH_CHECK => ssh_check(request, attachables).await,
        methods::SSH => ssh_forward(request, attachables).await,
        methods::FILE_SEND => match &attachables.taker {
            Some(Taker::Archive(sink)) => archive(request, sink.clone()).await,
            Some(Taker::Directory(place)) => receive::diff_copy(request, place.clone(), &attachables),
            None => Status::permission_denied("the client takes no exported files").into_http(),
        },
        methods::UPLOAD => upload(request, attachables).await,
        methods::BLOB_INFO => blob_info(request, attachables).await,
        methods::BLOB_READ => blob_read(request, attachables).await,
        methods::HEALTH => health(request).await,
        other => Status::unimplemented(format!("the client does not serve {other}")).into_http(),
    }
}

async fn credentials(request: Request<Incoming>, attachables: Arc<Attachables>) -> Response<Body> {
    let answer = tower::service_fn(move |request: tonic::Request<CredentialsRequest>| {
        let attachables = attachables.clone();
        async move {
            let host = request.into_inner().host;
            let found = tokio::task::spawn_blocking(move || {
                attachables.credentials.get(&host).inspect_err(|problem| attachables.problems.add(problem.clone()))
            });
            let found = found.await.map_err(|_| Status::cancelled("the session is ending"))?;
            found.map(tonic::Response::new).map_err(|problem| Status::failed_precondition(problem.what))
        }
    });
    Grpc::new(ProstCodec::<CredentialsResponse, CredentialsRequest>::default()).unary(answer, request).await
}

async fn secret(request: Request<Incoming>, attachables: Arc<Attachables>) -> Response<Body> {
    let answer = tower::service_fn(move |request: tonic::Request<GetSecretRequest>| {
        let attachables = attachables.clone();
        async move {
            let id = request.into_inner().id;
            let read = tokio::task::spawn_blocking(move || attachables.secrets.get(&id)).await;
            let data = read.map_err(|_| Status::cancelled("the session is ending"))??;
            Ok::<_, Status>(tonic::Response::new(GetSecretResponse { data }))
        }
    });
    Grpc::new(ProstCodec::<GetSecretResponse, GetSecretRequest>::default()).unary(answer, request).await
}

async fn ssh_check(request: Request<Incoming>, attachables: Arc<Attachables>) -> Response<Body> {
    let answer = tower::service_fn(move |request: tonic::Request<CheckAgentRequest>| {
        let found = attachables.ssh.check(&request.into_inner().id);
        async { found.map(|()| tonic::Response::new(CheckAgentResponse {})) }
    });
    Grpc::new(ProstCodec::<CheckAgentResponse, CheckAgentRequest>::default()).unary(answer, request).await
}

async fn ssh_forward(request: Request<Incoming>, attachables: Arc<Attachables>) -> Response<Body> {
    let answer = tower::service_fn(move |request: tonic::Request<Streaming<sshforward::BytesMessage>>| {
        let attachables = attachables.clone();
        async move {
            let id = request.metadata().get(ssh::ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
            attachables.ssh.forward(&id, request.into_inner()).map(tonic::Response::new)
        }
    });
    let codec = ProstCodec::<sshforward::BytesMessage, sshforward::BytesMessage>::default();
    Grpc::new(codec).streaming(answer, request).await
}

async fn archive(request: Request<Incoming>, sink: Sink) -> Response<Body> {
    let answer = tower::service_fn(move |request: tonic::Request<Streaming<BytesMessage>>| {
        let sink = sink.clone();
        async move {
            sink.drain(request.into_inner()).await?;
            Ok(tonic::Response::new(tokio_stream::empty()))
        }
    });
    let codec = ProstCodec::<BytesMessage, BytesMessage>::default();
    Grpc::new(codec).max_decoding_message_size(EXPORT_MAX).streaming(answer, request).await
}

async fn upload(request: Request<Incoming>, attachables: Arc<Attachables>) -> Response<Body> {
    let answer = tower::service_fn(move |request: tonic::Request<Streaming<uploading::BytesMessage>>| {
        let path = request.metadata().get("urlpath").and_then(|path| path.to_str().ok()).unwrap_or_default();
        let offered = attachables.upload.as_ref().ok_or_else(|| Status::not_found("the client offers nothing"));
        let messages = offered.and_then(|upload| upload.pull(path, &attachables.problems));
        async { messages.map(tonic::Response::new) }
    });
    let codec = ProstCodec::<uploading::BytesMessage, uploading::BytesMessage>::default();
    Grpc::new(codec).streaming(answer, request).await
}

/// The store that a call is for.
fn layout<T>(request: &tonic::Request<T>, attachables: &Attachables) -> Result<Layout, Status> {
    let store = request.metadata().get(content::STORE).and_then(|store| store.to_str().ok()).unwrap_or_default();
    let name = store.strip_prefix("oci:").unwrap_or(store);
    attachables.layouts.get(name).cloned().ok_or_else(|| Status::not_found("the client lends no image of this name"))
}

async fn blob_info(request: Request<Incoming>, attachables: Arc<Attachables>) -> Response<Body> {
    let answer = tower::service_fn(move |request: tonic::Request<InfoRequest>| {
        let layout = layout(&request, &attachables);
        let info = layout.and_then(|layout| layout.info(request.into_inner(), &attachables.problems));
        async { info.map(tonic::Response::new) }
    });
    Grpc::new(ProstCodec::<InfoResponse, InfoRequest>::default()).unary(answer, request).await
}

async fn blob_read(request: Request<Incoming>, attachables: Arc<Attachables>) -> Response<Body> {
    let answer = tower::service_fn(move |request: tonic::Request<ReadRequest>| {
        let layout = layout(&request, &attachables);
        let pieces = layout.and_then(|layout| layout.read(request.get_ref(), &attachables.problems));
        async { pieces.map(tonic::Response::new) }
    });
    Grpc::new(ProstCodec::<ReadResponse, ReadRequest>::default()).server_streaming(answer, request).await
}

/// An engine that gets no answer ends the session in the middle of a build.
async fn health(request: Request<Incoming>) -> Response<Body> {
    let answer = tower::service_fn(async |_: tonic::Request<HealthCheckRequest>| {
        Ok(tonic::Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    });
    Grpc::new(ProstCodec::<HealthCheckResponse, HealthCheckRequest>::default()).unary(answer, request).await
}
