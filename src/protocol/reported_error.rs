//! An error that an upstream reports in the middle of its stream, without the answer around it.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use serde_json::{Map, Value, json};

use super::event::{is_failed_reason, is_something};

/// Longer texts are not codes.
const CODE_BYTES_MAX: usize = 64;

/// Extracts, for classification, the error from the data of an event that reports one: `{"error": …}`, or `data` itself
/// if it is an error and nothing else. The same event may contain what the model has said or was asked, which says
/// nothing about the upstream.
pub fn error_in(data: &[u8]) -> Bytes {
    let data = data.trim_ascii();
    let found = match serde_json::from_slice::<Value>(data) {
        Ok(Value::Array(items)) => items.into_iter().next().and_then(of_value),
        Ok(value) => of_value(value),
        Err(_) if data.starts_with(b"{") || data.starts_with(b"[") => of_cut(data),
        // Words alone.
        Err(_) => return Bytes::copy_from_slice(data),
    };
    found.map_or_else(Bytes::new, |error| Bytes::from(error.to_string()))
}

fn of_value(value: Value) -> Option<Value> {
    let Value::Object(mut object) = value else {
        return Some(value);
    };
    let take = |members: &mut Map<String, Value>| members.remove("error").filter(is_something);
    let nested = take(&mut object).or_else(|| take(object.get_mut("response")?.as_object_mut()?));
    if let Some(error) = nested {
        return Some(json!({ "error": error }));
    }
    let choices = object.get_mut("choices").and_then(Value::as_array_mut);
    let Some(choices) = choices.filter(|choices| !choices.is_empty()) else {
        return (!object.contains_key("response")).then_some(Value::Object(object));
    };
    let mut choices = choices.iter_mut().filter_map(Value::as_object_mut);
    choices.find_map(|choice| {
        let reason = choice.get("finish_reason").and_then(Value::as_str);
        let code = reason
            .filter(|reason| is_failed_reason(reason))
            .map(|reason| json!({ "code": reason }));
        let error = choice.remove("error").filter(is_something).or(code);
        error.map(|error| json!({ "error": error }))
    })
}

/// The error of an event of which only the beginning was kept.
fn of_cut(data: &[u8]) -> Option<Value> {
    static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"error\":"));
    let value = &data[KEY.find(data)? + KEY.needle().len()..];
    let value = serde_json::Deserializer::from_slice(value)
        .into_iter::<Value>()
        .next()?
        .ok()?;
    is_something(&value).then(|| json!({ "error": value }))
}

/// The provider's code of an error that [`error_in`] gave: a name, never a sentence.
pub fn code(error: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(error).ok()?;
    let error = value.get("error").filter(|error| error.is_object()).unwrap_or(&value);
    ["code", "type", "status"].iter().find_map(|key| {
        let code = match error.get(*key)? {
            Value::String(code) => code.clone(),
            Value::Number(code) => code.to_string(),
            _ => return None,
        };
        let is_name = code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        (is_name && (1..=CODE_BYTES_MAX).contains(&code.len()) && code != "error").then_some(code)
    })
}

/// Returns whether an error has a code of its own, beyond its type and its status.
pub fn has_code(error: &[u8]) -> bool {
    let value: Option<Value> = serde_json::from_slice(error).ok();
    let code = value
        .as_ref()
        .and_then(|value| value.pointer("/error/code").or(value.get("code")));
    code.is_some_and(|code| code.as_str().is_some_and(|code| !code.is_empty() && code != "404"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_told_from_the_answer_around_it() {
        let long = format!(
            r#"{{"type":"response.failed","response":{{"error":{{"code":"server_error"}},"instructions":"{}"#,
            "rate limit ".repeat(10)
        );
        for (data, error, expected_code) in [
            (
                r#"{"id":"x","choices":[{"delta":{"content":"rate limit"},"finish_reason":"error"}],"error":{"code":502}}"#,
                r#"{"error":{"code":502}}"#,
                Some("502"),
            ),
            (
                r#"{"choices":[{"index":0},{"delta":{"content":"quota"},"error":{"code":"overloaded"}}]}"#,
                r#"{"error":{"code":"overloaded"}}"#,
                Some("overloaded"),
            ),
            (
                r#"{"choices":[{"delta":{"content":"quota"},"finish_reason":"insufficient_system_resource"}]}"#,
                r#"{"error":{"code":"insufficient_system_resource"}}"#,
                Some("insufficient_system_resource"),
            ),
            (
                r#"{"choices":[{"delta":{"content":"quota"},"finish_reason":"error"}]}"#,
                r#"{"error":{"code":"error"}}"#,
                None,
            ),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"server_error"},"instructions":"quota"}}"#,
                r#"{"error":{"code":"server_error"}}"#,
                Some("server_error"),
            ),
            (
                r#"{"type":"response.failed","response":{"error":null,"instructions":"quota"}}"#,
                "",
                None,
            ),
            (&long, r#"{"error":{"code":"server_error"}}"#, Some("server_error")),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                r#"{"error":{"message":"Overloaded","type":"overloaded_error"}}"#,
                Some("overloaded_error"),
            ),
            (
                r#"{"type":"error","code":"rate_limit_exceeded","message":"slow"}"#,
                r#"{"code":"rate_limit_exceeded","message":"slow","type":"error"}"#,
                Some("rate_limit_exceeded"),
            ),
            (r#"{"error":"boom and more"}"#, r#"{"error":"boom and more"}"#, None),
            (r#"[{"error":{"code":503}}]"#, r#"{"error":{"code":503}}"#, Some("503")),
            (
                r#"{"error":{"code":"a sentence of words","type":"x_error"}}"#,
                r#"{"error":{"code":"a sentence of words","type":"x_error"}}"#,
                Some("x_error"),
            ),
            ("plain words", "plain words", None),
            ("", "", None),
        ] {
            let found = error_in(data.as_bytes());
            let same = match serde_json::from_str::<Value>(error) {
                Ok(expected) => serde_json::from_slice::<Value>(&found).unwrap() == expected,
                Err(_) => found == error,
            };
            assert!(same, "{data}: {found:?}");
            assert_eq!(code(&found).as_deref(), expected_code, "{data}");
        }
    }
}
