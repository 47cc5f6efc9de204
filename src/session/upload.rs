//! `moby.upload.v1.Upload`: bytes that the engine takes as what a URL of the session serves, such as an archive on
//! standard input. They are read as fast as the engine takes them, and once.

use std::{
    fmt,
    io::Read,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bollard_buildkit_proto::moby::upload::v1::BytesMessage;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::{
    chunks::chunks,
    methods::UPLOADS,
    problems::{Problem, Problems},
};

/// Bytes to take. Clones share them.
#[derive(Clone)]
pub struct Upload {
    id: String,
    source: Arc<Mutex<Option<Source>>>,
    sent: Arc<AtomicU64>,
}

type Source = Box<dyn Read + Send>;
pub(super) type Messages = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

impl Upload {
    /// Offers what `source` gives under this name, which is a word.
    pub fn new(id: &str, source: impl Read + Send + 'static) -> Self {
        Self { id: id.to_owned(), source: Arc::new(Mutex::new(Some(Box::new(source)))), sent: Arc::default() }
    }

    /// The URL by which the engine asks for it.
    pub fn url(&self) -> String {
        format!("{UPLOADS}{}", self.id)
    }

    /// How many bytes the engine took.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether the engine asked for it: what is left of it is nobody else's.
    pub fn is_taken(&self) -> bool {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Answers a request of this path.
    pub(super) fn pull(&self, path: &str, problems: &Problems) -> Result<Messages, Status> {
        if path.rsplit('/').next() != Some(self.id.as_str()) {
            return Err(Status::not_found("the client offers nothing of this name"));
        }
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).take();
        let source = source.ok_or_else(|| {
            let problem = Problem::new(
                "the engine asked again for what came on standard input, which can be read once",
                "build again; if it stays so, unpack the archive and name its directory",
            );
            problems.add(problem.clone());
            Status::not_found(problem.what)
        })?;
        let (sent, problems) = (self.sent.clone(), problems.clone());
        Ok(Box::pin(chunks(source).map(move |piece| {
            let data = piece.map_err(|error| {
                let problem = Problem::new(format!("standard input: {error}"), "check the program that writes it");
                problems.add(problem.clone());
                Status::aborted(problem.what)
            })?;
            sent.fetch_add(data.len() as u64, Ordering::Relaxed);
            Ok(BytesMessage { data: data.into() })
        })))
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;

    use super::{super::chunks::CHUNK, *};

    /// A file of any size, which counts what is read of it.
    struct Endless(Arc<AtomicU64>);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(7);
            self.0.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            Ok(buffer.len())
        }
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_engine_takes() {
        let read = Arc::<AtomicU64>::default();
        let upload = Upload::new("id", Endless(read.clone()));
        assert!(!upload.is_taken());
        let mut messages = upload.pull("/id", &Problems::default()).unwrap();
        assert!(upload.is_taken(), "another engine would get the rest of it");
        let mut taken = 0;
        while taken < 16 << 20 {
            taken += messages.next().await.unwrap().unwrap().data.len() as u64;
            let ahead = read.load(Ordering::Relaxed).saturating_sub(taken);
            assert!(ahead <= 4 * CHUNK, "{ahead} bytes were read ahead of the engine");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_and_is_no_end_of_file() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let (problems, upload) = (Problems::default(), Upload::new("id", (&b"abc"[..]).chain(Broken)));
        assert!(upload.pull("/other", &problems).is_err());
        let all: Vec<_> = upload.pull("/id", &problems).unwrap().collect().await;
        assert!(matches!(all.as_slice(), [Err(_)]), "{all:?}");
        assert!(problems.list()[0].what.contains("broken"));
        assert!(upload.pull("/id", &problems).is_err(), "it is read once");
    }
}
