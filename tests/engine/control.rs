//! The fake BuildKit's gRPC services.

use std::pin::Pin;

use bollard_buildkit_proto::moby::buildkit::v1::{
    self as v1, BytesMessage,
    control_server::{Control, ControlServer},
    frontend::{
        self, ReturnRequest,
        llb_bridge_server::{LlbBridge, LlbBridgeServer},
    },
};
use http::Request as HttpRequest;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming, metadata::MetadataMap, service::Routes};
use tower::ServiceExt as _;

use super::{
    channel::Channel,
    fake::{BuildKit, Seen, Session},
    history::{Store, event},
};

/// Which connection a request came over.
#[derive(Clone, Copy)]
struct Connection(u64);

impl BuildKit {
    /// Serves HTTP/2 on `io` until it ends.
    pub(super) async fn serve(self, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, connection: u64) {
        let routes = Routes::new(ControlServer::new(self.clone()))
            .add_service(LlbBridgeServer::new(self.clone()))
            .add_service(Store(self));
        let service = service_fn(move |mut request: HttpRequest<Incoming>| {
            request.extensions_mut().insert(Connection(connection));
            routes.clone().oneshot(request)
        });
        // How a connection ends is the test's affair.
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await);
    }

    /// Becomes the client of a session's bytes. The session is there until the value is dropped.
    pub(super) async fn lent(
        &self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        metadata: MetadataMap,
    ) -> Lent {
        let id = metadata.get("x-docker-expose-session-uuid").unwrap().to_str().unwrap().to_owned();
        let session = Session { metadata, channel: Channel::open(io).await };
        self.state.sessions.send_modify(|all| drop(all.insert(id.clone(), session)));
        Lent { fake: self.clone(), id }
    }
}

/// A session that is open.
pub(super) struct Lent {
    fake: BuildKit,
    id: String,
}

impl Lent {
    /// Returns when the client has closed the session.
    pub(super) async fn ended(&self) {
        let channel = self.fake.state.sessions.borrow().get(&self.id).map(|session| session.channel.clone());
        channel.unwrap().ended().await;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.fake.state.sessions.send_modify(|all| drop(all.remove(&self.id)));
        self.fake.note(Seen::SessionEnded);
    }
}

fn connection<T>(request: &Request<T>) -> u64 {
    request.extensions().get::<Connection>().unwrap().0
}

/// Notes something when it is dropped, unless told otherwise.
struct Note<'a>(&'a BuildKit, Option<Seen>);

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if let Some(seen) = self.1.take() {
            if let Seen::Dropped { build } = &seen {
                self.0.build(build).fall_silent();
            }
            self.0.note(seen);
        }
    }
}

