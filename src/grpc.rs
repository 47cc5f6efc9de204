//! One HTTP/2 connection as what tonic's clients call through. Tonic's own channel reconnects and buffers in secret;
//! here a connection has one owner, who learns when it ends.

#[cfg(feature = "client")]
use std::time::Duration;

use http::{Request, Response, Uri, uri::PathAndQuery};
use hyper::{body::Incoming, client::conn::http2, rt};
use hyper_util::rt::TokioExecutor;

/// HTTP/2 window of one stream towards us, in bytes. Bounds what one call can make us hold.
const STREAM_WINDOW: u32 = 1 << 20;
/// HTTP/2 window of a whole connection towards us, in bytes: the windows of its calls are what bounds it.
///
/// Half of it is what h2 lets small frames cost that nobody has read yet, 256 bytes each less what is in them; beyond
/// that it breaks the connection. A call's window of 1 MiB may be full of them: an engine sends a file's description, a
/// request for one, or a line of a log in a frame of its own, of ten bytes and more.
pub(crate) const CONNECTION_WINDOW: u32 = 64 << 20;
/// Longest HTTP/2 frame that we take, in bytes: the default of 16 KiB makes many of a large context.
const FRAME: u32 = 256 << 10;
/// Bytes that one stream may have waiting to be sent.
const SEND_BUFFER: usize = 256 << 10;

/// How often a peer is asked whether it is there, and how long it may take to answer.
#[cfg(feature = "client")]
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));

/// A connection's sender; its clones share the connection.
#[derive(Clone)]
pub(crate) struct Channel {
    sender: http2::SendRequest<tonic::body::Body>,
}

impl Channel {
    /// Becomes the HTTP/2 client of `io`. The future drives the connection and returns when it has ended, with why it broke.
    #[cfg(feature = "agent")]
    pub(crate) async fn handshake<IO>(
        io: IO,
    ) -> Result<(Self, impl Future<Output = Option<hyper::Error>> + Send), hyper::Error>
    where
        IO: rt::Read + rt::Write + Send + Unpin + 'static,
    {
        Self::of(io, &mut http2::Builder::new(TokioExecutor::new())).await
    }

    /// The same, and a peer that answers no ping for half a minute is gone: its host may have died without a word. Not
    /// for `BuildKit`, which takes pings for an attack.
    #[cfg(feature = "client")]
    pub(crate) async fn handshake_pinging<IO>(
        io: IO,
    ) -> Result<(Self, impl Future<Output = Option<hyper::Error>> + Send), hyper::Error>
    where
        IO: rt::Read + rt::Write + Send + Unpin + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(hyper_util::rt::TokioTimer::new()).keep_alive_interval(PING.0).keep_alive_timeout(PING.1);
        Self::of(io, &mut builder).await
    }

    async fn of<IO>(
        io: IO,
        builder: &mut http2::Builder<TokioExecutor>,
    ) -> Result<(Self, impl Future<Output = Option<hyper::Error>> + Send + use<IO>), hyper::Error>
    where
        IO: rt::Read + rt::Write + Send + Unpin + 'static,
    {
        let (sender, connection) = builder
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_send_buf_size(SEND_BUFFER)
            .handshake(io)
            .await?;
        let driver = async move {
            let broke = connection.await.err();
            if let Some(error) = &broke {
                tracing::debug!(%error, "an HTTP/2 connection ended");
            }
            broke
        };
        Ok((Self { sender }, driver))
    }
}

impl tower::Service<Request<tonic::body::Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<tonic::body::Body>) -> Self::Future {
        // HTTP/2 wants a scheme and an authority; nobody looks at them on a connection of its own.
        let mut uri = Uri::from_static("http://localhost/").into_parts();
        uri.path_and_query = Some(request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        Box::pin(self.sender.send_request(request))
    }
}
