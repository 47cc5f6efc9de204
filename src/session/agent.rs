//! The protocol of SSH agents, as much of it as a step may use: which keys there are, and a signature by one of them.
//! Everything else is refused, so that no step adds keys to the client's agent, or takes some away, or locks it.
//!
//! <https://www.rfc-editor.org/rfc/rfc9987>

use std::{io, path::PathBuf, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::UnixStream,
};

use super::key::{Key, string, take};

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Bytes of a message at most, as OpenSSH has it.
const LARGEST: u32 = 256 << 10;

/// What holds keys.
#[derive(Debug, Clone)]
pub(super) enum Holder {
    /// An agent that listens there.
    Socket(PathBuf),
    /// We.
    Keys(Arc<Vec<Key>>),
}

impl Holder {
    /// Answers what comes from `stream` until its end.
    pub(super) async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut agent = match self {
            Self::Socket(path) => Some(UnixStream::connect(path).await?),
            Self::Keys(_) => None,
        };
        loop {
            let request = match receive(&mut stream).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                request => request?,
            };
            let answer = match (request.first(), &mut agent, self) {
                (Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)), Some(agent), _) => {
                    send(agent, &request).await?;
                    receive(agent).await?
                }
                (_, _, Self::Keys(keys)) => answer(keys, &request).unwrap_or(vec![FAILURE]),
                _ => vec![FAILURE],
            };
            send(&mut stream, &answer).await?;
        }
    }
}

async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    if length > LARGEST {
        return Err(io::Error::other("a message of an SSH agent that is too long"));
    }
    let mut message = vec![0; length as usize];
    from.read_exact(&mut message).await?;
    Ok(message)
}

async fn send(to: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    to.write_all(&string(message)).await?;
    to.flush().await
}

fn answer(keys: &[Key], request: &[u8]) -> Option<Vec<u8>> {
    let (kind, mut rest) = request.split_first()?;
    match *kind {
        REQUEST_IDENTITIES => {
            let count = u32::try_from(keys.len()).ok()?;
            let named = keys.iter().flat_map(|key| [string(&key.public), string(key.comment.as_bytes())].concat());
            Some([IDENTITIES_ANSWER].into_iter().chain(count.to_be_bytes()).chain(named).collect())
        }
        SIGN_REQUEST => {
            let (public, data) = (take(&mut rest)?, take(&mut rest)?);
            let flags = u32::from_be_bytes(rest.first_chunk().copied()?);
            let signature = keys.iter().find(|key| key.public == public)?.sign(data, flags)?;
            Some([&[SIGN_RESPONSE], string(&signature).as_slice()].concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
