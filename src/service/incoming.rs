//! Connections as they come, whichever socket they come by.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener},
    sync::mpsc,
    time::{Sleep, sleep},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::{
    Listener,
    crowd::{Crowd, Member},
    listen::SocketFile,
    tls::Tls,
};

/// How long TLS and then HTTP/2 may take to begin.
const BEGINNING: Duration = Duration::from_secs(3);
/// How long somebody on the network may be connected without a call that the door lets in.
const STRANGER: Duration = Duration::from_secs(30);
/// What a client of HTTP/2 says first (RFC 9113, 3.4), in bytes.
const PREFACE: usize = 24;
/// The pause after a connection could not be taken, as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection.
pub(super) struct Incoming {
    io: Box<dyn Stream>,
    peer: Peer,
    /// What was read of it already.
    first: Bytes,
    stranger: Option<Stranger>,
    _member: Option<Member>,
}

/// Somebody on the network whom the door does not know yet.
struct Stranger {
    known: Arc<AtomicBool>,
    until: Pin<Box<Sleep>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Who is at its other end.
#[derive(Debug, Clone)]
pub(super) enum Peer {
    /// Somebody whom the mode of the socket lets in.
    Unix,
    /// Somebody on the network.
    Tcp {
        /// Shown and good: the beginning of its SHA-256, for the log.
        certificate: Option<String>,
        /// Whether the door let a call of this connection in.
        known: Arc<AtomicBool>,
    },
}

impl Peer {
    /// Its connection may stay: the door has let a call in.
    pub(super) fn becomes_known(&self) {
        if let Self::Tcp { known, .. } = self {
            known.store(true, Ordering::Relaxed);
        }
    }
}

impl Connected for Incoming {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Takes connections until `stop`, each as soon as its TLS has begun. The sockets' files are the caller's: as long as they
/// are there, the agent is. A successor can take their place all the same.
pub(super) fn incoming(
    listeners: Vec<Listener>,
    stop: &CancellationToken,
) -> (mpsc::Receiver<Incoming>, Vec<SocketFile>) {
    let (taken, incoming) = mpsc::channel(1);
    let mut files = Vec::new();
    for listener in listeners {
        let (taken, stop) = (taken.clone(), stop.clone());
        match listener {
            Listener::Unix(listener, file) => {
                files.push(file);
                tokio::spawn(stop.run_until_cancelled_owned(async move { take_unix(&listener, &taken).await }));
            }
            Listener::Tcp(listener, tls) => {
                tokio::spawn(stop.run_until_cancelled_owned(async move { take_tcp(&listener, tls, &taken).await }));
            }
        }
    }
    (incoming, files)
}

async fn take_unix(listener: &UnixListener, taken: &mpsc::Sender<Incoming>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (io, first) = (Box::new(stream), Bytes::new());
                let connection = Incoming { io, peer: Peer::Unix, first, stranger: None, _member: None };
                drop(taken.send(connection).await);
            }
            Err(error) => not_taken(&error).await,
        }
    }
}

async fn take_tcp(listener: &TcpListener, tls: Option<Arc<Tls>>, taken: &mpsc::Sender<Incoming>) {
    let crowd = Crowd::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                not_taken(&error).await;
                continue;
            }
        };
        let (member, beginner) = match crowd.enter(peer.ip()) {
            Ok(entered) => entered,
            Err(why) => {
                tracing::debug!(%peer, why, "turned away");
                continue;
            }
        };
        let (tls, taken) = (tls.clone(), taken.clone());
        tokio::spawn(async move {
            let begun = tokio::time::timeout(BEGINNING, begin(stream, tls.as_deref(), member)).await;
            drop(beginner);
            match begun {
                Ok(Ok(connection)) => drop(taken.send(connection).await),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection did not begin"),
                Err(_) => tracing::debug!(%peer, "a connection did not begin in time"),
            }
        });
    }
}

async fn not_taken(error: &io::Error) {
    tracing::warn!(%error, "cannot take a connection");
    sleep(PAUSE).await;
}

/// Returns once the client has begun with HTTP/2: one that is mute is not the server's yet, which would keep it for ever.
async fn begin(stream: TcpStream, tls: Option<&Tls>, member: Member) -> io::Result<Incoming> {
    stream.set_nodelay(true)?;
    let (mut io, certificate): (Box<dyn Stream>, _) = match tls {
        None => (Box::new(stream), None),
        Some(tls) => {
            let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = shown.map(|shown| crate::digest::sha256(shown).chars().take(19).collect());
            (Box::new(stream), certificate)
        }
    };
    let mut first = vec![0; PREFACE];
    io.read_exact(&mut first).await?;
    let known = Arc::<AtomicBool>::default();
    let stranger = Some(Stranger { known: Arc::clone(&known), until: Box::pin(sleep(STRANGER)) });
    let peer = Peer::Tcp { certificate, known };
    Ok(Incoming { io, peer, first: first.into(), stranger, _member: Some(member) })
}

impl Incoming {
    /// Whether it was a stranger's for too long. The server reads all the time, and is woken when that is so.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stranger {
            Some(stranger) if !stranger.known.load(Ordering::Relaxed) => stranger.until.as_mut().poll(cx),
            known => {
                *known = None;
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(length));
            return Poll::Ready(Ok(()));
        }
        if self.poll_over(cx).is_ready() {
            tracing::debug!(peer = ?self.peer, "nobody was let in by it: a connection is closed");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
