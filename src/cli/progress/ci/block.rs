//! What a step has written while another one is on stage.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
};

/// Bytes that wait in memory, for each step. What is more goes to a file that has no name.
const IN_MEMORY: usize = 64 << 10;

/// Lines that wait.
#[derive(Default)]
pub(super) struct Block {
    /// Bytes that are in the file.
    spilled: u64,
    file: Option<File>,
    /// What comes after the file.
    recent: Vec<u8>,
}

impl Block {
    pub(super) fn is_empty(&self) -> bool {
        self.spilled == 0 && self.recent.is_empty()
    }

    /// Keeps one line. `false` where there is no room for more, and this one should not have to wait.
    pub(super) fn push(&mut self, line: &[u8]) -> bool {
        self.recent.extend_from_slice(line);
        self.recent.push(b'\n');
        self.recent.len() <= IN_MEMORY || self.spill().is_ok()
    }

    fn spill(&mut self) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all(&self.recent)?;
        self.spilled += self.recent.len() as u64;
        self.recent.clear();
        Ok(())
    }

    /// Hands on every line, and is empty then.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8])) {
        let Self { spilled, file, recent } = std::mem::take(self);
        if let Some(mut file) = file.filter(|_| spilled > 0) {
            // What was written in vain when the disk became full lies behind what counts.
            if file.seek(SeekFrom::Start(0)).is_ok() {
                let mut reader = BufReader::with_capacity(IN_MEMORY, std::io::Read::take(file, spilled));
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    each(line.strip_suffix(b"\n").unwrap_or(&line));
                    line.clear();
                }
            }
        }
        recent.split_inclusive(|byte| *byte == b'\n').for_each(|line| each(line.strip_suffix(b"\n").unwrap_or(line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_output_waits_on_disk_and_nothing_of_it_is_lost() {
        let mut block = Block::default();
        for number in 0..100_000 {
            assert!(block.push(format!("line {number}").as_bytes()));
            assert!(block.recent.len() <= IN_MEMORY);
        }
        let mut next = 0;
        block.drain(|line| {
            assert_eq!(line, format!("line {next}").as_bytes());
            next += 1;
        });
        assert_eq!(next, 100_000);
        assert!(block.is_empty());
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_not_shown_twice() {
        let mut block = Block::default();
        block.push(b"one");
        block.spill().unwrap();
        block.file.as_mut().unwrap().write_all(b"half a li").unwrap();
        block.push(b"two");
        let mut lines = Vec::new();
        block.drain(|line| lines.push(String::from_utf8_lossy(line).into_owned()));
        assert_eq!(lines, ["one", "two"]);
    }
}
