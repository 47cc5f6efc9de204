//! The socket that clients connect to.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::model::ListenUrl;

/// A bound socket. A unix socket's file goes away with it.
#[derive(Debug)]
pub enum Listener {
    /// A unix socket and its path.
    Unix(UnixListener, SocketFile),
    /// A TCP socket.
    Tcp(TcpListener),
}

/// Removes its file when it is dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Owner and group may connect, nobody else.
const MODE: u32 = 0o660;

impl Listener {
    /// Binds. A socket that a dead agent left is replaced, one that answers is not.
    pub async fn bind(listen: &ListenUrl) -> io::Result<Self> {
        match listen {
            ListenUrl::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            ListenUrl::Unix(path) => {
                if UnixStream::connect(path).await.is_ok() {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent answers there"));
                }
                bind_unix(path)
            }
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    std::fs::create_dir_all(directory)?;
    // Bound under another name and moved into place, so that it never answers with a wider mode.
    let mut hidden = std::ffi::OsString::from(format!(".{}.", std::process::id()));
    hidden.push(name);
    let hidden = SocketFile(directory.join(hidden));
    drop(std::fs::remove_file(&hidden.0));
    let listener = UnixListener::bind(&hidden.0)?;
    std::fs::set_permissions(&hidden.0, std::fs::Permissions::from_mode(MODE))?;
    std::fs::rename(&hidden.0, path)?;
    Ok(Listener::Unix(listener, SocketFile(path.to_owned())))
}
