//! What a person reads: on standard error, so that standard output carries data alone.

use std::io::Write as _;

/// One line of our own.
pub(super) fn notice(line: &str) {
    // Nobody may be reading any more; the work goes on.
    drop(std::io::stderr().lock().write_all(format!("remora: {line}\n").as_bytes()));
}

/// One line of data, for whoever reads standard output.
pub(super) fn data(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// Lines of data, which end as they are.
pub(super) fn raw(lines: &str) {
    drop(std::io::stdout().lock().write_all(lines.as_bytes()));
}

/// Bytes as a person says them, in powers of ten as Docker does.
pub(super) fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).display().si().to_string()
}

/// Milliseconds as a person says them.
pub(super) fn seconds(ms: u64) -> String {
    match ms {
        ..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => format!("{}m{}s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// Rows of data in columns, the last one as wide as it is.
pub(super) fn table<const N: usize>(rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<_> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        data(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
