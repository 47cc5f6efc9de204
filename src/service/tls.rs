//! TLS on TCP: the certificate as its files have it now.

use std::{
    fmt,
    io::Cursor,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::config::TlsFiles;

/// The agent's certificate, its key, and who signs those of its clients. They are looked at for each connection: what
/// renews them replaces files, and tells nobody.
pub struct Tls {
    files: TlsFiles,
    last: Mutex<Last>,
}

/// What the files held when they were last of use.
struct Last {
    contents: Contents,
    config: Arc<ServerConfig>,
    /// What is wrong with them now.
    problem: Option<String>,
}

/// Certificate, key, and the clients' authority.
type Contents = [Vec<u8>; 3];

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

impl Tls {
    /// Reads the files. The error says which of them is wrong.
    pub fn read(files: TlsFiles) -> Result<Self, String> {
        let contents = contents(&files)?;
        let config = configuration(&files, &contents)?;
        Ok(Self { files, last: Mutex::new(Last { contents, config, problem: None }) })
    }

    /// Whether clients must show a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// For a connection that begins now. Files that are of no use, as while they are being replaced, leave what was.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = match contents(&self.files) {
            Ok(contents) if contents == last.contents => None,
            Ok(contents) => match configuration(&self.files, &contents) {
                Ok(config) => {
                    tracing::info!(cert = %self.files.cert.display(), "the certificate was replaced");
                    (last.contents, last.config) = (contents, config);
                    None
                }
                Err(problem) => Some(problem),
            },
            Err(problem) => Some(problem),
        };
        if let Some(problem) = &problem
            && last.problem.as_ref() != Some(problem)
        {
            tracing::warn!("{problem}; the certificate that was there before stays");
        }
        last.problem = problem;
        Arc::clone(&last.config)
    }
}

fn contents(files: &TlsFiles) -> Result<Contents, String> {
    let read = |path: &std::path::Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let client_ca = files.client_ca.as_deref().map(read).transpose()?;
    Ok([read(&files.cert)?, read(&files.key)?, client_ca.unwrap_or_default()])
}

fn configuration(files: &TlsFiles, [cert, key, client_ca]: &Contents) -> Result<Arc<ServerConfig>, String> {
    let builder = match &files.client_ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(path) => {
            let fail = |problem: String| format!("--tls-client-ca {}: {problem}", path.display());
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(client_ca).map_err(fail)?);
            let verifier = WebPkiClientVerifier::builder(roots.into()).build();
            ServerConfig::builder().with_client_cert_verifier(verifier.map_err(|error| fail(error.to_string()))?)
        }
    };
    let chain = certificates(cert).map_err(|problem| format!("--tls-cert {}: {problem}", files.cert.display()))?;
    let fail = |problem: String| format!("--tls-key {}: {problem}", files.key.display());
    let key = PrivateKeyDer::from_pem_reader(Cursor::new(key)).map_err(|error| fail(error.to_string()))?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| fail(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(Cursor::new(pem)).collect();
    match read {
        Ok(read) if read.is_empty() => Err("it holds no certificate in PEM".to_owned()),
        Ok(read) => Ok(read),
        Err(error) => Err(error.to_string()),
    }
}
