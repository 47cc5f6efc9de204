//! The directory that is sent, held open: what is opened below it cannot lie outside.
//!
//! Who may write to a context could put a symlink in place of a directory between the look at a file and the reading of
//! it, and have a client that runs as root send what only root may read. The kernel's `openat2` follows no symlink at any
//! depth. Where it is missing (Linux before 5.6, a seccomp filter older than it), the last part alone is guarded.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// A directory and its descriptor.
pub(super) struct Root {
    path: PathBuf,
    descriptor: OwnedFd,
    /// Whether there is an `openat2`.
    guarded: bool,
    /// Whether there is a `/proc`.
    proc: bool,
}

impl Root {
    /// Opens the directory, which may be named by symlinks.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let path = path.canonicalize()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = fs::open(&path, flags, Mode::empty())?;
        let probe = fs::openat2(&descriptor, ".", flags, Mode::empty(), BENEATH);
        let guarded = !matches!(probe, Err(Errno::NOSYS | Errno::PERM));
        Ok(Self { path, descriptor, guarded, proc: Path::new("/proc/self/fd").is_dir() })
    }

    /// Its name, without symlinks.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What people call `path`.
    pub(super) fn on_disk(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() {
            return self.path.clone();
        }
        PathBuf::from(OsString::from_vec([self.path.as_os_str().as_bytes(), b"/", path].concat()))
    }

    /// Opens what lies at `path`; the root itself where that is empty. `LOOP` or `NOTDIR` where a symlink is in the way.
    pub(super) fn open_at(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.guarded {
            let path = if path.is_empty() { b"." } else { path };
            fs::openat2(&self.descriptor, path, flags, Mode::empty(), BENEATH)
        } else {
            fs::open(self.on_disk(path), flags, Mode::empty())
        }
    }

    /// A name of `file` that no swap of directories changes. `None` without `/proc`.
    pub(super) fn lasting_name(&self, file: &OwnedFd) -> Option<PathBuf> {
        self.proc.then(|| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())))
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
impl Root {
    /// As on a system without `openat2` and `/proc`.
    pub(super) fn unguarded(path: &Path) -> std::io::Result<Self> {
        Ok(Self { guarded: false, proc: false, ..Self::open(path)? })
    }
}
