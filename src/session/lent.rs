//! The agent's half: what a client lends, forwarded call by call.

use bollard_buildkit_proto::moby::filesync::v1::{CredentialsRequest, CredentialsResponse, auth_client::AuthClient};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Code;
use tower::ServiceExt as _;

use crate::{
    grpc::Channel,
    model::{Credential, Failure, FailureKind},
};

/// What a client says of itself when it opens a session.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// Full paths of the gRPC methods that it serves.
    pub methods: Vec<String>,
    /// Contexts with the same key are the same directory: the engine then asks only for what changed.
    pub shared_key: String,
}

/// The attachables that a client lends for as long as its session lasts. Clones share the session.
#[derive(Clone)]
pub struct Lent {
    offer: Offer,
    channel: Channel,
    ended: CancellationToken,
}

impl Lent {
    /// Becomes the HTTP/2 client of the session's bytes, and stays until they end.
    pub async fn open<IO>(io: IO, offer: Offer) -> Result<Self, hyper::Error>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (channel, driver) = Channel::handshake(TokioIo::new(io)).await?;
        let ended = CancellationToken::new();
        let guard: DropGuard = ended.clone().drop_guard();
        tokio::spawn(async move {
            driver.await;
            drop(guard);
        });
        Ok(Self { offer, channel, ended })
    }

    /// What the client said of itself.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Returns when the client's session has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Hands a call of `BuildKit` to the client: the body flows through, frame by frame, and is never gathered.
    pub async fn forward(&self, request: Request<Incoming>) -> Result<Response<tonic::body::Body>, hyper::Error> {
        let response = self.channel.clone().oneshot(request.map(tonic::body::Body::new)).await?;
        Ok(response.map(tonic::body::Body::new))
    }

    /// The client's credential for this registry.
    pub async fn credential(&self, registry: &str) -> Result<Credential, Failure> {
        let mut auth = AuthClient::new(self.channel.clone());
        match auth.credentials(CredentialsRequest { host: registry.to_owned() }).await {
            Ok(answer) => {
                let CredentialsResponse { username, secret } = answer.into_inner();
                Ok(match (username.is_empty(), secret.is_empty()) {
                    (true, true) => Credential::Anonymous,
                    (true, false) => Credential::IdentityToken(secret),
                    (false, _) => Credential::Basic { username, secret },
                })
            }
            Err(status) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => Ok(Credential::Anonymous),
            Err(status) => Err(Failure::new(
                FailureKind::Usage,
                format!("the client's credentials for {registry} cannot be had: {}", status.message()),
            )
            .next("check the Docker configuration where the client runs")),
        }
    }
}
