//! Walks a directory the way the engine expects it: depth first, parents before children, names in a directory sorted by
//! bytes, one [`Stat`] at a time. Nothing is kept of what was sent but the inodes with several names.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType};
use rustix::io::Errno;

use super::filter::{DirMatch, Filter};
use super::packet::{Stat, Xattr};
use super::pattern::Invalid;

mod listing;
pub(super) mod mode;
#[cfg(test)]
mod tests;

use listing::Listing;

/// Why a walk cannot go on. Displays as one line that names the path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {path}: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error(transparent)]
    Pattern(#[from] Invalid),
}

/// A walk under way.
pub(crate) struct Walk {
    root: PathBuf,
    filter: Filter,
    levels: Vec<Level>,
    /// The path below the root that is looked at.
    path: Vec<u8>,
    /// What is to be handed out before the walk goes on.
    ready: VecDeque<Stat>,
    /// The first name that was sent of each inode with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    names: Vec<u8>,
}

/// A directory that is being read.
struct Level {
    listing: Listing,
    /// Length of its own path in `Walk::path`.
    length: usize,
    matched: DirMatch,
    sent: bool,
}

impl Walk {
    /// Begins at `root`, which is not itself part of the walk.
    pub(crate) fn new(root: PathBuf, filter: Filter) -> Result<Self, Error> {
        let mut walk = Self {
            root,
            filter,
            levels: Vec::new(),
            path: Vec::new(),
            ready: VecDeque::new(),
            links: HashMap::new(),
            names: vec![0; 4096],
        };
        let listing = Listing::read(&walk.root).map_err(|errno| walk.unreadable(errno))?;
        walk.levels.push(Level { listing, length: 0, matched: DirMatch::default(), sent: true });
        Ok(walk)
    }

    /// Looks at one more name. `None` at the end of the walk; otherwise what there is to send may still be nothing.
    pub(crate) fn step(&mut self) -> Result<Option<impl Iterator<Item = Stat>>, Error> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        self.path.truncate(level.length);
        let Some((name, kind)) = level.listing.next() else {
            self.levels.pop();
            return Ok(Some(self.ready.drain(..)));
        };
        if level.length > 0 {
            self.path.push(b'/');
        }
        self.path.extend(name);
        self.visit(kind)?;
        Ok(Some(self.ready.drain(..)))
    }

    fn visit(&mut self, kind: FileType) -> Result<(), Error> {
        let is_directory = match kind {
            FileType::Unknown => {
                self.there(fs::lstat(self.on_disk()))?.is_some_and(|stat| mode::is_directory(stat.st_mode))
            }
            known => known == FileType::Directory,
        };
        let parent = if self.levels.len() > 1 { self.levels.last().map(|level| &level.matched) } else { None };
        let mut matched = DirMatch::default();
        let verdict = self.filter.judge(&self.path, parent, is_directory.then_some(&mut matched))?;
        if verdict.send {
            let Some(stat) = self.stat()? else { return Ok(()) };
            self.send_parents()?;
            self.ready.push_back(stat);
        }
        if !is_directory || !verdict.descend {
            return Ok(());
        }
        let listing = match Listing::read(&self.on_disk()) {
            // What is not sent need not be readable.
            Err(Errno::ACCESS | Errno::PERM) if !verdict.send => return Ok(()),
            listing => self.there(listing)?,
        };
        if let Some(listing) = listing {
            self.levels.push(Level { listing, length: self.path.len(), matched, sent: verdict.send });
        }
        Ok(())
    }

    /// Directories that are only sent since something in them is.
    fn send_parents(&mut self) -> Result<(), Error> {
        let path = std::mem::take(&mut self.path);
        for index in 0..self.levels.len() {
            if std::mem::replace(&mut self.levels[index].sent, true) {
                continue;
            }
            self.path.clear();
            self.path.extend(&path[..self.levels[index].length]);
            let stat = self.stat()?;
            self.ready.extend(stat);
        }
        self.path = path;
        Ok(())
    }

    /// What there is to say of the current path; `None` where it has just vanished.
    fn stat(&mut self) -> Result<Option<Stat>, Error> {
        let place = self.on_disk();
        let Some(found) = self.there(fs::lstat(&place))? else { return Ok(None) };
        let mut stat = Stat {
            path: self.path.clone(),
            mode: mode::from_unix(found.st_mode),
            // Owners are left at 0, or the same context of another user would never hit the cache.
            mod_time: mode::nanoseconds(&found),
            ..Stat::default()
        };
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {}
            FileType::Symlink => {
                stat.size = found.st_size;
                let Some(target) = self.there(fs::readlink(&place, Vec::new()))? else { return Ok(None) };
                stat.linkname = target.into_bytes();
            }
            kind => {
                stat.size = found.st_size;
                if matches!(kind, FileType::BlockDevice | FileType::CharacterDevice) {
                    (stat.devmajor, stat.devminor) = mode::device(found.st_rdev);
                }
                if found.st_nlink > 1 {
                    let first = self.links.entry((found.st_dev, found.st_ino)).or_insert_with(|| self.path.clone());
                    if *first != self.path {
                        stat.linkname.clone_from(first);
                    }
                }
            }
        }
        let Some(xattrs) = self.xattrs(&place)? else { return Ok(None) };
        stat.xattrs = xattrs;
        Ok(Some(stat))
    }

    fn xattrs(&mut self, place: &Path) -> Result<Option<Vec<Xattr>>, Error> {
        let length = loop {
            match fs::llistxattr(place, &mut self.names) {
                Err(Errno::OPNOTSUPP) => return Ok(Some(Vec::new())),
                Err(Errno::RANGE) => self.names.resize(self.names.len() * 2, 0),
                length => break self.there(length)?,
            }
        };
        let Some(length) = length else { return Ok(None) };
        let mut xattrs = Vec::new();
        let names = self.names[..length].split(|&byte| byte == 0);
        for name in names.filter(|name| !name.is_empty() && !name.starts_with(b"com.apple.")) {
            // One that cannot be read is left out, as Docker's clients do.
            if let Ok(value) = xattr(place, name) {
                xattrs.push(Xattr { name: name.to_vec(), value });
            }
        }
        Ok(Some(xattrs))
    }

    fn on_disk(&self) -> PathBuf {
        if self.path.is_empty() {
            return self.root.clone();
        }
        let root = self.root.as_os_str().as_bytes();
        let mut place = Vec::with_capacity(root.len() + 1 + self.path.len());
        place.extend(root);
        place.push(b'/');
        place.extend(&self.path);
        PathBuf::from(std::ffi::OsString::from_vec(place))
    }

    /// A file that went away between being listed and being looked at counts as never having been there.
    fn there<T>(&self, result: rustix::io::Result<T>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(self.unreadable(errno)),
        }
    }

    fn unreadable(&self, errno: Errno) -> Error {
        Error::Unreadable { path: self.on_disk().display().to_string(), cause: errno.into() }
    }
}

fn xattr(place: &Path, name: &[u8]) -> rustix::io::Result<Vec<u8>> {
    let mut value = vec![0; 256];
    loop {
        match fs::lgetxattr(place, OsStr::from_bytes(name), &mut value) {
            Err(Errno::RANGE) => value.resize(value.len() * 2, 0),
            length => {
                value.truncate(length?);
                return Ok(value);
            }
        }
    }
}
