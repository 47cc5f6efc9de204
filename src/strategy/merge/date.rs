//! Dates that Go takes: over another one `BuildKit` gives up the whole cache.

use crate::model::Date;

/// Whether this is a date and a time by RFC 3339, such as `2026-01-31T00:00:00.5Z`, to the letter and with no more than
/// nanoseconds.
pub(super) fn is_date(text: &str) -> bool {
    let Some(Date { year, month, day, second, fraction, .. }) = Date::read(text) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    day <= days && second < 60 && fraction <= 9 && !text.contains(['t', 'z', ' '])
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn only_what_go_reads_as_a_date_is_one() {
        for date in ["2026-01-31T00:00:00Z", "2024-02-29T23:59:59.123456789Z", "0001-01-01T00:00:00+05:30"] {
            assert!(is_date(date), "{date}");
        }
        for odd in [
            "",
            "2026-01-31",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Zé",
            "2026-01-01 00:00:00Z",
            "2026-1-1T00:00:00Z",
            "2026-01-01t00:00:00Z",
            "2026-01-01T00:00:00z",
            "2026-01-01T00:00:00.1234567890Z",
        ] {
            assert!(!is_date(odd), "{odd}");
        }
    }
}
