//! `2026-11-22T01:02:03.456Z` (RFC 3339), without a calendar crate.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;
const TEXT_BYTES: usize = "2026-11-22T01:02:03.456Z".len();

/// UTC, to the millisecond, with `{:.0}` to the second. A time before 1970 is written as its first instant.
pub struct Timestamp(pub SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(TEXT_BYTES);
        self.push_to(&mut text);
        match f.precision() {
            Some(0) => write!(f, "{}Z", &text[..text.len() - ".000Z".len()]),
            _ => f.write_str(&text),
        }
    }
}

impl Timestamp {
    /// Appends it as it is displayed. Each line of the log has one, so it is not left to the formatter.
    pub(super) fn push_to(&self, out: &mut String) {
        let since_epoch = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since_epoch.as_secs();
        let (year, month, day) = civil_date(seconds / SECONDS_PER_DAY);
        let second_of_day = seconds % SECONDS_PER_DAY;
        for (number, digits, end) in [
            (year, 4, '-'),
            (month, 2, '-'),
            (day, 2, 'T'),
            (second_of_day / 3600, 2, ':'),
            (second_of_day / 60 % 60, 2, ':'),
            (second_of_day % 60, 2, '.'),
            (u64::from(since_epoch.subsec_millis()), 3, 'Z'),
        ] {
            push_digits(out, number, digits);
            out.push(end);
        }
    }
}

/// Appends `number` with zeros before it, so that it has at least so many digits.
fn push_digits(out: &mut String, number: u64, digits: u32) {
    for place in (1..digits).rev() {
        if number < 10_u64.pow(place) {
            out.push('0');
        }
    }
    out.push_str(itoa::Buffer::new().format(number));
}

/// Days since 1970-01-01 → year, month, day in the Gregorian calendar. Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>), whose years begin in March so that the leap day is last.
fn civil_date(days_since_epoch: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    const DAYS_FROM_0000_03_01: u64 = 719_468;
    let days = days_since_epoch + DAYS_FROM_0000_03_01;
    let day_of_era = days % DAYS_PER_ERA;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = days / DAYS_PER_ERA * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_instants() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_309_323_456, "2026-11-22T01:02:03.456Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(
                Timestamp(UNIX_EPOCH + Duration::from_millis(millis)).to_string(),
                expected
            );
        }
        let instant = Timestamp(UNIX_EPOCH + Duration::from_millis(1_795_309_323_956));
        assert_eq!(format!("{instant:.0}"), "2026-11-22T01:02:03Z");
        assert_eq!(
            Timestamp(UNIX_EPOCH - Duration::from_secs(1)).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut before = civil_date(0);
        for day in 1..=146_097 {
            let (year, month, of_month) = civil_date(day);
            let leap = before.0.is_multiple_of(4) && (!before.0.is_multiple_of(100) || before.0.is_multiple_of(400));
            let length = match before.1 {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = match before {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, of_month) if of_month == length => (year, month + 1, 1),
                (year, month, of_month) => (year, month, of_month + 1),
            };
            assert_eq!((year, month, of_month), expected);
            before = expected;
        }
    }
}
