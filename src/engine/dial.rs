//! Opens byte streams and HTTP connections to an engine.

use std::{path::Path, sync::Arc, time::Duration};

use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};

use super::Error;
use crate::{
    grpc::Channel,
    model::{EngineUrl, TlsDir},
};

/// Any byte stream to the engine.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How long it may take to open a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest message that is taken from an engine, in bytes: Status and definitions are larger than tonic's 4 MiB at times.
pub(super) const LARGEST_MESSAGE: usize = 64 << 20;

/// How gRPC reaches `BuildKit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Through `POST /grpc` of Docker's REST API, upgraded to h2c.
    Hijack,
    /// gRPC on the socket itself.
    Native,
}

/// A gRPC connection of its own to the engine; dropped, it ends, and what runs in it with it.
pub(super) struct Grpc {
    pub(super) channel: Channel,
    pub(super) transport: Transport,
    driver: JoinHandle<Option<hyper::Error>>,
}

impl Grpc {
    pub(super) async fn connect(url: &EngineUrl, transport: Transport) -> Result<Self, Error> {
        let connecting = async {
            match transport {
                Transport::Native => handshake(url, TokioIo::new(connect(url, b"h2").await?)).await,
                Transport::Hijack => handshake(url, hijack(url, "/grpc", HeaderMap::new()).await?).await,
            }
        };
        let connected = tokio::time::timeout(PATIENCE, connecting).await;
        let (channel, driver) = connected.map_err(|_| Error::broken(url, "it does not answer"))??;
        Ok(Self { channel, transport, driver })
    }

    /// Returns when the connection has ended.
    pub(super) async fn closed(&mut self) {
        drop((&mut self.driver).await);
    }
}

impl Drop for Grpc {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn handshake<IO>(url: &EngineUrl, io: IO) -> Result<(Channel, JoinHandle<Option<hyper::Error>>), Error>
where
    IO: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let (channel, driver) = Channel::handshake(io).await.map_err(|e| Error::broken(url, e))?;
    Ok((channel, tokio::spawn(driver)))
}

/// Asks Docker's REST API, on a connection of its own.
pub(super) async fn rest<B>(url: &EngineUrl, mut request: Request<B>) -> Result<Response<Incoming>, Error>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = connect(url, b"http/1.1").await?;
    let (mut sender, connection) =
        conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| Error::broken(url, e))?;
    tokio::spawn(connection.with_upgrades());
    request.headers_mut().entry(header::HOST).or_insert(header::HeaderValue::from_static("docker"));
    // HTTP/1.1 wants the path alone.
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = path.into();
    }
    sender.send_request(request).await.map_err(|e| Error::broken(url, e))
}

/// Has dockerd hand over a connection: after its 101 the stream is HTTP/2 with prior knowledge. On `/grpc` we are the
/// client, on `/session` the server.
pub(super) async fn hijack(
    url: &EngineUrl,
    path: &'static str,
    headers: HeaderMap,
) -> Result<hyper::upgrade::Upgraded, Error> {
    let mut request = Request::new(http_body_util::Empty::<bytes::Bytes>::new());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = Uri::from_static(path);
    *request.headers_mut() = headers;
    request.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    request.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("h2c"));
    let response = rest(url, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::NoHijack { url: url.to_string(), path, status: response.status().as_u16() });
    }
    hyper::upgrade::on(response).await.map_err(|e| Error::broken(url, e))
}

/// Opens a byte stream. `alpn` is offered where the stream is TLS.
async fn connect(url: &EngineUrl, alpn: &[u8]) -> Result<Box<dyn Stream>, Error> {
    let unreachable = |source| Error::Unreachable { url: url.to_string(), source };
    match url {
        EngineUrl::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?)),
        EngineUrl::Tcp { host, port, tls } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            let Some(dir) = tls else { return Ok(Box::new(stream)) };
            let name = ServerName::try_from(host.clone())
                .map_err(|e| Error::Tls { file: host.clone(), problem: e.to_string() })?;
            let connector = tokio_rustls::TlsConnector::from(Arc::new(tls_config(dir, alpn)?));
            Ok(Box::new(connector.connect(name, stream).await.map_err(unreachable)?))
        }
    }
}

/// Mutual TLS from Docker's three files. Read for each connection, so that a renewed certificate is taken up.
fn tls_config(tls: &TlsDir, alpn: &[u8]) -> Result<ClientConfig, Error> {
    let failed = |path: &Path, problem: String| Error::Tls { file: path.display().to_string(), problem };
    let certificates = |path: &Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| failed(path, e.to_string()))
    };
    let mut roots = RootCertStore::empty();
    // Only Docker's own CA vouches for the engine, none of the system's.
    roots.add_parsable_certificates(certificates(&tls.ca())?);
    let key = PrivateKeyDer::from_pem_file(tls.key()).map_err(|e| failed(&tls.key(), e.to_string()))?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&tls.cert())?, key)
        .map_err(|e| failed(tls.path(), e.to_string()))?;
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}
