//! Durations, sizes, numbers: text → value, each within its range.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostic::Complaint;
use crate::notation::duration::unit_ms;

/// A year: far more than any clock here needs, far less than what overflows an instant.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// `250ms`, `2s`, `1.5s`, `10m`, `1h`; more than zero.
pub(super) fn duration(text: &str) -> Result<Duration, Complaint> {
    const HELP: &str = "durations are written like `250ms`, `2s`, `10m` or `1h`";
    let (number, unit) = split(text);
    let unit_ms = match unit {
        "" if !number.is_empty() && number != "0" => {
            return Err(Complaint::new("bad-duration", "is a duration without a unit", HELP));
        }
        "" if number == "0" => 1,
        unit => unit_ms(unit).ok_or_else(|| Complaint::new("bad-duration", "is not a duration", HELP))?,
    };
    let amount: f64 = number
        .parse()
        .map_err(|_| Complaint::new("bad-duration", "is not a duration", HELP))?;
    let amount_ms = amount * f64::from(unit_ms);
    if amount_ms <= 0.0 {
        return Err(Complaint::new(
            "bad-duration",
            "is not longer than zero",
            "waits can't be unbounded: choose a long duration instead",
        ));
    }
    match Duration::try_from_secs_f64(amount_ms / 1_000.0) {
        Ok(duration) if duration < Duration::from_micros(1) => {
            Err(Complaint::new("bad-duration", "is not longer than zero", HELP))
        }
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err(Complaint::new("bad-duration", "is longer than a year", HELP)),
    }
}

/// `64KiB`, `32MiB`, `1GiB`, `10KB`, `10MB`, `1GB`, `512B` or plain bytes; from 1 to `max_bytes`.
pub(super) fn size_bytes(text: &str, max_bytes: u64) -> Result<usize, Complaint> {
    const HELP: &str = "write a size like `64KiB` or `32MiB`, or plain bytes";
    let bad = || Complaint::new("bad-size", "is not a size", HELP);
    let (number, unit) = split(text);
    let unit_bytes: u64 = match unit {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    match number
        .checked_mul(unit_bytes)
        .filter(|bytes| (1..=max_bytes).contains(bytes))
        .map(usize::try_from)
    {
        Some(Ok(bytes)) => Ok(bytes),
        _ => Err(Complaint::new(
            "bad-size",
            format!("is not between 1 byte and {} MiB", max_bytes >> 20),
            HELP,
        )),
    }
}

/// A whole number within `range`.
pub(super) fn integer(text: &str, range: &RangeInclusive<u32>) -> Result<u32, Complaint> {
    text.parse::<u32>()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let reason = format!("is not a whole number between {} and {}", range.start(), range.end());
            Complaint {
                code: "bad-number",
                reason,
                help: None,
            }
        })
}

pub(super) fn boolean(text: &str) -> Result<bool, Complaint> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(Complaint::new(
            "wrong-type",
            "is neither `true` nor `false`",
            "write `true` or `false`",
        )),
    }
}

/// Number and unit; the sign belongs to the number.
fn split(text: &str) -> (&str, &str) {
    let at = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("250ms", 250),
            ("2s", 2_000),
            ("1.5s", 1_500),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("2 s", 2_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "s",
            "30",
            "-5s",
            "0s",
            "0",
            "0.0ms",
            "2d",
            "1m30s",
            "1e3s",
            "NaNs",
            "9999999h",
            "2S",
            "0.0000001ms",
        ] {
            assert_eq!(
                duration(text).map_err(|complaint| complaint.code),
                Err("bad-duration"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_duration_says_what_is_wrong() {
        let reason = |text| duration(text).map_err(|complaint| complaint.reason).unwrap_err();
        assert_eq!(reason("30"), "is a duration without a unit");
        assert_eq!(reason("0s"), "is not longer than zero");
        assert_eq!(reason("-1s"), "is not longer than zero");
        assert_eq!(reason("soon"), "is not a duration");
    }

    #[test]
    fn sizes() {
        let max = 1 << 30;
        for (text, bytes) in [
            ("1", 1),
            ("512B", 512),
            ("64KiB", 65_536),
            ("32MiB", 33_554_432),
            ("1GiB", 1 << 30),
            ("10KB", 10_000),
            ("10 MB", 10_000_000),
        ] {
            assert_eq!(size_bytes(text, max), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "1.5MiB",
            "2GiB",
            "32mib",
            "32M",
            "99999999999999999999",
            "18446744073709551615GiB",
        ] {
            assert_eq!(
                size_bytes(text, max).map_err(|complaint| complaint.code),
                Err("bad-size"),
                "{text}"
            );
        }
    }

    #[test]
    fn integers_keep_to_their_range() {
        assert_eq!(integer("6", &(1..=100)), Ok(6));
        for text in ["0", "101", "-1", "1.0", "six", "", "4294967296"] {
            assert_eq!(
                integer(text, &(1..=100)).map_err(|complaint| complaint.code),
                Err("bad-number"),
                "{text}"
            );
        }
    }
}
