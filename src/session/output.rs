//! The way out of a transfer: a bounded channel of ready-made gRPC messages that ends as an HTTP body.
//!
//! Whoever writes gets held back as soon as the receiver is slow, and an error as soon as it is gone. Messages are
//! framed by whoever makes them, many small ones in one piece, so that file content is copied once: from the file.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::mpsc;
use tonic::Status;

/// Size of a buffer. One holds a piece of a large file, or many small files. Measured from 64 KiB to 1 MiB: all the same
/// speed, so this is chosen for memory.
pub(super) const BUFFER: usize = 128 * 1024;
/// Pieces on their way to the receiver.
const QUEUED: usize = 8;

/// Nobody listens any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// Where pieces go in. Clones feed the same body.
#[derive(Clone)]
pub(super) struct Output {
    pieces: mpsc::Sender<Piece>,
    pool: Pool,
}

/// The HTTP body that the pieces come out of.
pub(super) struct Pieces {
    queue: mpsc::Receiver<Piece>,
    end: Option<Result<(), Status>>,
    ended: bool,
}

enum Piece {
    Middle(Bytes),
    /// The last one, and how the call went.
    Last(Bytes, Result<(), Status>),
}

/// A new pair.
pub(super) fn channel() -> (Output, Pieces) {
    let (sender, receiver) = mpsc::channel(QUEUED);
    (Output { pieces: sender, pool: Pool::default() }, Pieces { queue: receiver, end: None, ended: false })
}

impl Output {
    /// An empty buffer, to be filled and sent.
    pub(super) fn buffer(&self) -> Buffer {
        let reused = lock(&self.pool.0).pop();
        Buffer { bytes: reused.unwrap_or_else(|| vec![0; BUFFER].into()), length: 0, pool: self.pool.clone() }
    }

    /// Sends a piece; waits for room. Not for async threads.
    pub(super) fn send(&self, piece: Bytes) -> Result<(), Gone> {
        self.pieces.blocking_send(Piece::Middle(piece)).map_err(|_| Gone)
    }

    /// Sends the last piece of the call, and how it went.
    pub(super) async fn finish(&self, piece: Bytes, result: Result<(), Status>) {
        // Where nobody listens, nobody needs to know.
        let _ = self.pieces.send(Piece::Last(piece, result)).await;
    }

    /// Whether the receiver has gone, or was sent the last piece.
    pub(super) fn is_gone(&self) -> bool {
        self.pieces.is_closed()
    }

    /// Returns once [`Output::is_gone`].
    pub(super) async fn gone(&self) {
        self.pieces.closed().await;
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.end.is_none() {
            match ready!(self.queue.poll_recv(context)) {
                Some(Piece::Middle(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Piece::Last(bytes, result)) => {
                    self.queue.close();
                    self.end = Some(result);
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
                None => self.end = Some(Err(Status::internal("the sender of files stopped without a word"))),
            }
        }
        self.ended = true;
        // What was queued behind the last piece is of no use.
        while self.queue.try_recv().is_ok() {}
        let status = self.end.take().unwrap_or(Ok(())).err().unwrap_or_else(|| Status::ok(""));
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

/// Buffers to use again. At most as many exist as are under way.
#[derive(Clone, Default)]
struct Pool(Arc<Mutex<Vec<Box<[u8]>>>>);

/// A piece in the making.
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    length: usize,
    pool: Pool,
}

impl Buffer {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that still fit.
    pub(super) fn room(&self) -> usize {
        self.bytes.len() - self.length
    }

    /// Appends; what does not fit is the caller's mistake and is cut.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let length = bytes.len().min(self.room());
        self.bytes[self.length..self.length + length].copy_from_slice(&bytes[..length]);
        self.length += length;
    }

    /// The next `length` bytes, to be written in place, then [`Buffer::advance`]d over.
    pub(super) fn space(&mut self, length: usize) -> &mut [u8] {
        &mut self.bytes[self.length..][..length]
    }

    pub(super) fn advance(&mut self, length: usize) {
        self.length += length;
    }

    /// The finished piece. Its memory returns to the pool once it is sent.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        lock(&self.pool.0).push(std::mem::take(&mut self.bytes));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
