//! Text, for people: `2026-11-22T01:02:03.456Z INFO  message key=value …`

use std::fmt::Write;
use std::time::SystemTime;

use log::{Level, Record};

use super::escape::{self, Place};
use super::scalar::{Scalar, each_field};
use crate::notation::date::Timestamp;

/// A whole line, its end included.
pub(super) fn line(now: SystemTime, record: &Record<'_>) -> String {
    let mut out = String::with_capacity(512);
    // Writing to a string can't fail.
    let _ = write!(out, "{} {:<5} ", Timestamp(now), record.level());
    push_body(&mut out, record, Place::Line);
    out.push('\n');
    out
}

/// Writes `<6>message key=value …`: what journald and `dmesg` read as a priority (sd-daemon(3)). They add the time.
/// `body` is what [`push_body`] wrote; here it becomes one line.
pub(super) fn with_priority(level: Level, body: &str) -> String {
    let mut out = format!("<{}>", priority(level));
    escape::push(&mut out, body, Place::Line, usize::MAX);
    out.push('\n');
    out
}

/// Returns syslog's severity (RFC 5424 §6.2.1).
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Appends the message and the fields. A library's message names the library; ours needs no such prefix.
pub(super) fn push_body(out: &mut String, record: &Record<'_>, place: Place) {
    if !record.target().starts_with("switchback") {
        escape::push(out, record.target(), Place::Line, escape::VALUE_BYTES_MAX);
        out.push_str(": ");
    }
    match record.args().as_str() {
        Some(message) => escape::push(out, message, place, escape::MESSAGE_BYTES_MAX),
        None => escape::push(out, &record.args().to_string(), place, escape::MESSAGE_BYTES_MAX),
    }
    each_field(record.key_values(), &mut |key, value| push_field(out, key, value));
}

fn push_field(out: &mut String, key: &str, value: Scalar<'_>) {
    out.push(' ');
    escape::push(out, key, Place::Line, escape::VALUE_BYTES_MAX);
    out.push('=');
    match value {
        Scalar::Text(text) if !escape::plain(text) => {
            out.push('"');
            escape::push(out, text, Place::Quoted, escape::VALUE_BYTES_MAX);
            out.push('"');
        }
        plain => plain.push_to(out),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn written(module: &str, level: Level, message: &str, fields: &[(&str, &str)]) -> String {
        let now = UNIX_EPOCH + Duration::from_millis(1_795_309_323_456);
        line(
            now,
            &Record::builder()
                .target(module)
                .level(level)
                .args(format_args!("{message}"))
                .key_values(&fields)
                .build(),
        )
    }

    #[test]
    fn one_line_with_time_level_message_and_fields() {
        assert_eq!(
            written(
                "switchback::server",
                Level::Info,
                "listening",
                &[("address", "127.0.0.1:8080")]
            ),
            "2026-11-22T01:02:03.456Z INFO  listening address=127.0.0.1:8080\n"
        );
        assert_eq!(
            written("pingora_core", Level::Error, "gone", &[]),
            "2026-11-22T01:02:03.456Z ERROR pingora_core: gone\n"
        );
    }

    #[test]
    fn a_value_can_forge_neither_a_field_nor_a_line() {
        let line = written(
            "switchback",
            Level::Warn,
            "m\n2026",
            &[("model", "x status=200\n2026 \"INFO\"")],
        );
        assert_eq!(
            line,
            "2026-11-22T01:02:03.456Z WARN  m\\n2026 model=\"x status=200\\n2026 \\\"INFO\\\"\"\n"
        );
    }

    #[test]
    fn a_priority_stands_for_time_and_level() {
        assert_eq!(with_priority(Level::Warn, "low"), "<4>low\n");
        assert_eq!(with_priority(Level::Error, "a\n<7>b"), "<3>a\\n<7>b\n");
    }
}
