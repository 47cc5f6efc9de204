//! From what `lstat` says to what Go's `os.FileInfo` would. Pure.

use rustix::fs::{FileType, Stat};

/// Type bits of Go's `FileMode`, from its package `io/fs`.
pub(crate) const DIRECTORY: u32 = 1 << 31;
pub(crate) const SYMLINK: u32 = 1 << 27;
pub(crate) const DEVICE: u32 = 1 << 26;
pub(crate) const PIPE: u32 = 1 << 25;
pub(crate) const SETUID: u32 = 1 << 23;
pub(crate) const SETGID: u32 = 1 << 22;
pub(crate) const CHARACTER_DEVICE: u32 = 1 << 21;
pub(crate) const STICKY: u32 = 1 << 20;
/// Any of these, and the file has no content to ask for.
pub(crate) const TYPE: u32 = DIRECTORY | SYMLINK | DEVICE | PIPE | CHARACTER_DEVICE;

/// Go's mode for a Unix one. A socket becomes an empty regular file, as fsutil makes it.
pub(super) fn from_unix(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => DIRECTORY,
        FileType::Symlink => SYMLINK,
        FileType::BlockDevice => DEVICE,
        FileType::CharacterDevice => DEVICE | CHARACTER_DEVICE,
        FileType::Fifo => PIPE,
        _ => 0,
    };
    let special = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
    special.iter().filter(|(bit, _)| mode & bit != 0).fold(kind | (mode & 0o777), |all, (_, bit)| all | bit)
}

/// The permissions of a Go mode as Unix has them: all but the type.
#[cfg(feature = "client")]
pub(crate) fn to_unix(mode: u32) -> u32 {
    let special = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
    special.iter().filter(|(_, bit)| mode & bit != 0).fold(mode & 0o777, |all, (bit, _)| all | bit)
}

pub(super) fn is_directory(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::Directory
}

/// Modification time in nanoseconds since 1970.
pub(super) fn nanoseconds(stat: &Stat) -> i64 {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    stat.st_mtime.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}

/// Major and minor number, split as fsutil splits them.
pub(super) fn device(number: u64) -> (i64, i64) {
    let bits = |value: u64| i64::try_from(value).unwrap_or_default();
    (bits((number >> 8) & 0xfff), bits((number & 0xff) | ((number >> 12) & 0xf_ff00)))
}
