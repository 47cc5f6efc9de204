//! `moby.sshforward.v1.SSH`: lets steps talk to SSH agents of the client: those that listen on a socket, and keys that
//! the client holds itself.

use std::{collections::BTreeMap, os::unix::fs::FileTypeExt as _, path::PathBuf, sync::Arc};

use bollard_buildkit_proto::moby::sshforward::v1::BytesMessage;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Status, Streaming};

use super::{agent::Holder, key::Key, pipe};

/// Under which name the engine says which agent it means.
pub(super) const ID: &str = "buildkit.ssh.id";
/// The agent of a step that names none.
const DEFAULT: &str = "default";

/// SSH agents by the ids that steps know them by.
#[derive(Debug, Clone, Default)]
pub struct SshAgents(BTreeMap<String, Holder>);

impl SshAgents {
    /// Adds one by its socket, or one that holds the keys in these files; says why not. Blocks.
    pub fn add(&mut self, id: String, paths: &[PathBuf]) -> Result<(), String> {
        let is_socket = |path: &PathBuf| match std::fs::metadata(path) {
            Ok(file) if file.file_type().is_socket() => Ok(true),
            Ok(file) if file.is_file() => Ok(false),
            Ok(_) => Err(format!("{} is neither the socket of an SSH agent nor a key", path.display())),
            Err(error) => Err(format!("{}: {error}", path.display())),
        };
        let sockets = paths.iter().map(is_socket).collect::<Result<Vec<_>, _>>()?;
        let holder = match (paths, sockets.contains(&true)) {
            ([socket], true) => Holder::Socket(socket.clone()),
            (_, true) => {
                return Err("the socket of an SSH agent stands alone: no other, and no keys beside it".to_owned());
            }
            (keys, false) => Holder::Keys(Arc::new(keys.iter().map(|key| Key::read(key)).collect::<Result<_, _>>()?)),
        };
        self.0.insert(id, holder);
        Ok(())
    }

    fn holder(&self, id: &str) -> Result<&Holder, Status> {
        if self.0.is_empty() {
            // As from a client that knows nothing of SSH: a step that can do without goes on.
            return Err(Status::unimplemented("the client lends no SSH agent"));
        }
        let id = if id.is_empty() { DEFAULT } else { id };
        self.0.get(id).ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }

    /// Whether there is one of that id.
    pub(super) fn check(&self, id: &str) -> Result<(), Status> {
        self.holder(id).map(drop)
    }

    /// Connects a step with the agent of that id. It ends when the step has said all.
    pub(super) fn forward(
        &self,
        id: &str,
        incoming: Streaming<BytesMessage>,
    ) -> Result<impl Stream<Item = Result<BytesMessage, Status>> + Send + 'static + use<>, Status> {
        let holder = self.holder(id)?.clone();
        let (writer, outgoing) = pipe::<BytesMessage>();
        tokio::spawn(async move {
            if let Err(error) = holder.serve(writer.join(incoming)).await {
                tracing::debug!(%error, "an SSH agent was left");
            }
        });
        Ok(outgoing.map(Ok))
    }
}
