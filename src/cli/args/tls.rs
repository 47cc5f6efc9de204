//! Files for TLS towards an agent.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// What TLS needs beyond the system's own roots.
#[derive(ClapArgs, Clone, Default)]
#[allow(clippy::doc_markdown, rustdoc::bare_urls)] // --help shows them as they are
pub(in crate::cli) struct Tls {
    /// Who vouches for the agent's certificate, in PEM. TLS is spoken always, but to localhost and to an address of
    /// loopback: there where this or --tls-cert is given [default: the system's roots]
    #[arg(id = "tls-ca", long, global = true, env = "REMORA_TLS_CA", value_name = "FILE")]
    pub(in crate::cli) ca: Option<PathBuf>,
    /// Our own certificate, for an agent that wants one (its --tls-client-ca), in PEM
    #[arg(id = "tls-cert", long, global = true, env = "REMORA_TLS_CERT", value_name = "FILE")]
    pub(in crate::cli) cert: Option<PathBuf>,
    /// The key of our own certificate, in PEM
    #[arg(id = "tls-key", long, global = true, env = "REMORA_TLS_KEY", value_name = "FILE")]
    pub(in crate::cli) key: Option<PathBuf>,
}
