//! Dates as RFC 3339 has them, `2026-11-22T01:02:03.456Z`, and as Unix time.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

use super::duration;

/// The last second that RFC 3339 can write, the end of the year 9999.
const LAST_UNIX_SECOND: u64 = 253_402_300_799;
const SECONDS_PER_DAY: u64 = 86_400;
/// The Julian day number of 1970-01-01.
const JULIAN_DAY_OF_1970: i32 = 2_440_588;
const TEXT_BYTES: usize = "2026-11-22T01:02:03.456Z".len();

/// A time in UTC, to the millisecond, or with `{:.0}` to the second. A time before 1970 is written as its first
/// instant, one after 9999 as its last second.
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
    /// Appends the time as it is displayed. Each line of the log has one, so the formatter is avoided.
    pub fn push_to(&self, out: &mut String) {
        let since_epoch = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since_epoch.as_secs().min(LAST_UNIX_SECOND);
        let day = i32::try_from(seconds / SECONDS_PER_DAY).unwrap_or(i32::MAX);
        let date = Date::from_julian_day(day.saturating_add(JULIAN_DAY_OF_1970)).unwrap_or(Date::MAX);
        let (year, month, day) = date.to_calendar_date();
        let second_of_day = seconds % SECONDS_PER_DAY;
        for (number, digits, end) in [
            (u64::from(year.unsigned_abs()), 4, '-'),
            (u64::from(u8::from(month)), 2, '-'),
            (u64::from(day), 2, 'T'),
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

/// Unix time in UTC, to the second.
pub fn of_unix_seconds(seconds: u64) -> String {
    let since = Duration::from_secs(seconds.min(LAST_UNIX_SECOND));
    format!("{:.0}", Timestamp(UNIX_EPOCH + since))
}

/// Reads RFC 3339, offsets and fractions of a second included. `None` for times before 1970.
pub fn read(text: &str) -> Option<SystemTime> {
    let read = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    (read >= OffsetDateTime::UNIX_EPOCH).then(|| read.into())
}

/// Milliseconds since 1970; 0 before.
pub fn unix_ms(time: SystemTime) -> u64 {
    duration::whole_ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Seconds since 1970; 0 before.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
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
            let time = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(Timestamp(time).to_string(), expected);
            assert_eq!(read(expected), Some(time));
            assert_eq!(unix_ms(time), millis);
        }
        for (seconds, expected) in [
            (1_780_944_355, "2026-06-08T18:45:55Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(of_unix_seconds(seconds), expected);
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Timestamp(before).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!((unix_ms(before), unix_seconds(before)), (0, 0));
    }

    #[test]
    fn dates_are_read_as_providers_write_them() {
        for (text, unix_ms) in [
            ("2026-06-08T18:45:55Z", Some(1_780_944_355_000)),
            ("2026-06-08T20:45:55.5+02:00", Some(1_780_944_355_500)),
            ("2026-06-08t13:15:55.123456-05:30", Some(1_780_944_355_123)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-02-30T00:00:00Z", None),
            ("2026-06-08", None),
            ("2026-06-08T18:45:55", None),
            ("soon", None),
        ] {
            assert_eq!(read(text).map(super::unix_ms), unix_ms, "{text}");
        }
    }
}
