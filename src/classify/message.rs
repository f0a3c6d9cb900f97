//! The message of a failed answer, for people; the rules read all of the answer.

use serde_json::Value;

/// The members in which providers put their message, best first.
const WORDS: [&str; 9] = [
    "message",
    "detail",
    "error_description",
    "error_msg",
    "msg",
    "Message",
    "description",
    "reason",
    "title",
];
/// The greatest nesting of errors within errors, and of gateways behind gateways.
const DEPTH_MAX: usize = 8;

/// The provider's message, as it is written. It may quote the request or a key: see `telemetry::quotation`.
pub fn message(payload: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(payload);
    let text = text.trim().trim_start_matches('\u{feff}');
    match serde_json::from_str::<Value>(text) {
        Ok(value) => in_value(&value, DEPTH_MAX),
        // A page of a CDN is no message.
        Err(_) => (!text.is_empty() && !text.starts_with(['<', '{', '['])).then(|| text.to_owned()),
    }
}

fn in_value(value: &Value, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(match serde_json::from_str::<Value>(text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => in_value(&inner, depth).unwrap_or_else(|| text.clone()),
            _ => text.clone(),
        }),
        Value::Array(items) => items.iter().find_map(|item| in_value(item, depth)),
        Value::Object(members) => {
            let containers = ["error", "errors", "response"];
            let within = containers.iter().find_map(|key| in_value(members.get(*key)?, depth));
            let words = || WORDS.iter().find_map(|key| in_value(members.get(*key)?, depth));
            let outer = within.or_else(words);
            // OpenRouter: "Provider returned error", and what the provider said beside it.
            let inner = members
                .get("metadata")
                .and_then(|metadata| in_value(metadata.get("raw")?, depth));
            match (outer, inner) {
                (Some(outer), Some(inner)) => Some(format!("{outer}: {inner}")),
                (outer, inner) => outer.or(inner),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_whatever_the_shape() {
        for (payload, expected) in [
            (r#"{"error":{"message":"no","code":"x"}}"#, Some("no")),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Some("Overloaded"),
            ),
            (r#"[{"error":{"message":"list","status":"X"}}]"#, Some("list")),
            (r#"{"error":"flat"}"#, Some("flat")),
            (r#"{"code":"xai words","error":"flat"}"#, Some("flat")),
            (
                r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#,
                Some("field required"),
            ),
            (r#"{"error":{"message":"","detail":"second"}}"#, Some("second")),
            (
                r#"{"error":{"message":"{\"error\":{\"message\":\"wrapped\"}}"}}"#,
                Some("wrapped"),
            ),
            (
                r#"{"error":{"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"slow down\"}}"}}}"#,
                Some("Provider returned error: slow down"),
            ),
            (
                r#"{"response":{"error":{"message":"in a stream"}}}"#,
                Some("in a stream"),
            ),
            ("upstream connect error", Some("upstream connect error")),
            ("<html><title>502</title></html>", None),
            (r#"{"error":{"code":500}}"#, None),
            (r#"{"cut":"#, None),
            ("", None),
            ("null", None),
        ] {
            assert_eq!(message(payload.as_bytes()).as_deref(), expected, "{payload}");
        }
        let deep = format!("{}\"x\"{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(message(deep.as_bytes()), None, "bounded");
    }
}
