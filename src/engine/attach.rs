//! Opens `BuildKit`'s session and hands its calls to the client that lends the attachables.

use std::convert::Infallible;

use bollard_buildkit_proto::moby::buildkit::v1::{BytesMessage, control_client::ControlClient};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};

use super::Error;
use crate::{
    grpc::Channel,
    model::Failure,
    session::{Lent, pipe},
};

/// A session that the engine sees. Dropped, it ends.
pub(super) struct Attachment {
    pub(super) id: String,
    task: JoinHandle<()>,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens a session with everything that `lent` offers.
pub(super) fn attach(channel: Channel, lent: Lent) -> Result<Attachment, Failure> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let (writer, outgoing) = pipe::<BytesMessage>();
    let mut request = tonic::Request::new(outgoing);
    let metadata = request.metadata_mut();
    metadata.insert("x-docker-expose-session-uuid", value(&id)?);
    metadata.insert("x-docker-expose-session-name", MetadataValue::from_static("remora"));
    metadata.insert("x-docker-expose-session-sharedkey", value(&lent.offer().shared_key)?);
    let key = MetadataKey::<Ascii>::from_static("x-docker-expose-session-grpc-method");
    for method in &lent.offer().methods {
        metadata.append(key.clone(), value(method)?);
    }
    let task = tokio::spawn(async move {
        let mut control = ControlClient::new(channel);
        let incoming = match control.session(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return tracing::debug!(%status, "the engine refused the session"),
        };
        let served = http2::Builder::new(TokioExecutor::new())
            .max_send_buf_size(256 << 10)
            .serve_connection(TokioIo::new(writer.join(incoming)), service_fn(move |call| forward(lent.clone(), call)))
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "session ended");
        }
    });
    Ok(Attachment { id, task })
}

async fn forward(lent: Lent, call: Request<Incoming>) -> Result<Response<tonic::body::Body>, Infallible> {
    let method = call.uri().path().to_owned();
    Ok(lent.forward(call).await.unwrap_or_else(|error| {
        tracing::debug!(method, %error, "the client did not answer");
        tonic::Status::unavailable("the client that lends the build context is gone").into_http()
    }))
}

fn value(text: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let invalid = |_| Error::Refused { call: "Session", problem: format!("'{}' in its metadata", text.escape_debug()) };
    Ok(text.parse().map_err(invalid)?)
}
