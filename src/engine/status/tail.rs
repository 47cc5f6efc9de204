//! The last lines that a step wrote, for the case that it fails.

/// Lines of a step's output that a failure repeats.
const LINES: usize = 20;
/// Bytes of one such line.
const LINE: usize = 2000;
/// Bytes that hold so many lines.
const KEPT: usize = LINES * LINE;

/// The end of an output, as it was written.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    pub(super) fn push(&mut self, data: &[u8]) {
        self.0.extend_from_slice(&data[data.len().saturating_sub(KEPT)..]);
        // Seldom, so that what is kept is moved seldom.
        if self.0.len() > 2 * KEPT {
            self.0.drain(..self.0.len() - KEPT);
        }
    }

    /// The last lines, cut where they are too long.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines: Vec<&[u8]> = self.0.strip_suffix(b"\n").unwrap_or(&self.0).split(|byte| *byte == b'\n').collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        last.iter().filter(|_| !self.0.is_empty()).map(|line| text(line)).collect()
    }
}

/// A line that was drawn over itself is told as it was left.
fn text(line: &[u8]) -> String {
    let left = line.trim_ascii_end().rsplit(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut text = String::from_utf8_lossy(left).trim_end().to_owned();
    text.truncate(text.floor_char_boundary(LINE));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_however_they_come() {
        let mut tail = Tail::default();
        assert!(tail.lines().is_empty());
        for number in 0..30_000 {
            tail.push(format!("line {number}").as_bytes());
            tail.push(b"\r\n");
        }
        tail.push(b"half");
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[0].as_str(), lines[19].as_str()), (20, "line 29981", "half"));
        assert!(tail.0.len() <= 2 * KEPT);
    }

    #[test]
    fn of_a_bar_the_end_is_kept() {
        let mut tail = Tail::default();
        for percent in 0..=100 {
            tail.push(format!("\r{percent}% {}", "=".repeat(percent)).as_bytes());
        }
        tail.push(b"\rno space left\r\n");
        assert_eq!(tail.lines(), ["no space left"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut tail = Tail::default();
        tail.push("é".repeat(3 * KEPT).as_bytes());
        tail.push(b"\nend\n");
        let lines = tail.lines();
        assert_eq!((lines[0].len(), lines[1].as_str()), (LINE, "end"));
    }
}
