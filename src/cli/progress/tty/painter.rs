//! Rows > a terminal, over what was there before.
//!
//! indicatif was looked at: it goes up by rows as they were when it drew them. Where a terminal has become narrower
//! since, and has wrapped them, their rests stay.

use std::io::Write as _;

use anstyle::Style;
use terminal_size::{Height, Width};

use super::{
    super::{Out, control},
    Row,
};

/// Where the terminal does not say how large it is.
const SIZE: (usize, usize) = (80, 24);
/// Bytes above the picture that wait for the next one.
const GATHERED: usize = 64 << 10;

const HIDE_CURSOR: &[u8] = b"\x1b[?25l";
const SHOW_CURSOR: &[u8] = b"\x1b[?25h";

/// Paints on a terminal. Dropping it shows the cursor again.
pub(in crate::cli::progress) struct Painter {
    out: Out,
    columns: Option<u16>,
    /// What scrolls away above the picture.
    above: Vec<u8>,
    /// Columns of the rows that are there.
    painted: Vec<usize>,
    hidden: bool,
}

impl Painter {
    /// With at most so many columns.
    pub(in crate::cli::progress) fn new(out: Out, columns: Option<u16>) -> Self {
        Self { out, columns, above: Vec::new(), painted: Vec::new(), hidden: false }
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        let (width, height) = match terminal_size::terminal_size_of(std::io::stderr()) {
            Some((Width(width), Height(height))) if width > 0 && height > 0 => (width.into(), height.into()),
            _ => SIZE,
        };
        (self.columns.map_or(width, |columns| width.min(columns.into())), height)
    }

    /// A line that stays.
    pub(super) fn above(&mut self, style: Style, line: &str) {
        let line =
            line.lines().map(|line| control::shown(line.as_bytes(), false)).collect::<Vec<_>>().join(&b"\r\n"[..]);
        self.above.extend_from_slice(style.render().to_string().as_bytes());
        self.above.extend_from_slice(&line);
        self.above.extend_from_slice(format!("{style:#}\r\n").as_bytes());
        if self.above.len() > GATHERED {
            let size = self.size();
            self.paint(&[], size);
        }
    }

    /// Paints these rows in place of those before.
    pub(super) fn paint(&mut self, rows: &[Row], (width, _): (usize, usize)) {
        if rows.is_empty() && self.painted.is_empty() && self.above.is_empty() {
            return;
        }
        let mut picture = Vec::new();
        if !rows.is_empty() && !std::mem::replace(&mut self.hidden, true) {
            picture.extend_from_slice(HIDE_CURSOR);
        }
        // A terminal that has become narrower has wrapped what was on it.
        let up: usize = self.painted.iter().map(|columns| columns.div_ceil(width.max(1)).max(1)).sum();
        if up > 0 {
            picture.extend_from_slice(format!("\r\x1b[{up}A\x1b[J").as_bytes());
        }
        picture.append(&mut self.above);
        for Row { text, style, .. } in rows {
            picture.extend_from_slice(format!("{style}{text}{style:#}\r\n").as_bytes());
        }
        self.painted = rows.iter().map(|row| row.columns).collect();
        drop(self.out.write_all(&picture));
        drop(self.out.flush());
    }

    /// Shows the cursor again.
    pub(super) fn restore(&mut self) {
        if std::mem::take(&mut self.hidden) {
            drop(self.out.write_all(SHOW_CURSOR));
            drop(self.out.flush());
        }
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        self.restore();
    }
}
