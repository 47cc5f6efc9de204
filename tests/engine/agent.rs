//! An agent beside a fake engine, and a stock gRPC client of it.

use std::{io, path::PathBuf, sync::Arc};

use remora::{
    engine::Engine,
    model::{Failure, ListenUrl, SessionId},
    pb::{self, SessionData, build_agent_client::BuildAgentClient},
    service::{self, Listener, Settings},
    session::{self, pipe},
    wire,
};
use tempfile::TempDir;
use tokio::{
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    channel::Channel,
    rig::{LIMIT, attachables, new_id, soon},
    socket::{Daemon, Socket},
};

pub(crate) type Client = BuildAgentClient<Channel>;

/// An agent that serves. Dropped, it is gone.
pub(crate) struct Agent {
    pub(crate) engine: Socket,
    pub(crate) drain: CancellationToken,
    pub(crate) served: JoinHandle<io::Result<()>>,
    address: Address,
    _directory: TempDir,
}

#[derive(Clone)]
enum Address {
    Unix(PathBuf),
    Tcp(std::net::SocketAddr),
}

impl Agent {
    /// One whose engine is ready.
    pub(crate) async fn beside(daemon: impl Into<Daemon>) -> Self {
        Self::with(daemon, Settings::default()).await
    }

    pub(crate) async fn with(daemon: impl Into<Daemon>, settings: Settings) -> Self {
        let agent = Self::start(Socket::listening(daemon), settings, false).await;
        agent.ready().await;
        agent
    }

    pub(crate) async fn start(engine: Socket, settings: Settings, tcp: bool) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let url = if tcp { ListenUrl::parse("tcp://127.0.0.1:0").unwrap() } else { ListenUrl::Unix(path.clone()) };
        let listener = Listener::bind(&url, None).await.unwrap();
        let address = match &listener {
            Listener::Unix(..) => Address::Unix(path),
            Listener::Tcp(listener, _) => Address::Tcp(listener.local_addr().unwrap()),
        };
        let drain = CancellationToken::new();
        let agent = service::Agent::new(Engine::connect(engine.url.clone()), settings);
        let served = tokio::spawn(service::serve(agent, vec![listener], drain.clone().cancelled_owned()));
        Self { engine, drain, served, address, _directory: directory }
    }

    /// Where it listens on TCP.
    pub(crate) fn tcp(&self) -> std::net::SocketAddr {
        match &self.address {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("it listens on {}", path.display()),
        }
    }

    /// Where its socket is.
    pub(crate) fn socket(&self) -> &std::path::Path {
        match &self.address {
            Address::Unix(path) => path,
            Address::Tcp(address) => panic!("it listens on {address}"),
        }
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Channel {
        match &self.address {
            Address::Unix(path) => Channel::open(UnixStream::connect(path).await.unwrap()).await,
            Address::Tcp(address) => Channel::open(TcpStream::connect(address).await.unwrap()).await,
        }
    }

    pub(crate) async fn client(&self) -> Client {
        BuildAgentClient::new(self.channel().await)
    }

    /// Returns when the engine is there.
    pub(crate) async fn ready(&self) {
        let mut health = HealthClient::new(self.channel().await);
        let mut told = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        while soon(told.message()).await.unwrap().unwrap().status() != ServingStatus::Serving {}
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.served.abort();
    }
}

pub(crate) fn millis() -> u32 {
    LIMIT.as_millis().try_into().unwrap()
}

/// A session that a client has opened. Dropped, it is gone.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// Ends when the session does.
    pub(crate) served: JoinHandle<()>,
    _context: Arc<TempDir>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// Lends a context with these files in a session of this id.
pub(crate) async fn lend(client: &Client, id: &SessionId, files: &[(&str, &str)]) -> Session {
    let context = Arc::new(tempfile::tempdir().unwrap());
    for (name, content) in files {
        std::fs::write(context.path().join(name), content).unwrap();
    }
    let (writer, outgoing) = pipe::<SessionData>();
    let mut request = tonic::Request::new(outgoing);
    request.metadata_mut().insert("remora-session", id.0.parse().unwrap());
    let incoming = client.clone().session(request).await.unwrap().into_inner();
    let attachables = attachables(&context, Arc::default());
    let served = tokio::spawn(async move { drop(session::serve(writer.join(incoming), attachables).await) });
    Session { id: id.clone(), served, _context: context }
}

/// A session of an empty context.
pub(crate) async fn lend_nothing(client: &Client) -> Session {
    lend(client, &SessionId(new_id()), &[]).await
}

/// A build that asks for nothing.
pub(crate) fn build(session: &SessionId) -> pb::BuildRequest {
    pb::BuildRequest { session: session.0.clone(), wait_ms: millis(), ..pb::BuildRequest::default() }
}

/// Everything that a call says, and how it ends.
pub(crate) async fn end(mut events: Streaming<pb::Event>) -> (Vec<pb::event::Kind>, Result<pb::Report, Failure>) {
    let mut all = Vec::new();
    loop {
        match soon(events.message()).await {
            Ok(Some(pb::Event { kind: Some(pb::event::Kind::Done(done)) })) => return (all, Ok(done.report.unwrap())),
            Ok(event) => all.push(event.expect("a call ends with its report").kind.unwrap()),
            Err(status) => return (all, Err(wire::from_status(&status))),
        }
    }
}
