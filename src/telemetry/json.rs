//! JSON, for machines: one object per line.

use std::time::SystemTime;

use log::{Level, Record};

use super::escape::{self, Place};
use super::scalar::{Scalar, each_field};
use crate::notation::date::Timestamp;

/// Writes `{"ts":…,"level":…,"module":…,"msg":…, fields…}` and the line's end. A record's `target` in the `log` crate's
/// sense is called `module`, because a target here is an upstream and a model.
pub(super) fn line(now: SystemTime, record: &Record<'_>) -> String {
    let mut out = String::with_capacity(512);
    out.push_str("{\"ts\":\"");
    Timestamp(now).push_to(&mut out);
    out.push_str("\",\"level\":\"");
    out.push_str(name(record.level()));
    out.push_str("\",\"module\":");
    push_string(&mut out, record.target(), escape::VALUE_BYTES_MAX);
    out.push_str(",\"msg\":");
    match record.args().as_str() {
        Some(message) => push_string(&mut out, message, escape::MESSAGE_BYTES_MAX),
        None => push_string(&mut out, &record.args().to_string(), escape::MESSAGE_BYTES_MAX),
    }
    each_field(record.key_values(), &mut |key, value| {
        out.push(',');
        push_string(&mut out, key, escape::VALUE_BYTES_MAX);
        out.push(':');
        match value {
            Scalar::Text(text) => push_string(&mut out, text, escape::VALUE_BYTES_MAX),
            bare => bare.push_to(&mut out),
        }
    });
    out.push_str("}\n");
    out
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

fn push_string(out: &mut String, text: &str, bytes_max: usize) {
    out.push('"');
    escape::push(out, text, Place::Quoted, bytes_max);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use log::kv::Value;

    use super::*;

    #[test]
    fn numbers_are_numbers_and_text_is_escaped() {
        let fields = [
            ("ms", Value::from(12_u64)),
            ("delta", Value::from(-3_i64)),
            ("ratio", Value::from(0.5_f64)),
            ("none", Value::from(f64::NAN)),
            ("stream", Value::from(true)),
            ("absent", Value::null()),
            ("model", Value::from("a\"\n\u{1b}")),
        ];
        let record = Record::builder()
            .target("switchback::access")
            .level(Level::Info)
            .args(format_args!("access"))
            .key_values(&fields)
            .build();
        let line = line(UNIX_EPOCH, &record);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&line).unwrap(),
            serde_json::json!({
                "ts": "1970-01-01T00:00:00.000Z", "level": "info", "module": "switchback::access", "msg": "access",
                "ms": 12, "delta": -3, "ratio": 0.5, "none": "NaN", "stream": true, "model": "a\"\n\u{1b}",
            })
        );
    }
}
