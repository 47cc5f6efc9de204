//! Dates of RFC 3339, such as `2026-01-31T00:00:00.5Z`.

/// A date with its time, as it was written: its numbers are in range, and nothing else is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Year, of four digits.
    pub year: i64,
    /// Month, from 1.
    pub month: i64,
    /// Day, from 1 to 31 in any month.
    pub day: i64,
    /// Hour, to 23.
    pub hour: i64,
    /// Minute, to 59.
    pub minute: i64,
    /// Second, to 60: some minutes are longer.
    pub second: i64,
    /// How many digits the fraction of the second has; 0 where there is none.
    pub fraction: usize,
    /// By how many minutes its clock is ahead of UTC.
    pub ahead: i64,
}

impl Date {
    /// Reads one. `T` and `Z` may be small, and the first a space.
    pub fn read(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', 't', ' '])?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let (time, zone) = time.split_at(time.find(['Z', 'z', '+', '-'])?);
        let (time, fraction) = match time.split_once('.') {
            Some((_, "")) => return None,
            Some((time, fraction)) => (time, fraction),
            None => (time, ""),
        };
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let [zone_hours, zone_minutes] = match zone {
            "Z" | "z" => [0, 0],
            zone => numbers(zone.strip_prefix(['+', '-'])?, ':', [2, 2])?,
        };
        let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
        let zone_in_range = zone_hours < 24 && zone_minutes < 60;
        if !in_range || !zone_in_range || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let away = zone_hours * 60 + zone_minutes;
        let ahead = if zone.starts_with('-') { -away } else { away };
        Some(Self { year, month, day, hour, minute, second, fraction: fraction.len(), ahead })
    }
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}
