//! Files made below one directory, and nowhere else.
//!
//! Whatever the other side names is made in a directory that was reached from the root one name at a time, following no
//! symlink, whoever made it. So no name leads out: neither `..`, nor a symlink that was sent before, nor one that lay there.
//!
//! As `docker buildx` has it: files belong to whoever runs this; what is in the way is replaced, what is not is kept; a
//! device that may not be made is an error, and an attribute that may not be set is none.

use std::ffi::CString;
use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::{Errno, Result};
use rustix::process::{getgid, getuid};

use super::super::packet::Stat;
use super::super::problems::Problem;
use super::super::walk::mode;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Until their content is there, files and directories are for their owner alone.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// The longest path, as Linux has it.
const PATH_MAX: usize = 4096;
/// How deep a directory may be that is removed: each level is an open directory.
const DEEPEST: usize = 512;
const NEXT: &str = "Name another directory, or make room there.";

/// A directory that takes files.
pub(super) struct Tree {
    path: PathBuf,
    root: OwnedFd,
    /// The directory that was used last: files of one come together.
    near: Option<(Vec<u8>, OwnedFd)>,
    /// They get their modes and times last: what is made in them changes these.
    directories: Vec<Stat>,
    /// Hard links, which want what they are links of.
    links: Vec<Stat>,
}

/// A file that gets its content.
pub(super) struct Target {
    file: File,
    stat: Stat,
    written: u64,
}

impl Tree {
    /// Opens the directory; where there is none, makes it.
    pub(super) fn open(path: PathBuf) -> std::result::Result<Self, Problem> {
        let failed = |cause: &std::io::Error| Problem::new(format!("cannot write {}: {cause}", path.display()), NEXT);
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|cause| failed(&cause))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(&path, flags, Mode::empty()).map_err(|errno| failed(&errno.into()))?;
        Ok(Self { path, root, near: None, directories: Vec::new(), links: Vec::new() })
    }

    /// Makes what has no content; gives back what has.
    pub(super) fn make(&mut self, stat: Stat) -> std::result::Result<Option<Stat>, Problem> {
        check(&stat.path)?;
        let kind = stat.mode & mode::TYPE;
        let made = match kind {
            mode::DIRECTORY => self.directory(&stat.path),
            mode::SYMLINK => self.symlink(&stat),
            0 if stat.linkname.is_empty() => return Ok(Some(stat)),
            0 => check(&stat.linkname).map(|()| Ok(()))?,
            _ => self.device(&stat),
        };
        made.map_err(|errno| self.failed(&stat.path, errno))?;
        match kind {
            mode::DIRECTORY => self.directories.push(stat),
            0 => self.links.push(stat),
            _ => {}
        }
        Ok(None)
    }

    /// Makes a file that is to get its content.
    pub(super) fn begin(&mut self, stat: Stat) -> std::result::Result<Target, Problem> {
        let made = self.in_place(&stat.path, |parent, name| fs::openat(parent, name, NEW, FILE_MODE));
        let file = made.map_err(|errno| self.failed(&stat.path, errno))?.into();
        Ok(Target { file, stat, written: 0 })
    }

    /// Appends.
    pub(super) fn write(&self, target: &mut Target, data: &[u8]) -> std::result::Result<(), Problem> {
        target.written += data.len() as u64;
        target.file.write_all(data).map_err(|cause| self.cannot(&target.stat.path, &cause))
    }

    /// The content is whole: gives the file its mode and time. fsutil sends nothing of a file that it cannot read.
    pub(super) fn close(&self, Target { file, stat, written }: Target) -> std::result::Result<(), Problem> {
        if u64::try_from(stat.size) != Ok(written) {
            let name = self.path.join(String::from_utf8_lossy(&stat.path).as_ref());
            let what = format!("the engine sent {written} bytes of {}, which has {}", name.display(), stat.size);
            return Err(Problem::new(what, "Try again, and look at the engine's log."));
        }
        dress(&file, &stat).map_err(|errno| self.failed(&stat.path, errno))
    }

    /// Everything is there but hard links, and the modes and times of directories.
    pub(super) fn finish(&mut self) -> std::result::Result<(), Problem> {
        for link in std::mem::take(&mut self.links) {
            self.link(&link).map_err(|errno| self.failed(&link.path, errno))?;
        }
        // The lower ones first: a directory may end up closed to its owner.
        for stat in std::mem::take(&mut self.directories).into_iter().rev() {
            let dressed = self.parent(&stat.path).and_then(|(parent, name)| {
                let directory = fs::openat(parent, name, OFlags::RDONLY | DIRECTORY, Mode::empty())?;
                dress(&directory, &stat)
            });
            dressed.map_err(|errno| self.failed(&stat.path, errno))?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &[u8]) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        match fs::mkdirat(parent, name, Mode::RWXU) {
            Err(Errno::EXIST) => {}
            made => return made,
        }
        match fs::openat(parent, name, OFlags::RDONLY | DIRECTORY, Mode::empty()) {
            Ok(there) => {
                let mode = Mode::from_raw_mode(fs::fstat(&there)?.st_mode & 0o7777);
                if mode.contains(Mode::RWXU) { Ok(()) } else { fs::fchmod(there, mode | Mode::RWXU) }
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                fs::unlinkat(parent, name, AtFlags::empty())?;
                fs::mkdirat(parent, name, Mode::RWXU)
            }
            Err(errno) => Err(errno),
        }
    }

    fn symlink(&mut self, stat: &Stat) -> Result<()> {
        self.in_place(&stat.path, |parent, name| fs::symlinkat(stat.linkname.as_slice(), parent, name))?;
        let (parent, name) = self.parent(&stat.path)?;
        own(|uid, gid| fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW));
        fs::utimensat(parent, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn device(&mut self, stat: &Stat) -> Result<()> {
        let kind = match stat.mode & mode::TYPE {
            mode::PIPE => FileType::Fifo,
            kind if kind & mode::CHARACTER_DEVICE != 0 => FileType::CharacterDevice,
            _ => FileType::BlockDevice,
        };
        let number = |part: i64| u32::try_from(part).map_err(|_| Errno::INVAL);
        let device = fs::makedev(number(stat.devmajor)?, number(stat.devminor)?);
        self.in_place(&stat.path, |parent, name| fs::mknodat(parent, name, kind, FILE_MODE, device))?;
        let (parent, name) = self.parent(&stat.path)?;
        let made = fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        own(|uid, gid| fs::chownat(&made, "", uid, gid, AtFlags::EMPTY_PATH));
        // By what is open, and not by a name that may lead elsewhere by now.
        let lasting = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&made));
        fs::chmod(lasting, Mode::from_raw_mode(mode::to_unix(stat.mode)))?;
        fs::utimensat(parent, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn link(&mut self, stat: &Stat) -> Result<()> {
        let (parent, name) = split(&stat.linkname);
        let of = self.walk(parent)?;
        self.in_place(&stat.path, |parent, new| fs::linkat(&of, name, parent, new, AtFlags::empty()))
    }

    /// Makes something of that path, in the place of whatever is there.
    fn in_place<T>(&mut self, path: &[u8], make: impl Fn(&OwnedFd, &[u8]) -> Result<T>) -> Result<T> {
        let (parent, name) = self.parent(path)?;
        match make(parent, name) {
            Err(Errno::EXIST) => {
                remove(parent, name, DEEPEST)?;
                make(parent, name)
            }
            done => done,
        }
    }

    /// The directory that holds a path, and the last name.
    fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(&OwnedFd, &'p [u8])> {
        let (parent, name) = split(path);
        if self.near.as_ref().is_none_or(|(near, _)| near != parent) {
            self.near = Some((parent.to_vec(), self.walk(parent)?));
        }
        let (_, directory) = self.near.as_ref().ok_or(Errno::NOENT)?;
        Ok((directory, name))
    }

    /// A directory below the root, which no symlink leads to.
    fn walk(&self, path: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::PATH | DIRECTORY;
        let mut at = fs::openat(&self.root, ".", flags, Mode::empty())?;
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            at = fs::openat(&at, name, flags, Mode::empty())?;
        }
        Ok(at)
    }

    fn failed(&self, path: &[u8], errno: Errno) -> Problem {
        self.cannot(path, &errno.into())
    }

    fn cannot(&self, path: &[u8], cause: &std::io::Error) -> Problem {
        let name = self.path.join(String::from_utf8_lossy(path).as_ref());
        Problem::new(format!("cannot write {}: {cause}", name.display()), NEXT)
    }
}

