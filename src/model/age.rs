//! How old something is, as a person says it.

use std::time::{Duration, SystemTime};

use super::Date;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const TWO_DAYS: i64 = 2 * DAY;
const TWO_MONTHS: i64 = 60 * DAY;
const TWO_YEARS: i64 = 730 * DAY;

/// Seconds from 1970 to 2000. What says that it is older was given a date so that it is always the same.
const YEAR_2000: i64 = 946_684_800;

/// How far clocks may be apart.
const SKEW: i64 = DAY;

/// How old something is that was made on this date, as `3 h old`. `None` where that is no date of RFC 3339, or one that
/// says nothing of its age.
pub fn age(created: &str, now: SystemTime) -> Option<String> {
    let created = seconds(created)?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let age = i64::try_from(now).ok()? - created;
    if created < YEAR_2000 || age < -SKEW {
        return None;
    }
    Some(match age {
        ..MINUTE => "just made".to_owned(),
        MINUTE..HOUR => format!("{} min old", age / MINUTE),
        HOUR..TWO_DAYS => format!("{} h old", age / HOUR),
        TWO_DAYS..TWO_MONTHS => format!("{} days old", age / DAY),
        TWO_MONTHS..TWO_YEARS => format!("{} months old", age / (30 * DAY)),
        _ => format!("{} years old", age / (365 * DAY)),
    })
}

/// Seconds since 1970 of a date of RFC 3339.
fn seconds(date: &str) -> Option<i64> {
    let Date { year, month, day, hour, minute, second, ahead, .. } = Date::read(date)?;
    Some(days(year, month, day) * DAY + hour * HOUR + (minute - ahead) * MINUTE + second)
}

/// Days since 1970-01-01 in the Gregorian calendar; years begin in March here, so that a leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dates_are_read_as_rfc_3339_means_them() {
        for (date, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-21T10:20:30.123456789Z", 1_795_256_430),
            ("2026-11-21T12:20:30+02:00", 1_795_256_430),
            ("2026-11-21 04:50:30.5-05:30", 1_795_256_430),
            ("2100-03-01T00:00:00z", 4_107_542_400),
        ] {
            assert_eq!(seconds(date), Some(expected), "{date}");
        }
    }

    #[test]
    fn what_is_no_date_has_no_age() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_256_430);
        for odd in [
            "",
            "yesterday",
            "2026-11-21",
            "2026-11-21T10:20:30",
            "2026-13-21T10:20:30Z",
            "2026-11-21T10:20:30.Z",
            "2026-11-21T10:20:30+",
            "2026-11-21T10:20:30Z05:30",
            "2026-11-21T10:20:30+2:00",
            "2026-11-21T10:20:30Zulu",
            "+026-11-21T10:20:30Z",
            "2026-11-21T1٠:20:30Z",
            "2026-11-21T10:20Z",
            "0001-01-01T00:00:00Z",
            "1980-01-01T00:00:00Z",
            "2036-11-21T10:20:30Z",
        ] {
            assert_eq!(age(odd, now), None, "{odd}");
        }
    }

    #[test]
    fn ages_are_said_as_people_say_them() {
        const CREATED: &str = "2026-11-21T10:20:30Z";
        let at = |later: i64| {
            let now = u64::try_from(seconds(CREATED).unwrap() + later).unwrap();
            age(CREATED, SystemTime::UNIX_EPOCH + Duration::from_secs(now)).unwrap()
        };
        for (later, said) in [
            (-5, "just made"),
            (59, "just made"),
            (60, "1 min old"),
            (3599, "59 min old"),
            (3 * 3600 + 100, "3 h old"),
            (47 * 3600, "47 h old"),
            (48 * 3600, "2 days old"),
            (59 * 86_400, "59 days old"),
            (60 * 86_400, "2 months old"),
            (800 * 86_400, "2 years old"),
        ] {
            assert_eq!(at(later), said);
        }
    }
}
