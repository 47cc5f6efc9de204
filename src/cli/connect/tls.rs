//! TLS towards an agent beyond loopback, and what its errors mean.

use std::{
    io,
    net::IpAddr,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    AlertDescription, CertificateError as Bad, ClientConfig, Error as TlsError, RootCertStore, SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    sign::CertifiedKey,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    cli::{args, usage},
    model::{Failure, FailureKind},
};

/// TLS to agents. Nothing is read before it is wanted.
pub(super) struct Tls {
    files: args::Tls,
    config: OnceLock<Result<ClientConfig, Failure>>,
}

/// Notes that a certificate is asked for. What becomes of it the agent tells only after TLS has begun, and not reliably:
/// its alert may be lost with the connection.
#[derive(Debug)]
struct Asking {
    inner: Arc<dyn ResolvesClientCert>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Asking {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.inner.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

/// What it means that a connection ended before it was answered.
pub(super) fn closed() -> io::Error {
    let what = "it closes the connection; maybe what listens there is no remora-agent, or wants TLS (--tls-ca)";
    io::Error::new(io::ErrorKind::ConnectionAborted, what)
}

impl Tls {
    pub(super) fn new(files: &args::Tls) -> Self {
        Self { files: files.clone(), config: OnceLock::new() }
    }

    /// Whether the peer that was found by this name is spoken to by TLS. On loopback nobody listens in: there only where
    /// files say so. Loopback is what is written so: whoever answers for a name could say that it is here, and be shown
    /// the token in the clear.
    pub(super) fn is_for(&self, host: &str, peer: IpAddr) -> bool {
        let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
        let is_written = host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback);
        !(is_written && is_loopback(peer)) || self.files.ca.is_some() || self.files.cert.is_some()
    }

    /// Speaks TLS with who has this name. An error of kind `InvalidData` does not pass by itself; a [`Failure`] is in
    /// each that comes of TLS. With the stream comes what it means if that ends before it is answered.
    pub(super) async fn over(&self, host: &str, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, io::Error)> {
        let config = self.config.get_or_init(|| configuration(&self.files)).as_ref();
        let mut config = config.map_err(|failure| io::Error::new(io::ErrorKind::InvalidData, failure.clone()))?.clone();
        let asked = Arc::<AtomicBool>::default();
        let inner = config.client_auth_cert_resolver;
        config.client_auth_cert_resolver = Arc::new(Asking { inner, asked: Arc::clone(&asked) });
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let failure = usage(format!("'{host}' is no name that a certificate can have"));
            io::Error::new(io::ErrorKind::InvalidData, failure)
        })?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = connected.map_err(|error| self.explained(host, error))?;
        Ok((stream, if asked.load(Ordering::Relaxed) { self.refused() } else { closed() }))
    }

    fn explained(&self, host: &str, error: io::Error) -> io::Error {
        let agent = |what: String, next: &str| Failure::new(FailureKind::Agent, what).next(next);
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                let what = "it closes the connection when TLS begins: it speaks none, or is still starting".to_owned();
                return io::Error::new(io::ErrorKind::ConnectionAborted, agent(what, NO_TLS));
            }
            return error;
        };
        let failure = match tls {
            // An authority that was made anew has its old name and another key.
            TlsError::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
                let roots = match &self.files.ca {
                    Some(file) => format!("{} does not vouch for", file.display()),
                    None => "nobody among the system's roots vouches for".to_owned(),
                };
                agent(format!("its certificate is not trusted: {roots} who signed it"), GIVE_CA)
            }
            TlsError::InvalidCertificate(Bad::NotValidForNameContext { presented, .. }) => agent(
                format!("its certificate is not for {host}, but for {}", names(presented)),
                "reach it by a name that is in its certificate, or put this one into the certificate",
            ),
            TlsError::InvalidCertificate(
                Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
            ) => agent(
                format!("its certificate cannot be used now: {tls}"),
                "renew the agent's certificate; check both clocks",
            ),
            TlsError::InvalidCertificate(_) => agent(
                format!("its certificate is refused: {tls}"),
                "give the agent a certificate for a server, signed by a CA",
            ),
            TlsError::InvalidMessage(_) => agent("what answers there speaks no TLS".to_owned(), NO_TLS),
            TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                agent("what answers there speaks no HTTP/2".to_owned(), NO_TLS)
            }
            other => agent(format!("TLS failed: {other}"), "look at the agent's log"),
        };
        io::Error::new(io::ErrorKind::InvalidData, failure)
    }

    /// What it means that one who asked for a certificate ended the connection: with TLS 1.3 it refuses ours only once
    /// TLS has begun. Where we gave one, it may as well be about to start or to stop.
    fn refused(&self) -> io::Error {
        let (what, kind) = match self.files.cert {
            Some(_) => ("it refuses our certificate, or was stopped", io::ErrorKind::ConnectionAborted),
            None => ("it wants a certificate of ours", io::ErrorKind::InvalidData),
        };
        let failure = Failure::new(FailureKind::Policy, what)
            .next("give --tls-cert and --tls-key a certificate that the agent's --tls-client-ca signed");
        io::Error::new(kind, failure)
    }
}

/// The names in a certificate, which rustls tells as `DnsName("a")` and the like.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    if presented.is_empty() { "nobody".to_owned() } else { presented.iter().map(plain).collect::<Vec<_>>().join(", ") }
}

const GIVE_CA: &str = "give the certificate of the authority that signed it with --tls-ca or REMORA_TLS_CA";
const NO_TLS: &str = "check the port, and that the agent there has --tls-cert and --tls-key";

fn configuration(files: &args::Tls) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(file) => {
            let (_, ignored) = roots.add_parsable_certificates(certificates("--tls-ca", file)?);
            if roots.is_empty() {
                return Err(usage(format!(
                    "--tls-ca {}: none of its {ignored} certificates can be read",
                    file.display()
                )));
            }
        }
        // One that cannot be read vouches for nobody: the others may do.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match (&files.cert, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(file)) => {
            let fail = |error: String| usage(format!("--tls-key {}: {error}", file.display()));
            let key = PrivateKeyDer::from_pem_file(file).map_err(|error| fail(error.to_string()))?;
            let chain = certificates("--tls-cert", cert)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| fail(error.to_string()))?
        }
        _ => return Err(usage("--tls-cert and --tls-key belong together")),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(flag: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let fail = |problem: String| usage(format!("{flag} {}: {problem}", file.display()));
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| fail(error.to_string()))?;
    if read.is_empty() { Err(fail("it holds no certificate in PEM".to_owned())) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_that_is_said_to_be_here_is_not_shown_the_token_in_the_clear() {
        let tls = Tls::new(&args::Tls::default());
        let is_for = |host: &str, peer: &str| tls.is_for(host, peer.parse().unwrap());
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "::1"] {
            assert!(!is_for(host, "127.0.0.1"), "{host}");
        }
        for host in ["remora.ci.svc", "localhost.example.com", "10.0.0.1", ""] {
            assert!(is_for(host, "127.0.0.1"), "{host}");
        }
        assert!(is_for("localhost", "10.0.0.1"));
    }
}