/// Refuses what is no plain path below the root.
fn check(path: &[u8]) -> std::result::Result<(), Problem> {
    let plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
    if path.len() < PATH_MAX && path.split(|&byte| byte == b'/').all(plain) {
        return Ok(());
    }
    let what = format!("the engine sent a file named \"{}\", which is no name below a directory", path.escape_ascii());
    Err(Problem::new(what, "Do not trust this engine."))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Removes a file, or a directory and all that is in it.
fn remove(parent: impl AsFd, name: &[u8], deepest: usize) -> Result<()> {
    let parent = parent.as_fd();
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        removed => return removed,
    }
    let deepest = deepest.checked_sub(1).ok_or(Errno::NAMETOOLONG)?;
    let directory = fs::openat(parent, name, OFlags::RDONLY | DIRECTORY, Mode::empty())?;
    let names: Vec<CString> =
        Dir::read_from(&directory)?.map(|entry| Ok(entry?.file_name().to_owned())).collect::<Result<_>>()?;
    for name in names.iter().map(|name| name.to_bytes()).filter(|name| !matches!(*name, b"." | b"..")) {
        remove(&directory, name, deepest)?;
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Gives a file or a directory its owner, attributes, mode and time, in an order in which none undoes another.
fn dress(file: impl AsFd, stat: &Stat) -> Result<()> {
    let file = file.as_fd();
    own(|uid, gid| fs::fchown(file, uid, gid));
    for attribute in &stat.xattrs {
        // Most file systems take some of them alone, and most users may set few.
        let _ = fs::fsetxattr(file, attribute.name.as_slice(), &attribute.value, XattrFlags::empty());
    }
    fs::fchmod(file, Mode::from_raw_mode(mode::to_unix(stat.mode)))?;
    fs::futimens(file, &times(stat))
}

/// A directory may give what is made in it a group of its own. Where that cannot be changed it is well as it is.
fn own(change: impl FnOnce(Option<fs::Uid>, Option<fs::Gid>) -> Result<()>) {
    let _ = change(Some(getuid()), Some(getgid()));
}

fn times(stat: &Stat) -> Timestamps {
    const SECOND: i64 = 1_000_000_000;
    let time = Timespec { tv_sec: stat.mod_time.div_euclid(SECOND), tv_nsec: stat.mod_time.rem_euclid(SECOND) };
    Timestamps { last_access: time, last_modification: time }
}