macro_rules! not_faked {
    ($($name:ident($request:ty) -> $answer:ty;)*) => {$(
        fn $name<'s, 'f>(
            &'s self,
            _: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<$answer>, Status>> + Send + 'f>>
        where
            's: 'f,
            Self: 'f,
        {
            Box::pin(async { Err(Status::unimplemented(concat!(stringify!($name), " is not faked"))) })
        }
    )*};
}

#[tonic::async_trait]
impl Control for BuildKit {
    type PruneStream = ReceiverStream<Result<v1::UsageRecord, Status>>;
    type StatusStream = ReceiverStream<Result<v1::StatusResponse, Status>>;
    type SessionStream = ReceiverStream<Result<BytesMessage, Status>>;
    type ListenBuildHistoryStream = tokio_stream::Once<Result<v1::BuildHistoryEvent, Status>>;

    async fn list_workers(
        &self,
        _: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        self.note(Seen::Workers);
        let number = self.seen().iter().filter(|seen| matches!(seen, Seen::Workers)).count();
        (self.workers)(number).await.map(Response::new)
    }

    async fn solve(&self, request: Request<v1::SolveRequest>) -> Result<Response<v1::SolveResponse>, Status> {
        let (connection, request) = (connection(&request), request.into_inner());
        // What asks whether the engine fetches git contexts has no session.
        if request.definition.is_some() && request.session.is_empty() {
            return Err(Status::unknown(self.git));
        }
        if let Some(refuse) = self.refuse {
            self.build(&request.r#ref).fall_silent();
            return Err(refuse());
        }
        let build = self.build(&request.r#ref);
        self.note(Seen::Outer { connection, request: Box::new(request.clone()) });
        let by_itself = request.definition.is_some();
        let mut dropped = Note(self, Some(Seen::Dropped { build: build.id.clone() }));
        build.shared.outer.send_replace(Some(request));
        let returned = if by_itself {
            ReturnRequest::default()
        } else {
            let mut returned = build.shared.returned.subscribe();
            returned.wait_for(Option::is_some).await.unwrap().clone().unwrap()
        };
        let answer = match returned.error {
            Some(error) => Err(Status::new(Code::from(error.code), error.message)),
            None => (self.export)(build.clone()).await,
        };
        dropped.1 = None;
        build.fall_silent();
        answer.map(|exporter_response| Response::new(v1::SolveResponse { exporter_response }))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<Self::StatusStream>, Status> {
        let build = self.build(&request.into_inner().r#ref);
        let statuses = build.shared.statuses.lock().unwrap().take();
        statuses.map(|s| Response::new(ReceiverStream::new(s))).ok_or_else(|| Status::not_found("watched already"))
    }

    async fn session(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (metadata, mut incoming) = (request.metadata().clone(), request.into_inner());
        let (near, far) = tokio::io::duplex(64 << 10);
        let (mut far_reads, mut far_writes) = tokio::io::split(far);
        let (sender, outgoing) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let mut data = Vec::with_capacity(32 << 10);
                match far_reads.read_buf(&mut data).await {
                    Ok(read) if read > 0 && sender.send(Ok(BytesMessage { data })).await.is_ok() => {}
                    _ => return,
                }
            }
        });
        let fake = self.clone();
        tokio::spawn(async move {
            let lent = fake.lent(near, metadata).await;
            while let Ok(Some(message)) = incoming.message().await {
                if far_writes.write_all(&message.data).await.is_err() {
                    break;
                }
            }
            drop(lent);
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn disk_usage(&self, _: Request<v1::DiskUsageRequest>) -> Result<Response<v1::DiskUsageResponse>, Status> {
        Ok(Response::new(v1::DiskUsageResponse::default()))
    }

    async fn prune(&self, request: Request<v1::PruneRequest>) -> Result<Response<Self::PruneStream>, Status> {
        let request = request.into_inner();
        self.note(Seen::Prune(request.clone()));
        let (sender, freed) = mpsc::channel(1);
        let fake = self.clone();
        tokio::spawn(async move {
            let mut dropped = Note(&fake, Some(Seen::PruneDropped));
            let watched = sender.clone();
            tokio::select! {
                () = (fake.prune)((request, sender)) => dropped.1 = None,
                () = watched.closed() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(freed)))
    }

    async fn listen_build_history(
        &self,
        request: Request<v1::BuildHistoryRequest>,
    ) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        let build = request.into_inner().r#ref;
        self.note(Seen::History { build: build.clone() });
        let attested = (self.history)(build).await?;
        Ok(Response::new(tokio_stream::once(Ok(event(&attested)))))
    }

    not_faked! {
        info(v1::InfoRequest) -> v1::InfoResponse;
        update_build_history(v1::UpdateBuildHistoryRequest) -> v1::UpdateBuildHistoryResponse;
    }
}

#[tonic::async_trait]
impl LlbBridge for BuildKit {
    type ExecProcessStream = tokio_stream::Empty<Result<frontend::ExecMessage, Status>>;

    async fn solve(
        &self,
        request: Request<frontend::SolveRequest>,
    ) -> Result<Response<frontend::SolveResponse>, Status> {
        let build = self.build(&build_id(&request)?);
        // As the real one, which waits until there is a build of this id.
        build.outer().await;
        let connection = connection(&request);
        let request = request.into_inner();
        let made = match &request.definition {
            // A part of it, which is told by its size.
            Some(part) => frontend::Ref { id: format!("{} of the definition", part.def.len()), def: None },
            None => frontend::Ref { id: "made".to_owned(), def: self.definition.clone() },
        };
        let by_frontend = request.definition.is_none();
        self.note(Seen::Frontend { connection, build: build.id.clone(), request });
        if by_frontend {
            (self.make)(build).await?;
        }
        let result = frontend::Result {
            result: Some(frontend::result::Result::Ref(made)),
            metadata: [("containerimage.config".to_owned(), self.config.clone())].into(),
            ..frontend::Result::default()
        };
        Ok(Response::new(frontend::SolveResponse { result: Some(result), ..frontend::SolveResponse::default() }))
    }

    async fn stat_file(
        &self,
        request: Request<frontend::StatFileRequest>,
    ) -> Result<Response<frontend::StatFileResponse>, Status> {
        let build = self.build(&build_id(&request)?);
        self.note(Seen::Loaded { result: request.into_inner().r#ref });
        (self.load)(build).await?;
        Ok(Response::new(frontend::StatFileResponse::default()))
    }

    async fn evaluate(
        &self,
        request: Request<frontend::EvaluateRequest>,
    ) -> Result<Response<frontend::EvaluateResponse>, Status> {
        let build = self.build(&build_id(&request)?);
        if self.old {
            return Err(Status::unimplemented(
                "unknown method Evaluate for service moby.buildkit.v1.frontend.LLBBridge",
            ));
        }
        self.note(Seen::Evaluated { result: request.into_inner().r#ref });
        (self.load)(build).await?;
        Ok(Response::new(frontend::EvaluateResponse::default()))
    }

    async fn r#return(&self, request: Request<ReturnRequest>) -> Result<Response<frontend::ReturnResponse>, Status> {
        let build = self.build(&build_id(&request)?);
        let request = request.into_inner();
        self.note(Seen::Returned(request.clone()));
        build.shared.returned.send_replace(Some(request));
        (self.returned)(build).await;
        Ok(Response::new(frontend::ReturnResponse {}))
    }

    not_faked! {
        resolve_image_config(frontend::ResolveImageConfigRequest) -> frontend::ResolveImageConfigResponse;
        resolve_source_meta(frontend::ResolveSourceMetaRequest) -> frontend::ResolveSourceMetaResponse;
        read_file(frontend::ReadFileRequest) -> frontend::ReadFileResponse;
        read_dir(frontend::ReadDirRequest) -> frontend::ReadDirResponse;
        ping(frontend::PingRequest) -> frontend::PongResponse;
        inputs(frontend::InputsRequest) -> frontend::InputsResponse;
        new_container(frontend::NewContainerRequest) -> frontend::NewContainerResponse;
        release_container(frontend::ReleaseContainerRequest) -> frontend::ReleaseContainerResponse;
        exec_process(Streaming<frontend::ExecMessage>) -> Self::ExecProcessStream;
        read_file_container(frontend::ReadFileRequest) -> frontend::ReadFileResponse;
        read_dir_container(frontend::ReadDirRequest) -> frontend::ReadDirResponse;
        stat_file_container(frontend::StatFileRequest) -> frontend::StatFileResponse;
        warn(frontend::WarnRequest) -> frontend::WarnResponse;
    }
}

fn build_id<T>(request: &Request<T>) -> Result<String, Status> {
    let id = request.metadata().get("buildkit-controlapi-buildid").and_then(|id| id.to_str().ok());
    id.map(ToOwned::to_owned).ok_or_else(|| Status::invalid_argument("no build id in the metadata"))
}
