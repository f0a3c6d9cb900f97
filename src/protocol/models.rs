//! `GET /v1/models` and `/v1/models/ID`, in each protocol's shape.

use serde_json::{Value, json};

use super::Protocol;

/// The body that lists `names`. `created` is in unix seconds.
///
/// Sources: <https://platform.openai.com/docs/api-reference/models/list>,
/// <https://docs.anthropic.com/en/api/models-list>.
pub fn list<'a>(protocol: Protocol, names: impl IntoIterator<Item = &'a str>, created: u64) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let data: Vec<Value> = names.iter().map(|name| model(protocol, name, created)).collect();
    match protocol {
        Protocol::OpenAi => json!({ "object": "list", "data": data }),
        Protocol::Anthropic => json!({
            "data": data, "has_more": false, "first_id": names.first(), "last_id": names.last(),
        }),
    }
    .to_string()
}

/// The body that describes one model.
pub fn one(protocol: Protocol, name: &str, created: u64) -> String {
    model(protocol, name, created).to_string()
}

fn model(protocol: Protocol, name: &str, created: u64) -> Value {
    match protocol {
        Protocol::OpenAi => json!({ "id": name, "object": "model", "created": created, "owned_by": "switchback" }),
        Protocol::Anthropic => json!({
            "type": "model", "id": name, "display_name": name, "created_at": rfc3339(created),
        }),
    }
}

/// Unix seconds as RFC 3339 in UTC, by the proleptic Gregorian calendar. Years beyond 9999 are held at its end.
fn rfc3339(seconds: u64) -> String {
    const LAST: u64 = 253_402_300_799;
    let seconds = seconds.min(LAST);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Counted from 0000-03-01, so that a leap day ends its year: <https://howardhinnant.github.io/date_algorithms.html>.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_their_protocols_shape() {
        let openai: Value = serde_json::from_str(&list(Protocol::OpenAi, ["a", "b"], 5)).unwrap();
        assert_eq!(openai["object"], "list");
        assert_eq!(
            openai["data"][1],
            json!({"id": "b", "object": "model", "created": 5, "owned_by": "switchback"})
        );
        let anthropic: Value = serde_json::from_str(&list(Protocol::Anthropic, ["a", "b"], 5)).unwrap();
        assert_eq!(
            (&anthropic["first_id"], &anthropic["last_id"]),
            (&json!("a"), &json!("b"))
        );
        assert_eq!(anthropic["has_more"], false);
        assert_eq!(anthropic["data"][0]["created_at"], "1970-01-01T00:00:05Z");
        let empty: Value = serde_json::from_str(&list(Protocol::Anthropic, [], 5)).unwrap();
        assert_eq!(empty["first_id"], Value::Null);
    }

    #[test]
    fn times_are_written_by_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
