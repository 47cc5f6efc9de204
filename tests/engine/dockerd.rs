//! A dockerd's REST API that does what a test scripts, with the fake BuildKit behind its `/grpc`.

use std::{convert::Infallible, io, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;

use super::{fake::BuildKit, socket::Peer};

pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// A request as the REST API saw it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

pub(crate) type Handler = Arc<dyn Fn(Asked) -> BoxFuture<'static, Option<Response<Body>>> + Send + Sync>;

/// The fake. Clones are one.
#[derive(Clone)]
pub(crate) struct Dockerd {
    pub(crate) buildkit: BuildKit,
    pub(crate) api: &'static str,
    /// As `GET /info` tells it.
    pub(crate) driver: &'static str,
    pub(crate) driver_status: &'static str,
    /// Whether its socket speaks gRPC itself.
    pub(crate) native: bool,
    /// How `/grpc` is refused; 0 takes it.
    pub(crate) no_grpc: u16,
    /// How `/session` is refused; 0 takes it.
    pub(crate) no_session: u16,
    pub(crate) rest: Handler,
}

impl Dockerd {
    /// A Docker 28 with a graphdriver store.
    pub(crate) fn graphdriver(buildkit: BuildKit) -> Self {
        Self {
            buildkit,
            api: "1.51",
            driver: "overlay2",
            driver_status: r#"[["Backing Filesystem","extfs"]]"#,
            native: false,
            no_grpc: 0,
            no_session: 0,
            rest: Arc::new(|_| Box::pin(async { None })),
        }
    }

    /// A Docker 28 with the containerd image store.
    pub(crate) fn containerd(buildkit: BuildKit) -> Self {
        let driver_status = r#"[["driver-type","io.containerd.snapshotter.v1"]]"#;
        Self { driver: "overlayfs", driver_status, ..Self::graphdriver(buildkit) }
    }

    /// Answers that come before its own; `None` leaves a request to it.
    pub(crate) fn rest<F>(self, handle: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Response<Body>>> + Send + 'static,
    {
        Self { rest: Arc::new(move |asked| Box::pin(handle(asked))), ..self }
    }

    /// Serves HTTP/1.1 on `io` until it ends, or is upgraded.
    pub(super) async fn serve(self, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, peer: Peer) {
        let service = service_fn(|request| self.answer(request, peer.clone()));
        // How a connection ends is the test's affair.
        drop(http1::Builder::new().serve_connection(TokioIo::new(io), service).with_upgrades().await);
    }

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Result<Response<Body>, Infallible> {
        let asked = Asked {
            method: request.method().to_string(),
            path: request.uri().to_string(),
            headers: request.headers().clone(),
        };
        if let Some(answer) = (self.rest)(asked.clone()).await {
            return Ok(answer);
        }
        let path = asked.path.trim_start_matches(&format!("/v{}", self.api)).to_owned();
        Ok(match path.split('?').next().unwrap() {
            "/version" => json(200, &format!(r#"{{"Version":"99.0","ApiVersion":"{}"}}"#, self.api)),
            "/info" => json(200, &format!(r#"{{"Driver":"{}","DriverStatus":{}}}"#, self.driver, self.driver_status)),
            "/grpc" if self.no_grpc == 0 => self.hijacked(request, peer),
            "/session" if self.no_session == 0 => self.hijacked(request, peer),
            "/session" => json(self.no_session, r#"{"message":"page not found"}"#),
            "/grpc" => json(self.no_grpc, r#"{"message":"page not found"}"#),
            "/images/prune" => json(200, r#"{"SpaceReclaimed":7}"#),
            "/images/json" => json(200, "[]"),
            "/system/df" => json(200, r#"{"LayersSize":0,"Images":[]}"#),
            _ => json(404, r#"{"message":"page not found"}"#),
        })
    }

    fn hijacked(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        assert_eq!(request.headers()[header::UPGRADE], "h2c");
        let buildkit = self.buildkit.clone();
        let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
        tokio::spawn(peer.running.clone().run_until_cancelled_owned(async move {
            match hyper::upgrade::on(request).await {
                Ok(upgraded) if path == "/session" => {
                    let lent = buildkit.lent(TokioIo::new(upgraded), MetadataMap::from_headers(headers)).await;
                    lent.ended().await;
                }
                Ok(upgraded) => buildkit.serve(TokioIo::new(upgraded), peer.number).await,
                Err(_) => {}
            }
            drop(peer);
        }));
        let mut response = json(101, "");
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("h2c"));
        response
    }
}

/// An answer at once.
pub(crate) fn json(status: u16, text: &str) -> Response<Body> {
    let body = Full::from(text.to_owned()).map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).unwrap()
}

/// Where a test writes an answer piece by piece. Dropped, the answer is complete; an error cuts its connection.
pub(crate) type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// An answer that comes piece by piece.
pub(crate) fn streamed() -> (Pieces, Response<Body>) {
    let (pieces, received) = mpsc::channel(1);
    let frames =
        tokio_stream::StreamExt::map(ReceiverStream::new(received), |piece: io::Result<Bytes>| piece.map(Frame::data));
    (pieces, Response::new(BodyExt::boxed(StreamBody::new(frames))))
}

/// An answer of these lines, complete or cut off after the last one.
pub(crate) fn lines(lines: &[&str], cut: bool) -> Response<Body> {
    let (pieces, response) = streamed();
    let mut lines: Vec<_> = lines.iter().map(|line| Ok(Bytes::from(format!("{line}\r\n")))).collect();
    if cut {
        lines.push(Err(io::ErrorKind::ConnectionReset.into()));
    }
    tokio::spawn(async move {
        for line in lines {
            drop(pieces.send(line).await);
        }
    });
    response
}
