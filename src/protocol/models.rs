//! `GET /v1/models` and `/v1/models/ID`, in each protocol's shape.

use serde_json::{Value, json};

use super::Protocol;
use crate::notation::date;

/// Writes the body that lists `names`. `created` is in Unix seconds.
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
            "type": "model", "id": name, "display_name": name, "created_at": date::of_unix_seconds(created),
        }),
    }
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
}
