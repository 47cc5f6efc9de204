//! A file or a pipe, read no faster than the engine takes it.

use std::io::{self, Read};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of one piece. Docker 20.10 refuses messages of 4 MiB.
pub(super) const CHUNK: u64 = 256 << 10;
/// Pieces that wait for the engine.
const AHEAD: usize = 2;

/// Reads on a thread of its own, which ends with the stream. An error is the last piece.
pub(super) fn chunks(mut source: impl Read + Send + 'static) -> ReceiverStream<io::Result<Bytes>> {
    let (to, pieces) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        while let Some(piece) = next(&mut source).transpose() {
            let last = piece.is_err();
            if to.blocking_send(piece).is_err() || last {
                break;
            }
        }
    });
    ReceiverStream::new(pieces)
}

/// `None` at the end.
fn next(source: &mut impl Read) -> io::Result<Option<Bytes>> {
    let mut data = Vec::new();
    source.take(CHUNK).read_to_end(&mut data)?;
    Ok(Some(Bytes::from(data)).filter(|data| !data.is_empty()))
}
