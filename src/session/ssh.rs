//! `moby.sshforward.v1.SSH`: lets steps talk to SSH agents of the client, each by its socket.

use std::{collections::BTreeMap, os::unix::fs::FileTypeExt as _, path::PathBuf};

use bollard_buildkit_proto::moby::sshforward::v1::BytesMessage;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc,
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Status, Streaming};

/// Under which name the engine says which agent it means.
pub(super) const ID: &str = "buildkit.ssh.id";
/// The agent of a step that names none.
const DEFAULT: &str = "default";
/// Bytes in one message.
const CHUNK: usize = 32 << 10;

/// SSH agents by the ids that steps know them by.
#[derive(Debug, Clone, Default)]
pub struct SshAgents(BTreeMap<String, PathBuf>);

impl SshAgents {
    /// Adds one by its socket; says why not.
    pub fn add(&mut self, id: String, socket: PathBuf) -> Result<(), String> {
        match std::fs::metadata(&socket) {
            Ok(file) if file.file_type().is_socket() => {
                self.0.insert(id, socket);
                Ok(())
            }
            Ok(_) => Err(format!("{} is no socket of an SSH agent", socket.display())),
            Err(error) => Err(format!("{}: {error}", socket.display())),
        }
    }

    fn socket(&self, id: &str) -> Result<&PathBuf, Status> {
        if self.0.is_empty() {
            // As from a client that knows nothing of SSH: a step that can do without goes on.
            return Err(Status::unimplemented("the client lends no SSH agent"));
        }
        let id = if id.is_empty() { DEFAULT } else { id };
        self.0.get(id).ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }

    /// Whether there is one of that id.
    pub(super) fn check(&self, id: &str) -> Result<(), Status> {
        self.socket(id).map(drop)
    }

    /// Connects a step with the agent of that id. It ends when either has said all.
    pub(super) async fn forward(
        &self,
        id: &str,
        mut incoming: Streaming<BytesMessage>,
    ) -> Result<ReceiverStream<Result<BytesMessage, Status>>, Status> {
        let socket = self.socket(id)?;
        let agent = UnixStream::connect(socket).await;
        let agent =
            agent.map_err(|error| Status::unavailable(format!("the SSH agent {}: {error}", socket.display())))?;
        let (mut from_agent, mut to_agent) = agent.into_split();
        let (sender, outgoing) = mpsc::channel(4);
        tokio::spawn(async move {
            let up = async {
                while let Some(Ok(BytesMessage { data })) = incoming.next().await {
                    if to_agent.write_all(&data).await.is_err() {
                        return;
                    }
                }
                drop(to_agent.shutdown().await);
            };
            let down = async {
                let mut buffer = vec![0; CHUNK];
                while let Ok(count @ 1..) = from_agent.read(&mut buffer).await {
                    if sender.send(Ok(BytesMessage { data: buffer[..count].to_vec() })).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                ((), ()) = async { tokio::join!(up, down) } => {}
                () = sender.closed() => {}
            }
        });
        Ok(ReceiverStream::new(outgoing))
    }
}
