//! An HTTP/2 client of any byte stream, as tonic's clients call through it.

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// Go's gRPC, which real engines call with, offers this window at first.
const WINDOW: u32 = 64 << 10;

/// Clones share the connection.
#[derive(Clone)]
pub(crate) struct Channel {
    sender: http2::SendRequest<tonic::body::Body>,
    ended: CancellationToken,
}

impl Channel {
    pub(crate) async fn open(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(TokioIo::new(io))
            .await
            .unwrap();
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            drop(connection.await);
            drop(guard);
        });
        Self { sender, ended }
    }

    /// Returns when the connection has ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl tower::Service<Request<tonic::body::Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<tonic::body::Body>) -> Self::Future {
        *request.uri_mut() = format!("http://localhost{}", request.uri().path()).parse().unwrap();
        Box::pin(self.sender.send_request(request))
    }
}
