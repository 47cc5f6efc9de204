//! The socket that clients connect to.

use std::{
    ffi::OsString,
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    time::{Instant, sleep},
};

use super::tls::Tls;
use crate::model::ListenUrl;

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// A unix socket, and its file, which goes away with it.
    Unix(UnixListener, SocketFile),
    /// A TCP socket, and the TLS that is spoken on it.
    Tcp(TcpListener, Option<Arc<Tls>>),
}

/// Removes its socket's file when it is dropped, but none that another agent has put there since.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// The directory, locked (shared) until the process ends in whatever way: a file alone may be a dead agent's.
    _alive: Option<File>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Without the lock somebody may take the place between the look and the removal. Where it is not to be had the
        // file stays, which the next agent replaces.
        let Ok(_lock) = try_lock(&self.path) else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.identity) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// How long somebody else may hold the lock: other agents do for a moment, and whoever may open its file could for ever.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before the next look.
const AGAIN: Duration = Duration::from_millis(20);

/// Owner and group may connect, nobody else.
const MODE: u32 = 0o660;

impl Listener {
    /// Binds; `tls` is for TCP. A socket that a dead agent left is replaced; one that answers, and what is no socket, is not.
    pub async fn bind(listen: &ListenUrl, tls: Option<&Arc<Tls>>) -> io::Result<Self> {
        let path = match listen {
            ListenUrl::Tcp(address) => return Ok(Self::Tcp(TcpListener::bind(address).await?, tls.cloned())),
            ListenUrl::Unix(path) => path,
        };
        let directory = path.parent().ok_or_else(|| refused("the path names no file"))?;
        fs::create_dir_all(directory)?;
        // Of agents that start together, one is first.
        let _lock = lock(path).await?;
        if fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
            return Err(refused("something that is no socket is there"));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent answers there"));
        }
        bind_unix(path, directory)
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Bound in a directory that nobody else may enter and moved into place then, so that it never answers with a wider
/// mode than its own.
fn bind_unix(path: &Path, directory: &Path) -> io::Result<Listener> {
    let random = uuid::Uuid::new_v4().simple().to_string();
    // A socket's path has at most 107 bytes.
    let hidden = directory.join(format!(".{}", &random[..8]));
    fs::DirBuilder::new().mode(0o700).create(&hidden)?;
    let bound = (|| {
        let place = hidden.join("s");
        let listener = UnixListener::bind(&place)?;
        fs::set_permissions(&place, Permissions::from_mode(MODE))?;
        let file = fs::symlink_metadata(&place)?;
        fs::rename(&place, path)?;
        // Who holds it for himself is left alone: an agent need not wait for him.
        let alive = File::open(directory).ok().filter(|directory| directory.try_lock_shared().is_ok());
        let file = SocketFile { path: path.to_owned(), identity: (file.dev(), file.ino()), _alive: alive };
        Ok(Listener::Unix(listener, file))
    })();
    drop(fs::remove_dir_all(&hidden));
    bound
}

/// Held while a socket's place is taken or left. The file stays: removing it would let two hold it.
async fn lock(path: &Path) -> io::Result<File> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match try_lock(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => sleep(AGAIN).await,
            locked => return locked,
        }
    }
}

fn try_lock(path: &Path) -> io::Result<File> {
    let mut name = OsString::from(path.file_name().ok_or_else(|| refused("the path names no file"))?);
    name.push(".lock");
    let place = path.with_file_name(name);
    let file = File::options().create(true).append(true).mode(0o600).open(&place)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => {
            let what = format!("another process holds the lock {}; end it", place.display());
            Err(io::Error::new(io::ErrorKind::WouldBlock, what))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn bind(path: &Path) -> io::Result<Listener> {
        Listener::bind(&ListenUrl::Unix(path.to_owned()), None).await
    }

    #[tokio::test]
    async fn the_socket_is_for_owner_and_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/agent.sock");
        let _listener = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert!(bind(&path).await.is_err(), "it took over an agent that answers");
    }

    #[tokio::test]
    async fn an_agent_that_goes_leaves_its_successor_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let Listener::Unix(first, file) = bind(&path).await.unwrap() else { unreachable!() };
        // Draining: it accepts nobody any more, and is still there.
        drop(first);
        let second = bind(&path).await.unwrap();
        drop(file);
        assert!(UnixStream::connect(&path).await.is_ok(), "the second agent cannot be reached");
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_goes_though_somebody_holds_its_lock_and_the_next_one_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let first = bind(&path).await.unwrap();
        let held = try_lock(&path).unwrap();
        drop(first);
        let refused = bind(&path).await.unwrap_err();
        assert!(refused.to_string().contains("agent.sock.lock"), "{refused}");
        drop(held);
        bind(&path).await.unwrap();
    }

    #[tokio::test]
    async fn whoever_asks_knows_that_an_agent_is_alive_until_it_has_drained() {
        let dir = tempfile::tempdir().unwrap();
        let free = || File::open(dir.path()).unwrap().try_lock().is_ok();
        let Listener::Unix(listener, file) = bind(&dir.path().join("agent.sock")).await.unwrap() else {
            unreachable!()
        };
        assert!(!free());
        drop(listener);
        assert!(!free(), "its engine would end under its builds");
        drop(file);
        assert!(free());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "text").unwrap();
        assert!(bind(&path).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
