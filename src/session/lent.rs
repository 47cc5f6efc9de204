//! The agent's half: what a client lends, forwarded call by call.

use std::{collections::BTreeMap, sync::Arc};

use bollard_buildkit_proto::moby::{
    buildkit::secrets::v1::{GetSecretRequest, secrets_client::SecretsClient},
    filesync::v1::{CredentialsRequest, CredentialsResponse, auth_client::AuthClient},
    sshforward::v1::{BytesMessage, CheckAgentRequest, ssh_client::SshClient},
};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status, metadata::MetadataValue, server::Grpc};
use tonic_prost::ProstCodec;
use tower::ServiceExt as _;

use super::{Directory, filesync, methods, pipe};
use crate::{
    grpc::Channel,
    model::{Credential, Failure, FailureKind},
};

/// Begins the names of the agent's own directories. The client's are named like contexts, which have no capitals.
const CHECKOUT: &str = "Checkout-of-";

/// Knows credentials that a client does not lend, by the registry's host.
pub type Fallback = Arc<dyn Fn(String) -> BoxFuture<'static, Credential> + Send + Sync>;

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
    /// Directories of the agent's own, by the names that the engine asks for.
    checkouts: Arc<BTreeMap<String, Directory>>,
    fallback: Option<Fallback>,
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
            drop(driver.await);
            drop(guard);
        });
        Ok(Self { offer, checkouts: Arc::default(), fallback: None, channel, ended })
    }

    /// What the client said of itself.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Returns when the client's session has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// The same, and directories of the agent's own, by the inputs of the build that they are. `shared_key` takes the place of
    /// the client's.
    #[must_use]
    pub fn with_checkouts(mut self, checkouts: BTreeMap<String, Directory>, shared_key: String) -> Self {
        self.checkouts =
            Arc::new(checkouts.into_iter().map(|(input, path)| (format!("{CHECKOUT}{input}"), path)).collect());
        self.offer.shared_key = shared_key;
        self
    }

    /// The same, and credentials for registries for which the client has none.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Fallback) -> Self {
        if !self.offer.methods.iter().any(|method| method == methods::CREDENTIALS) {
            self.offer.methods.push(methods::CREDENTIALS.to_owned());
        }
        self.fallback = Some(fallback);
        self
    }

    /// The inputs that are directories of the agent's own: the name of each, and that of its directory.
    pub fn checkouts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.checkouts.keys().filter_map(|directory| Some((directory.strip_prefix(CHECKOUT)?, directory.as_str())))
    }

    /// Hands a call of `BuildKit` to the client: the body flows through, frame by frame, and is never gathered. Asked for
    /// a directory of the agent's own, it sends that; asked for a credential, it falls back to what it was given.
    pub async fn forward(&self, request: Request<Incoming>) -> Result<Response<tonic::body::Body>, hyper::Error> {
        let asks = || filesync::directory(request.headers()).is_some_and(|name| self.checkouts.contains_key(&name));
        if !self.checkouts.is_empty() && request.uri().path() == methods::FILE_SYNC && asks() {
            return Ok(filesync::diff_copy(request, &self.checkouts, filesync::Told::default()));
        }
        if self.fallback.is_some() && request.uri().path() == methods::CREDENTIALS {
            return Ok(self.clone().answer_credentials(request).await);
        }
        let response = self.channel.clone().oneshot(request.map(tonic::body::Body::new)).await?;
        Ok(response.map(tonic::body::Body::new))
    }

    async fn answer_credentials(self, request: Request<Incoming>) -> Response<tonic::body::Body> {
        let answer = tower::service_fn(move |request: tonic::Request<CredentialsRequest>| {
            let lent = self.clone();
            async move {
                let found = lent.credential(&request.into_inner().host).await;
                let (username, secret) = match found.map_err(|failure| Status::failed_precondition(failure.what))? {
                    Credential::Anonymous => Default::default(),
                    Credential::Basic { username, secret } => (username, secret),
                    Credential::IdentityToken(secret) => (String::new(), secret),
                };
                Ok::<_, Status>(tonic::Response::new(CredentialsResponse { username, secret }))
            }
        });
        Grpc::new(ProstCodec::<CredentialsResponse, CredentialsRequest>::default()).unary(answer, request).await
    }

    /// The client's credential for this registry, else what the fallback has.
    pub async fn credential(&self, registry: &str) -> Result<Credential, Failure> {
        match (self.client_credential(registry).await?, &self.fallback) {
            (Credential::Anonymous, Some(fallback)) => Ok(fallback(registry.to_owned()).await),
            (credential, _) => Ok(credential),
        }
    }

    async fn client_credential(&self, registry: &str) -> Result<Credential, Failure> {
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

    /// The client's login to the git server at this origin, `https://HOST[:PORT]`, which it lends to nobody but the agent.
    pub async fn git_credential(&self, origin: &str) -> Result<Credential, Failure> {
        self.client_credential(&format!("git+{origin}")).await
    }

    /// A secret of the client's. `None` where it lends none of that id.
    pub async fn secret(&self, id: &str) -> Result<Option<String>, Failure> {
        let mut secrets = SecretsClient::new(self.channel.clone());
        let request = GetSecretRequest { id: id.to_owned(), ..GetSecretRequest::default() };
        let cannot = |why: &str| Failure::new(FailureKind::Usage, format!("the secret {id} cannot be had: {why}"));
        match secrets.get_secret(request).await {
            Ok(answer) => match String::from_utf8(answer.into_inner().data) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(cannot("it is no text")),
            },
            Err(status) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => Ok(None),
            Err(status) => Err(cannot(status.message()).next("check what --secret names where the client runs")),
        }
    }

    /// Whether the client lends an SSH agent of that id.
    pub async fn has_ssh_agent(&self, id: &str) -> bool {
        SshClient::new(self.channel.clone()).check_agent(CheckAgentRequest { id: id.to_owned() }).await.is_ok()
    }

    /// Connects with the client's SSH agent of that id.
    pub async fn ssh_agent(&self, id: &str) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, Status> {
        let (writer, outgoing) = pipe::<BytesMessage>();
        let mut request = tonic::Request::new(outgoing);
        let id = MetadataValue::try_from(id).map_err(|_| Status::invalid_argument("an id that is no header value"))?;
        request.metadata_mut().insert("buildkit.ssh.id", id);
        let answer = SshClient::new(self.channel.clone()).forward_agent(request).await?;
        Ok(writer.join(answer.into_inner()))
    }
}
