//! `moby.filesync.v1.FileSend`: takes the archive that an exporter makes. Without somebody who answers, it would hang the
//! build; so it answers, and refuses where the caller has no place for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tonic::{Status, Streaming};

/// What takes an export.
pub enum Taker {
    /// An archive.
    Archive(Sink),
    /// Files: they go below this directory, which is made where there is none.
    Directory(PathBuf),
}

/// Where exported bytes go. Clones write to the same place, one call at a time.
#[derive(Clone)]
pub struct Sink {
    place: Arc<Mutex<dyn AsyncWrite + Send + Unpin>>,
    begun: Arc<AtomicBool>,
}

impl Sink {
    /// Writes to `place`, and flushes it at the end of each call.
    pub fn new(place: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { place: Arc::new(Mutex::new(place)), begun: Arc::default() }
    }

    /// Whether something was written.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    pub(super) async fn drain(&self, mut messages: Streaming<BytesMessage>) -> Result<(), Status> {
        let failed = |error: std::io::Error| Status::failed_precondition(format!("cannot write the export: {error}"));
        let mut place = self.place.lock().await;
        while let Some(message) = messages.message().await? {
            self.begun.store(true, Ordering::Relaxed);
            place.write_all(&message.data).await.map_err(failed)?;
        }
        place.flush().await.map_err(failed)
    }
}
