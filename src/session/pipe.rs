//! A byte stream made of two streams of gRPC messages.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};
use tokio_util::sync::PollSender;

/// Bytes in one message. `BuildKit` of Docker 20.10 refuses messages of 4 MiB.
const CHUNK: usize = 128 << 10;
/// Messages that may wait for the transport. With [`CHUNK`] this bounds what a pipe holds.
const WAITING: usize = 2;

/// A message that carries bytes.
pub trait Chunk: Send + 'static {
    /// Wraps bytes.
    fn wrap(bytes: Bytes) -> Self;
    /// Takes them out.
    fn unwrap(self) -> Bytes;
}

impl Chunk for crate::pb::SessionData {
    fn wrap(data: Bytes) -> Self {
        Self { data }
    }

    fn unwrap(self) -> Bytes {
        self.data
    }
}

#[cfg(feature = "agent")]
impl Chunk for bollard_buildkit_proto::moby::buildkit::v1::BytesMessage {
    fn wrap(bytes: Bytes) -> Self {
        Self { data: bytes.into() }
    }

    fn unwrap(self) -> Bytes {
        self.data.into()
    }
}

impl Chunk for bollard_buildkit_proto::moby::sshforward::v1::BytesMessage {
    fn wrap(bytes: Bytes) -> Self {
        Self { data: bytes.into() }
    }

    fn unwrap(self) -> Bytes {
        self.data.into()
    }
}

/// The writing half: what is written comes out of the second value as messages.
pub fn pipe<M: Chunk>() -> (PipeWriter<M>, tokio_stream::wrappers::ReceiverStream<M>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let writer = PipeWriter { sender: PollSender::new(sender), buffer: BytesMut::new() };
    (writer, tokio_stream::wrappers::ReceiverStream::new(receiver))
}

/// Gathers small writes until they are flushed or fill a message.
pub struct PipeWriter<M: Chunk> {
    sender: PollSender<M>,
    buffer: BytesMut,
}

impl<M: Chunk> PipeWriter<M> {
    /// Both halves as one stream; `messages` is what the far side sends.
    pub fn join<S>(self, messages: S) -> tokio::io::Join<PipeReader<S>, Self>
    where
        S: Stream<Item = Result<M, tonic::Status>> + Unpin,
    {
        tokio::io::join(PipeReader { messages, rest: Bytes::new() }, self)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.buffer.is_empty() {
            ready!(self.sender.poll_reserve(cx)).map_err(|_| io::ErrorKind::BrokenPipe)?;
            let message = M::wrap(self.buffer.split().freeze());
            self.sender.send_item(message).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<M: Chunk> AsyncWrite for PipeWriter<M> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.buffer.len() >= CHUNK {
            ready!(self.poll_send(cx))?;
        }
        let mut written = 0;
        for slice in slices {
            let take = slice.len().min(CHUNK - self.buffer.len());
            self.buffer.extend_from_slice(&slice[..take]);
            written += take;
            if take < slice.len() {
                break;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.sender.close();
        Poll::Ready(Ok(()))
    }
}

/// The reading half.
pub struct PipeReader<S> {
    messages: S,
    rest: Bytes,
}

impl<S, M> AsyncRead for PipeReader<S>
where
    M: Chunk,
    S: Stream<Item = Result<M, tonic::Status>> + Unpin,
{
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(Ok(message)) => self.rest = message.unwrap(),
                Some(Err(status)) => return Poll::Ready(Err(io::Error::other(status))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let take = self.rest.len().min(into.remaining());
        into.put_slice(&self.rest[..take]);
        self.rest.advance(take);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::pb::SessionData;

    #[tokio::test]
    async fn what_is_written_arrives_whole_and_in_order() {
        let (writer, messages) = pipe::<SessionData>();
        let (unused, _) = pipe::<SessionData>();
        let mut far = unused.join(messages.map(Ok));
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            let mut writer = writer;
            for piece in sent.chunks(70_001) {
                writer.write_all(piece).await.unwrap();
            }
            writer.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        sending.await.unwrap();
        assert!(received == expected, "the session's bytes were lost or reordered");
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_stops_the_writer() {
        let (mut near, kept) = pipe::<SessionData>();
        let endless = async {
            let mut total = 0;
            loop {
                near.write_all(&[0; 4096]).await.unwrap();
                total += 4096;
                assert!(total <= CHUNK * (WAITING + 2), "memory of a slow session is not bounded");
            }
        };
        // The writer has to block: nothing else ends the loop.
        let blocked = tokio::time::timeout(std::time::Duration::from_millis(50), endless).await;
        assert!(blocked.is_err());
        drop(kept);
    }
}
