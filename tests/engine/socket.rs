//! The unix socket that a fake engine listens on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use remora::model::EngineUrl;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, join},
    net::{UnixListener, UnixStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{dockerd::Dockerd, fake::BuildKit, rig::soon};

/// What listens.
#[derive(Clone)]
pub(crate) enum Daemon {
    Buildkitd(BuildKit),
    Dockerd(Dockerd),
}

impl From<BuildKit> for Daemon {
    fn from(buildkit: BuildKit) -> Self {
        Self::Buildkitd(buildkit)
    }
}

impl From<Dockerd> for Daemon {
    fn from(dockerd: Dockerd) -> Self {
        Self::Dockerd(dockerd)
    }
}

/// A socket with an engine behind it. Dropped, both are gone.
pub(crate) struct Socket {
    pub(crate) url: EngineUrl,
    daemon: Option<Daemon>,
    directory: TempDir,
    running: CancellationToken,
    listening: CancellationToken,
    open: watch::Sender<usize>,
}

/// Numbers the connections of all engines.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

impl Socket {
    /// A place where nothing listens yet.
    pub(crate) fn unbound() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = EngineUrl::Unix(directory.path().join("engine.sock"));
        let (running, listening) = (CancellationToken::new(), CancellationToken::new());
        Self { url, daemon: None, directory, running, listening, open: watch::Sender::default() }
    }

    pub(crate) fn listening(daemon: impl Into<Daemon>) -> Self {
        let mut socket = Self::unbound();
        socket.start(daemon);
        socket
    }

    /// Listens.
    pub(crate) fn start(&mut self, daemon: impl Into<Daemon>) {
        self.daemon = Some(daemon.into());
        self.listen();
    }

    /// Stops, closes every connection, and starts anew.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.listen();
    }

    /// Stops to listen, and closes every connection.
    pub(crate) fn stop(&mut self) {
        self.running.cancel();
        self.running = CancellationToken::new();
        drop(std::fs::remove_file(self.directory.path().join("engine.sock")));
    }

    /// Takes no new connection, and keeps those that it has: as an engine that shuts down.
    pub(crate) fn deafen(&self) {
        self.listening.cancel();
    }

    fn listen(&mut self) {
        self.listening = self.running.child_token();
        let daemon = self.daemon.clone().unwrap();
        let listener = UnixListener::bind(self.directory.path().join("engine.sock")).unwrap();
        let (running, open) = (self.running.clone(), self.open.clone());
        tokio::spawn(self.listening.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
                let peer = Peer { number, running: running.clone(), _open: Arc::new(Open::new(&open)) };
                tokio::spawn(running.clone().run_until_cancelled_owned(serve(daemon.clone(), stream, peer)));
            }
        }));
    }

    /// Returns when this many connections are open.
    pub(crate) async fn connections(&self, number: usize) {
        soon(self.open.subscribe().wait_for(|open| *open == number)).await.unwrap();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.running.cancel();
    }
}

/// A connection. It counts as open until its last clone is dropped, upgraded or not.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) number: u64,
    /// Ends when the engine closes its connections.
    pub(super) running: CancellationToken,
    _open: Arc<Open>,
}

/// Counts a connection for as long as it is open.
struct Open(watch::Sender<usize>);

impl Open {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

async fn serve(daemon: Daemon, mut stream: UnixStream, peer: Peer) {
    match daemon {
        Daemon::Buildkitd(buildkit) => buildkit.serve(stream, peer.number).await,
        Daemon::Dockerd(dockerd) => {
            let mut first = vec![0; 3];
            if stream.read_exact(&mut first).await.is_err() {
                return;
            }
            // What HTTP/2 begins with.
            let native = first == *b"PRI" && dockerd.native;
            let (reads, writes) = stream.into_split();
            let whole = join(std::io::Cursor::new(first).chain(reads), writes);
            if native {
                dockerd.buildkit.serve(whole, peer.number).await;
            } else {
                dockerd.serve(whole, peer).await;
            }
        }
    }
}
