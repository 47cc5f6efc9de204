//! The client's SSH agent as a socket that nobody else may enter.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{
    io::copy_bidirectional,
    net::UnixListener,
    task::{JoinHandle, JoinSet},
};

use crate::session::Lent;

/// The agent of a caller that names none.
pub(super) const DEFAULT: &str = "default";

/// Listens as long as it lives.
pub(super) struct AgentSocket {
    pub(super) path: PathBuf,
    task: JoinHandle<()>,
}

impl AgentSocket {
    /// Listens in `dir`, which must be private: whoever connects uses the client's keys.
    pub(super) fn listen(dir: &Path, lent: Lent) -> io::Result<Self> {
        let path = dir.join("agent.sock");
        let listener = UnixListener::bind(&path)?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let lent = lent.clone();
                connections.spawn(async move {
                    match lent.ssh_agent(DEFAULT).await {
                        Ok(mut far) => drop(copy_bidirectional(&mut near, &mut far).await),
                        Err(status) => tracing::debug!(%status, "the client's SSH agent did not answer"),
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { path, task })
    }
}

impl Drop for AgentSocket {
    fn drop(&mut self) {
        self.task.abort();
    }
}
