//! What runs > rows that fit.

use std::time::Instant;

use anstyle::Style;
use unicode_width::UnicodeWidthChar as _;

use super::{
    super::{control, text},
    Moved, Running, Tty,
};

/// Things that move, of each step: an image has many layers.
const MOVES: usize = 8;
/// Columns of a bar.
const BAR: usize = 20;
/// Columns of what a bar is about.
const LABEL: usize = 24;

/// A row of the picture, not wider than was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) columns: usize,
    pub(super) style: Style,
}

impl Row {
    fn new(text: &str, style: Style, width: usize) -> Self {
        let mut row = Self { text: String::new(), columns: 0, style };
        for c in text.chars() {
            let columns = c.width().unwrap_or(0);
            if row.columns + columns > width {
                break;
            }
            row.text.push(c);
            row.columns += columns;
        }
        row
    }
}

impl Tty {
    /// The picture for so many columns and rows.
    pub(super) fn rows(&self, now: Instant, (width, height): (usize, usize)) -> Vec<Row> {
        // A terminal goes to its next row by itself after the last column: that one is left free where there are others.
        let width = width.saturating_sub(1).max(1);
        let height = height.saturating_sub(1).max(1);
        let mut rows = Vec::new();
        for (id, step) in &self.running {
            let name = self.names.get(id).map(String::as_str).unwrap_or_default();
            let elapsed = now.saturating_duration_since(step.since).as_millis().try_into().unwrap_or(u64::MAX);
            let lead = format!("#{id} {}", text::seconds(elapsed));
            rows.push(Row::new(&format!("{lead} {}", printed(name.as_bytes())), self.colours.run, width));
            rows.extend(moving(step, width));
            rows.extend(self.logged(step, width));
        }
        for (reference, layers) in &self.pushes {
            let sum = layers.values().fold(Moved::default(), |sum, layer| Moved {
                current: sum.current.saturating_add(layer.current),
                total: sum.total.saturating_add(layer.total),
                done: false,
            });
            rows.push(Row::new(&format!("push {}", printed(reference.as_bytes())), self.colours.run, width));
            for (layer, moved) in layers.iter().filter(|(_, moved)| !moved.done).take(MOVES) {
                rows.push(Row::new(&bar(layer, *moved), Style::new(), width));
            }
            rows.push(Row::new(&bar("in all", sum), Style::new(), width));
        }
        if rows.len() > height {
            // What started last is what runs on.
            rows.drain(..rows.len() - height);
        }
        rows
    }

    fn logged(&self, step: &Running, width: usize) -> Vec<Row> {
        let unfinished = Some(step.lines.unfinished()).filter(|line| !line.is_empty());
        let lines = step.log.iter().map(Vec::as_slice).chain(unfinished);
        let skipped = (step.log.len() + usize::from(unfinished.is_some())).saturating_sub(self.log_lines);
        lines.skip(skipped).map(|line| Row::new(&format!("  {}", printed(line)), self.colours.faint, width)).collect()
    }
}

fn moving(step: &Running, width: usize) -> Vec<Row> {
    let moves = step.moves.iter().filter(|(_, moved)| !moved.done && moved.current.max(moved.total) > 0);
    moves.take(MOVES).map(|(what, moved)| Row::new(&bar(what, *moved), Style::new(), width)).collect()
}

/// As text that moves nothing.
fn printed(line: &[u8]) -> String {
    String::from_utf8_lossy(&control::shown(line, false)).replace('\t', "    ")
}

/// `  sha256:0123456789ab      [==========>         ] 10.0 MB / 20.0 MB`
fn bar(what: &str, moved: Moved) -> String {
    let Moved { current, total, .. } = moved;
    // A digest says enough with its beginning.
    let what: String = printed(what.as_bytes()).chars().take(LABEL).collect();
    if total == 0 {
        return format!("  {what:LABEL$} {}", text::bytes(current));
    }
    let share = u128::from(current.min(total)) * BAR as u128 / u128::from(total);
    let full = usize::try_from(share).unwrap_or(BAR);
    let head = if full < BAR { ">" } else { "" };
    let rest = BAR - full - head.len();
    let of = format!("{} / {}", text::bytes(current), text::bytes(total));
    format!("  {what:LABEL$} [{}{head}{}] {of}", "=".repeat(full), " ".repeat(rest))
}
