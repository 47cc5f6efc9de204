//! Dates that Go takes: over another one `BuildKit` gives up the whole cache.

/// Whether this is a date and a time by RFC 3339, such as `2026-01-31T00:00:00.5Z`.
pub(super) fn is_date(text: &str) -> bool {
    read(text).is_some()
}

fn read(text: &str) -> Option<()> {
    let (date, time) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let [zone_hours, zone_minutes] = if zone == "Z" { [0, 0] } else { numbers(zone.get(1..)?, ':', [2, 2])? };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let fraction = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    let in_range = (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60;
    (in_range && fraction && zone_hours < 24 && zone_minutes < 60).then_some(())
}

/// Numbers with exactly so many digits each.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[u32; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
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
        ] {
            assert!(!is_date(odd), "{odd}");
        }
    }
}
