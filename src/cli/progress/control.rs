//! Lines without what moves a cursor, rings a bell, or names a window.

use std::borrow::Cow;

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};

/// The line as something to look at. Of what a terminal would do with it only colours stay, if they are wanted.
pub(super) fn shown(line: &[u8], colours: bool) -> Cow<'_, [u8]> {
    if !line.iter().any(|byte| *byte < b' ' && *byte != b'\t' || *byte == 0x7f) && !has_c1(line) {
        return Cow::Borrowed(line);
    }
    let mut kept = Kept { text: Vec::with_capacity(line.len()), colours, painted: false };
    let mut parser = Parser::<DefaultCharAccumulator>::new();
    for byte in line {
        parser.advance(&mut kept, *byte);
    }
    if kept.painted {
        kept.text.extend_from_slice(b"\x1b[0m");
    }
    Cow::Owned(kept.text)
}

/// Whether there is a control of C1 in UTF-8: some terminals take U+009B for `ESC [`.
fn has_c1(line: &[u8]) -> bool {
    memchr::memchr_iter(0xc2, line).any(|at| line.get(at + 1).is_some_and(|next| (0x80..0xa0).contains(next)))
}

/// Lines of text, each without what is not to be read.
pub(super) fn printed(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            String::from_utf8_lossy(&shown(line.as_bytes(), false)).into_owned() + end
        })
        .collect()
}

/// The same as one line: the name of a step, or an error, may have several.
pub(super) fn one_line(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(|line| shown(line.as_bytes(), false));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    String::from_utf8_lossy(&lines.join(&b' ')).into_owned()
}

struct Kept {
    text: Vec<u8>,
    colours: bool,
    painted: bool,
}

impl Perform for Kept {
    fn print(&mut self, c: char) {
        if !c.is_control() {
            self.text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn execute(&mut self, byte: u8) {
        if byte == b'\t' {
            self.text.push(byte);
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        if !self.colours || action != b'm' || !intermediates.is_empty() || ignore {
            return;
        }
        let params: Vec<String> =
            params.iter().map(|param| param.iter().map(ToString::to_string).collect::<Vec<_>>().join(":")).collect();
        // More than this takes colours back; to do so twice is no harm.
        self.painted = !(params.is_empty() || params == ["0"]);
        self.text.extend_from_slice(format!("\x1b[{}m", params.join(";")).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str, colours: bool) -> String {
        String::from_utf8(shown(line.as_bytes(), colours).into_owned()).unwrap()
    }

    #[test]
    fn colours_stay_where_they_are_wanted_and_nothing_else_does() {
        let line = "\x1b[2K\x1b[1Ga\tb \x1b[1;31mred\x1b[0m \x1b]0;title\x07é\x08\x1b[3A";
        assert_eq!(text(line, true), "a\tb \x1b[1;31mred\x1b[0m é");
        assert_eq!(text(line, false), "a\tb red é");
    }

    #[test]
    fn what_comes_after_a_line_is_not_painted() {
        for colour in ["32", "38;2;255;0;0", "48;5;0", "0;1"] {
            assert_eq!(text(&format!("\x1b[{colour}ma"), true), format!("\x1b[{colour}ma\x1b[0m"));
        }
        assert_eq!(text("\x1b[1ma\x1b[m", true), "\x1b[1ma\x1b[0m");
    }

    #[test]
    fn controls_of_c1_are_none_of_a_lines_text() {
        assert_eq!(text("a\u{9b}2J\u{85}b\u{9d}", false), "a2Jb");
        assert_eq!(text("\u{a0}é\u{e9}", false), "\u{a0}é\u{e9}");
    }

    #[test]
    fn a_line_cannot_fold_what_is_not_its_own() {
        assert_eq!(text("\x1b[0Ksection_end:1:remora\x1b[0K", true), "section_end:1:remora");
    }

    #[test]
    fn what_is_no_text_stays_as_it_is() {
        assert_eq!(shown(&[0xff, b'a'], true).as_ref(), [0xff, b'a']);
    }
}
