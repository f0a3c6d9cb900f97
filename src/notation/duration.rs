//! Durations as they are written in configurations and on the command line: `250ms`, `2s`, `10m`, `1h`.

use std::fmt;
use std::time::Duration;

/// Returns how many milliseconds a unit has.
pub fn unit_ms(unit: &str) -> Option<u32> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    }
}

/// `250ms` → `250`, `ms`.
pub fn number_and_unit(text: &str) -> (&str, &str) {
    text.split_at(text.trim_end_matches(|char: char| char.is_ascii_alphabetic()).len())
}

/// Reads a whole number with its unit.
pub fn read_whole(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text);
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms(unit)?.into())?;
    Some(Duration::from_millis(ms))
}

/// The duration in milliseconds, rounded down.
pub fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Written so that [`read_whole`] reads it: `2s`, `2500ms`.
pub struct Whole(pub Duration);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

/// Written so that it is short: `250ms`, `2s`, `1.5s`, `10m`.
pub struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            0 => f.write_str("0s"),
            ms if ms.is_multiple_of(60_000) => write!(f, "{}m", ms / 60_000),
            ms @ 1..1000 => write!(f, "{ms}ms"),
            _ => write!(f, "{}s", self.0.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, whole, short) in [
            ("250ms", "250ms", "250ms"),
            ("2s", "2s", "2s"),
            ("2500ms", "2500ms", "2.5s"),
            ("10m", "600s", "10m"),
            ("24h", "86400s", "1440m"),
            ("0s", "0s", "0s"),
        ] {
            let duration = read_whole(text).unwrap();
            assert_eq!(
                (Whole(duration).to_string(), Short(duration).to_string()),
                (whole.into(), short.into())
            );
            assert_eq!(read_whole(whole), Some(duration));
        }
        for text in [
            "",
            "s",
            "2",
            "-2s",
            "1.5s",
            "2 s",
            "2d",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert_eq!(read_whole(text), None, "{text}");
        }
    }
}
