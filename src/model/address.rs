//! stub: replaced at merge
use std::path::PathBuf;
/// x
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsDir(pub PathBuf);
/// x
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineUrl {
    /// x
    Unix(PathBuf),
    /// x
    Tcp { /// x
        host: String, /// x
        port: u16, /// x
        tls: Option<TlsDir> },
}
impl std::fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
        }
    }
}
