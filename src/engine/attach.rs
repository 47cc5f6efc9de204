//! Opens `BuildKit`'s session and hands its calls to the client that lends the attachables; those for blobs, to the
//! agent's own.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bollard_buildkit_proto::moby::buildkit::v1::{BytesMessage, control_client::ControlClient};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::{body::Incoming, rt, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{runtime::Handle, task::JoinHandle};
use tonic::metadata::MetadataMap;

use super::{
    Error,
    content::Content,
    dial::{self, Grpc, Transport},
};
use crate::{
    grpc::CONNECTION_WINDOW,
    model::{EngineUrl, Failure},
    session::{Lent, pipe},
};

/// Bytes of headers that a call of the engine may have: every line of a `.dockerignore` is one.
const HEADERS: u32 = 1 << 20;

/// Bytes of one call that may wait for the client.
const STREAM_WINDOW: u32 = 1 << 20;

/// How long a session stays for solves of others that found its blobs: an engine that meets its end tries again for a
/// minute for each of them.
const STAYS: Duration = Duration::from_secs(10);

/// A session that the engine sees. Dropped, it ends.
pub(super) struct Attachment {
    pub(super) id: String,
    content: Content,
    /// Whether the engine wanted a blob before it was lent.
    wanted: AtomicBool,
    task: JoinHandle<()>,
}

impl Attachment {
    /// Has the engine read these blobs, by their digests.
    pub(super) fn lend(&self, blobs: impl IntoIterator<Item = (String, Bytes)>) {
        if self.content.add(blobs) {
            self.wanted.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let task = self.task.abort_handle();
        match Handle::try_current() {
            Ok(runtime) if self.wanted.load(Ordering::Relaxed) => drop(runtime.spawn(async move {
                tokio::time::sleep(STAYS).await;
                task.abort();
            })),
            _ => task.abort(),
        }
    }
}

/// Opens a session with everything that `lent` offers.
pub(super) fn attach(url: &EngineUrl, connection: &Grpc, lent: Lent) -> Result<Attachment, Failure> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let headers = headers(&id, &lent)?;
    let (url, channel, transport) = (url.clone(), connection.channel.clone(), connection.transport);
    let content = Content::default();
    let served = content.clone();
    let task = tokio::spawn(async move {
        // The session's bytes as they are cost the engine less than wrapped in messages, which it has to take apart.
        if transport == Transport::Hijack
            && let Ok(io) = dial::hijack(&url, "/session", headers.clone()).await
        {
            return serve(io, lent, served).await;
        }
        let (writer, outgoing) = pipe::<BytesMessage>();
        let mut request = tonic::Request::new(outgoing);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        match ControlClient::new(channel).session(request).await {
            Ok(response) => serve(TokioIo::new(writer.join(response.into_inner())), lent, served).await,
            Err(status) => tracing::debug!(%status, "the engine refused the session"),
        }
    });
    Ok(Attachment { id, content, wanted: AtomicBool::new(false), task })
}

/// What the engine learns of the session before it makes a call.
fn headers(id: &str, lent: &Lent) -> Result<HeaderMap, Failure> {
    let value = |text: &str| {
        let problem = format!("'{}' in its metadata", text.escape_debug());
        HeaderValue::from_str(text).map_err(|_| Error::Refused { call: "Session", problem })
    };
    let mut headers = HeaderMap::new();
    headers.insert("x-docker-expose-session-uuid", value(id)?);
    headers.insert("x-docker-expose-session-name", HeaderValue::from_static("remora"));
    headers.insert("x-docker-expose-session-sharedkey", value(&lent.offer().shared_key)?);
    for method in &lent.offer().methods {
        headers.append("x-docker-expose-session-grpc-method", value(method)?);
    }
    Ok(headers)
}

/// Is the HTTP/2 server of the session's bytes, until they end.
async fn serve<IO>(io: IO, lent: Lent, content: Content)
where
    IO: rt::Read + rt::Write + Unpin,
{
    let served = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(256 << 10)
        .max_header_list_size(HEADERS)
        .serve_connection(io, service_fn(move |call| answer(lent.clone(), content.clone(), call)))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "session ended");
    }
}

async fn answer(
    lent: Lent,
    content: Content,
    call: Request<Incoming>,
) -> Result<Response<tonic::body::Body>, Infallible> {
    if Content::answers(&call) {
        return Ok(content.answer(call).await);
    }
    let method = call.uri().path().to_owned();
    Ok(lent.forward(call).await.unwrap_or_else(|error| {
        tracing::debug!(method, %error, "the client did not answer");
        tonic::Status::unavailable("the client that lends the build context is gone").into_http()
    }))
}
