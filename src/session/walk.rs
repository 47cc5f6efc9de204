//! Walks a directory the way the engine expects it: depth first, parents before children, names in a directory sorted by
//! bytes, one [`Stat`] at a time. Nothing is kept of what was sent but the inodes with several names.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, OFlags};
use rustix::io::Errno;

use super::filter::{DirMatch, Filter};
use super::packet::{Stat, Xattr};
use super::path::base;
use super::pattern::Invalid;
use super::root::Root;

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
    root: Arc<Root>,
    filter: Filter,
    levels: Vec<Level>,
    /// The path below the root that is looked at.
    path: Vec<u8>,
    /// The directory of what was looked at last, and the length of its path: one descriptor, however deep the tree.
    here: Option<(usize, OwnedFd)>,
    /// What is to be handed out before the walk goes on.
    ready: VecDeque<Stat>,
    /// The first name that was sent of each inode with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
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
    pub(crate) fn new(root: Arc<Root>, filter: Filter) -> Result<Self, Error> {
        let mut walk = Self {
            root,
            filter,
            levels: Vec::new(),
            path: Vec::new(),
            here: None,
            ready: VecDeque::new(),
            links: HashMap::new(),
        };
        let listing = walk.listing().map_err(|errno| walk.unreadable(errno))?;
        walk.levels.push(Level { listing, length: 0, matched: DirMatch::default(), sent: true });
        Ok(walk)
    }

    /// Looks at one more name. `None` at the end of the walk; otherwise what there is to send may still be nothing.
    pub(crate) fn step(&mut self) -> Result<Option<impl Iterator<Item = Stat>>, Error> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        self.path.truncate(level.length);
        let Some((name, kind)) = level.listing.next() else {
            self.here = self.here.take().filter(|&(length, _)| length != level.length);
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
                let found = self.lstat();
                self.there(found)?.is_some_and(|stat| mode::is_directory(stat.st_mode))
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
        let listing = match self.listing() {
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
        let found = self.lstat();
        let Some(found) = self.there(found)? else { return Ok(None) };
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
                let target = self.beside(|directory, name| fs::readlinkat(directory, name, Vec::new()));
                let Some(target) = self.there(target)? else { return Ok(None) };
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
        let Some(xattrs) = self.xattrs()? else { return Ok(None) };
        stat.xattrs = xattrs;
        Ok(Some(stat))
    }

    fn lstat(&mut self) -> rustix::io::Result<fs::Stat> {
        self.beside(|directory, name| fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Looks at the last part of the current path from within its directory.
    fn beside<T>(
        &mut self,
        look: impl FnOnce(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        let name = base(&self.path);
        let length = self.path.len().saturating_sub(name.len() + 1);
        if length == 0 {
            return look(self.root.as_fd(), name);
        }
        let directory = match self.here.take() {
            Some((same, directory)) if same == length => directory,
            _ => self.root.open_at(&self.path[..length], OFlags::PATH | OFlags::DIRECTORY)?,
        };
        let seen = look(directory.as_fd(), name);
        self.here = Some((length, directory));
        seen
    }

    /// Reads the directory at the current path, whose files are looked at next.
    fn listing(&mut self) -> rustix::io::Result<Listing> {
        let directory = self.root.open_at(&self.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let listing = Listing::read(&directory)?;
        self.here = Some((self.path.len(), directory));
        Ok(listing)
    }

    fn xattrs(&mut self) -> Result<Option<Vec<Xattr>>, Error> {
        let place = self.root.on_disk(&self.path);
        // There is no call that asks from within a directory. A name from elsewhere gets no value here.
        let names = match growing(|into| fs::llistxattr(&place, into)) {
            Err(Errno::OPNOTSUPP) => return Ok(Some(Vec::new())),
            names => self.there(names)?,
        };
        let Some(names) = names else { return Ok(None) };
        if names.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let file = self.root.open_at(&self.path, OFlags::PATH);
        let Some(file) = self.there(file)? else { return Ok(None) };
        let lasting = self.root.lasting_name(&file);
        let value = |name: &OsStr| match &lasting {
            Some(lasting) => growing(|into| fs::getxattr(lasting, name, into)),
            None => growing(|into| fs::lgetxattr(&place, name, into)),
        };
        let names = names.split(|&byte| byte == 0).filter(|name| !name.is_empty() && !name.starts_with(b"com.apple."));
        // One that cannot be read is left out, as Docker's clients do.
        let read = |name: &[u8]| Some(Xattr { name: name.to_vec(), value: value(OsStr::from_bytes(name)).ok()? });
        Ok(Some(names.filter_map(read).collect()))
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
        Error::Unreadable { path: self.root.on_disk(&self.path).display().to_string(), cause: errno.into() }
    }
}

/// What `fill` gives, in as much space as it needs.
fn growing(fill: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut space = vec![0; 256];
    loop {
        match fill(&mut space) {
            Err(Errno::RANGE) => space.resize(space.len() * 2, 0),
            length => {
                space.truncate(length?);
                return Ok(space);
            }
        }
    }
}
