//! The names in one directory, sorted by bytes.

use std::os::fd::AsFd;

use rustix::fs::{Dir, FileType};

/// What was in a directory when it was read. All names lie in one allocation.
pub(super) struct Listing {
    names: Vec<u8>,
    /// Start and end in `names`; in falling order, so that the next one is the last.
    entries: Vec<(usize, usize, FileType)>,
}

impl Listing {
    pub(super) fn read(directory: impl AsFd) -> rustix::io::Result<Self> {
        let mut names = Vec::new();
        let mut entries = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let start = names.len();
            names.extend(name);
            entries.push((start, names.len(), entry.file_type()));
        }
        entries.sort_unstable_by(|one, other| names[other.0..other.1].cmp(&names[one.0..one.1]));
        Ok(Self { names, entries })
    }

    pub(super) fn next(&mut self) -> Option<(&[u8], FileType)> {
        let (start, end, kind) = self.entries.pop()?;
        Some((&self.names[start..end], kind))
    }
}
