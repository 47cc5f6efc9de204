//! What a step writes > whole lines.

/// Bytes of a line that are kept until it is whole.
const LONGEST: usize = 64 << 10;

/// What a step has written of a line that is not whole yet.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Hands on each line that is whole now, without its end.
    pub(super) fn feed(&mut self, mut data: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', data) {
            let (line, rest) = data.split_at(end + 1);
            data = rest;
            if self.0.is_empty() {
                each(visible(line));
            } else {
                self.0.extend_from_slice(line);
                each(visible(&self.0));
                self.0.clear();
            }
        }
        self.0.extend_from_slice(data);
        if self.0.len() > LONGEST {
            self.rest(each);
        }
    }

    /// Hands on what is there of a line that will not become whole.
    pub(super) fn rest(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.0.is_empty() {
            each(visible(&self.0));
            self.0.clear();
        }
    }

    /// What is there of a line that is not whole, and maybe never will be.
    pub(super) fn unfinished(&self) -> &[u8] {
        visible(&self.0)
    }

    /// Forgets the beginning of a line of which the rest is not wanted.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// A line that was drawn over itself is shown as it was left.
fn visible(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !b"\r\n".contains(b)).map_or(0, |at| at + 1);
    let start = memchr::memrchr(b'\r', &line[..end]).map_or(0, |at| at + 1);
    &line[start..end]
}

/// The last `count` lines of it, and what comes after them.
pub(super) fn last(data: &[u8], count: usize) -> &[u8] {
    let start = memchr::memrchr_iter(b'\n', data).nth(count).map_or(0, |at| at + 1);
    &data[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(pieces: &[&str]) -> Vec<String> {
        let (mut lines, mut whole) = (Lines::default(), Vec::new());
        let mut take = |line: &[u8]| whole.push(String::from_utf8(line.to_vec()).unwrap());
        for piece in pieces {
            lines.feed(piece.as_bytes(), &mut take);
        }
        lines.rest(take);
        whole
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        assert_eq!(fed(&["a\r\nb", "c\n\nd"]), ["a", "bc", "", "d"]);
        assert_eq!(fed(&["10%\r50%\r", "100%\r\n"]), ["100%"]);
        assert_eq!(fed(&["x".repeat(LONGEST).as_str(), "y", "z"]).len(), 2, "a line without end is not kept for ever");
    }

    #[test]
    fn the_last_lines_are_found() {
        assert_eq!(last(b"a\nb\nc\nd", 2), b"b\nc\nd");
        assert_eq!(last(b"a\nb\n", 1), b"b\n");
        assert_eq!(last(b"a", 3), b"a");
    }
}
