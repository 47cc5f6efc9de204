//! Where one agent is, and the connection to it.

mod tls;
mod token;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tonic::service::interceptor::InterceptedService;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use self::{
    tls::{Tls, closed},
    token::Token,
};
use super::{args::Connection, wait::Wait};
use crate::{
    grpc::Channel,
    model::{Failure, FailureKind},
    pb::build_agent_client::BuildAgentClient,
};

/// What an attempt may take, even where there is no time to wait.
const SHORTEST: Duration = Duration::from_millis(100);

/// The agent's API.
pub(super) type Client = BuildAgentClient<InterceptedService<Channel, Token>>;

/// A connected agent, and what is left of the time to wait for its engine.
pub(super) struct Agent {
    pub(super) client: Client,
    pub(super) wait: Duration,
}

/// Where one agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    /// The host and port, which a certificate has to be for, and the address where that is known already.
    Tcp(String, Option<SocketAddr>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(_, Some(address)) => write!(f, "tcp://{address}"),
            Self::Tcp(host, None) => write!(f, "tcp://{host}"),
        }
    }
}

/// What is shown to agents, and how they are spoken to.
pub(super) struct Manner {
    token: Token,
    tls: Tls,
}

impl Manner {
    pub(super) fn new(connection: &Connection) -> Result<Self, Failure> {
        Ok(Self { token: Token::find(|name| std::env::var(name).ok())?, tls: Tls::new(&connection.tls) })
    }

    /// Connects, without waiting for an agent that is not there.
    pub(super) async fn open(&self, address: &Address) -> std::io::Result<Client> {
        let channel = attempt(address, &self.tls).await?;
        let client = BuildAgentClient::new(InterceptedService::new(channel, self.token.clone()));
        Ok(client.max_decoding_message_size(64 << 20))
    }
}

/// Connects, as soon as the one agent is there.
pub(super) async fn connect(
    connection: &Connection,
    wait: &mut Wait,
    mut tell: impl FnMut(String),
) -> Result<Agent, Failure> {
    let address = parse(&connection.agent)?;
    let manner = Manner::new(connection)?;
    loop {
        let error = match tokio::time::timeout(wait.left().max(SHORTEST), manner.open(&address)).await {
            Ok(Ok(client)) => return Ok(Agent { client, wait: wait.left() }),
            Ok(Err(error)) => error,
            Err(_) => {
                std::io::Error::new(std::io::ErrorKind::TimedOut, "it accepts the connection, and does not answer")
            }
        };
        let why = unreachable(&connection.agent, &error);
        if !may_pass(&error) {
            return Err(why);
        }
        wait.pause(why, &mut tell).await?;
    }
}

/// Reads the address of one agent.
pub(super) fn parse(url: &str) -> Result<Address, Failure> {
    match url.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
        Some(("tcp", host)) if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            Ok(Address::Tcp(host.to_owned(), None))
        }
        _ => Err(Failure::new(FailureKind::Usage, format!("'{url}' is no address of an agent"))
            .next("give --agent or REMORA_AGENT as unix:///path, tcp://host:port or dns:///host:port")),
    }
}

async fn attempt(address: &Address, tls: &Tls) -> std::io::Result<Channel> {
    match address {
        Address::Unix(path) => handshake(UnixStream::connect(path).await?, closed()).await,
        Address::Tcp(host, address) => {
            let stream = match address {
                Some(address) => TcpStream::connect(address).await?,
                None => TcpStream::connect(host).await?,
            };
            stream.set_nodelay(true)?;
            let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
            let name = name.trim_start_matches('[').trim_end_matches(']');
            if !tls.is_for(name, stream.peer_addr()?.ip()) {
                return handshake(stream, closed()).await;
            }
            let (stream, closed) = tls.over(name, stream).await?;
            handshake(stream, closed).await
        }
    }
}

/// `closed` is what it means that the connection ends before it is answered.
async fn handshake<IO>(io: IO, closed: std::io::Error) -> std::io::Result<Channel>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (channel, driver) = Channel::handshake_pinging(TokioIo::new(io)).await.map_err(std::io::Error::other)?;
    tokio::spawn(driver);
    // Whatever it answers, it answers.
    let mut health = HealthClient::new(channel.clone());
    match health.check(HealthCheckRequest::default()).await {
        Err(status) if status.code() == tonic::Code::Unknown || std::error::Error::source(&status).is_some() => {
            Err(closed)
        }
        _ => Ok(channel),
    }
}

/// Whether trying again may help.
pub(super) fn may_pass(error: &std::io::Error) -> bool {
    !matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::InvalidData)
}

/// Why there is no agent.
pub(super) fn unreachable(agent: &str, error: &std::io::Error) -> Failure {
    let what = format!("cannot reach the agent at {agent}: {error}");
    if let Some(failure) = error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>()) {
        return Failure { what, ..failure.clone() };
    }
    let next = match error.kind() {
        std::io::ErrorKind::PermissionDenied => "run the step as a user or group that may use the agent's socket",
        std::io::ErrorKind::NotFound => {
            "start remora-agent beside the engine, or name its address with --agent or REMORA_AGENT; in a pod, check that \
             its sidecar runs and that both share the volume with its socket"
        }
        _ => "check that the agent runs, and that --agent or REMORA_AGENT names its address",
    };
    Failure::new(FailureKind::Agent, what).next(next)
}
