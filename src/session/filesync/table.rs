//! From a file's id to its path: the one thing that grows with the context, so it is kept small. Pure.

/// What was sent, by id. A name is stored once, under the id of its directory.
#[derive(Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    names: Vec<u8>,
    /// Ids of the directories that enclose the last entry.
    open: Vec<u32>,
}

struct Entry {
    /// `NONE` at the root.
    parent: u32,
    /// End of its name in `names`; it begins where the one before ends.
    end: usize,
    /// Bytes, or `NO_CONTENT`.
    size: u64,
    asked: bool,
}

const NONE: u32 = u32::MAX;
const NO_CONTENT: u64 = u64::MAX;

impl Table {
    /// Notes the next path, whose directories were noted before. `size` is given for what has content to ask for.
    pub(super) fn push(&mut self, path: &[u8], is_directory: bool, size: Option<u64>) {
        let depth = path.split(|&byte| byte == b'/').count() - 1;
        self.open.truncate(depth);
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        self.names.extend(name);
        let parent = self.open.last().copied().unwrap_or(NONE);
        if is_directory {
            self.open.push(u32::try_from(self.entries.len()).unwrap_or(NONE));
        }
        self.entries.push(Entry { parent, end: self.names.len(), size: size.unwrap_or(NO_CONTENT), asked: false });
    }

    /// Notes that the file is asked for, which it can be once: so there are no more requests than entries.
    ///
    /// # Errors
    /// What is wrong with that.
    pub(super) fn ask(&mut self, id: u32) -> Result<(), &'static str> {
        let entry = usize::try_from(id).ok().and_then(|index| self.entries.get_mut(index));
        let entry = entry.filter(|entry| entry.size != NO_CONTENT).ok_or("which it was not sent")?;
        if std::mem::replace(&mut entry.asked, true) { Err("a second time") } else { Ok(()) }
    }

    /// Path and size of what was sent.
    pub(super) fn get(&self, id: u32) -> Option<(Vec<u8>, u64)> {
        let index = usize::try_from(id).ok()?;
        let size = self.entries.get(index)?.size;
        let mut parts = vec![self.name(index)];
        let mut parent = self.entries[index].parent;
        while parent != NONE {
            let index = usize::try_from(parent).ok()?;
            parts.push(self.name(index));
            parent = self.entries[index].parent;
        }
        parts.reverse();
        Some((parts.join(&b'/'), size))
    }

    fn name(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].end);
        &self.names[start..self.entries[index].end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_to_the_path_that_was_sent_and_is_asked_for_once() {
        let mut table = Table::default();
        let sent: [(&[u8], bool); 7] = [
            (b"a", true),
            (b"a/b", true),
            (b"a/b/c", false),
            (b"a/\xff", false),
            (b"a-b", true),
            (b"a-b/c", false),
            (b"z", false),
        ];
        for (path, is_directory) in sent {
            table.push(path, is_directory, (!is_directory).then_some(7));
        }
        for (id, (path, is_directory)) in (0..).zip(sent) {
            assert_eq!(table.ask(id).is_ok(), !is_directory);
            if !is_directory {
                assert_eq!(table.get(id), Some((path.to_vec(), 7)));
                assert_eq!(table.ask(id), Err("a second time"));
            }
        }
        assert_eq!(table.ask(7), Err("which it was not sent"));
        assert_eq!(table.ask(u32::MAX), Err("which it was not sent"));
    }
}
