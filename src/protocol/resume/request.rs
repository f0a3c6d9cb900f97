//! The request that asks for the rest of an answer: the same one, with what was said as its last, unfinished message.

use serde_json::{Map, Value, json};

use crate::protocol::StreamKind;
use crate::protocol::event::is_something;

/// Returns `body` with a request to continue `text`, of about `tokens` tokens. `model` is its name at the upstream that
/// is asked now, if that differs. `provider` may have its own way of marking such a message.
///
/// `None`: the answer is of a kind that cannot be continued.
pub fn continuing(
    kind: StreamKind,
    body: &[u8],
    text: &str,
    tokens: u64,
    model: Option<&str>,
    provider: Option<&str>,
) -> Option<Vec<u8>> {
    let mut request: Map<String, Value> = serde_json::from_slice(body).ok()?;
    if !is_one_text(&request) {
        return None;
    }
    if let Some(model) = model {
        request.insert("model".to_owned(), model.into());
    }
    // What was said counts against the limit, but something must be left to ask for.
    for key in ["max_tokens", "max_completion_tokens"] {
        if let Some(limit) = request.get(key).and_then(Value::as_u64) {
            request.insert(key.to_owned(), limit.saturating_sub(tokens).max(1).into());
        }
    }
    if !text.is_empty() {
        let messages = request.get_mut("messages")?.as_array_mut()?;
        put_last(messages, text)?;
        mark(&mut request, kind, provider);
    }
    serde_json::to_vec(&request).ok()
}

/// Returns whether the answer is a single text. Several choices, log-probabilities, sound, or a text that must match a
/// schema as a whole cannot be pieced together; reasoning cannot be told apart from its answer.
fn is_one_text(request: &Map<String, Value>) -> bool {
    let has = |key: &str| request.get(key).is_some_and(is_something);
    let is_audio = |modality: &Value| modality != "text";
    let modalities = request.get("modalities").and_then(Value::as_array);
    let kind_of = |key: &str| request.get(key).and_then(|value| value["type"].as_str());
    let format = request.get("output_config").and_then(|config| config.get("format"));
    !(request.get("n").and_then(Value::as_u64).is_some_and(|n| n > 1)
        || ["logprobs", "top_logprobs", "audio", "output_format"]
            .into_iter()
            .any(has)
        || modalities.is_some_and(|modalities| modalities.iter().any(is_audio))
        || kind_of("response_format").is_some_and(|kind| kind != "text")
        || kind_of("thinking").is_some_and(|kind| kind != "disabled")
        || format.is_some_and(is_something))
}

/// Adds `text` to the client's own unfinished message, if there is one, or as a message of its own.
fn put_last(messages: &mut Vec<Value>, text: &str) -> Option<()> {
    let Some(last) = messages.last_mut().filter(|last| last["role"] == "assistant") else {
        messages.push(json!({ "role": "assistant", "content": text }));
        return Some(());
    };
    if last.get("tool_calls").is_some_and(is_something) {
        return None;
    }
    match last.get_mut("content")? {
        Value::String(content) => content.push_str(text),
        Value::Array(parts) => match parts.last_mut().and_then(|part| part.get_mut("text")) {
            Some(Value::String(part)) => part.push_str(text),
            _ => return None,
        },
        _ => return None,
    }
    Some(())
}

/// Marks the last message as one to be continued, for providers that want to be told. Others know by its role.
///
/// <https://api-docs.deepseek.com/guides/chat_prefix_completion>,
/// <https://docs.mistral.ai/capabilities/completion/usage> (prefix),
/// <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html> (`continue_final_message`).
fn mark(request: &mut Map<String, Value>, kind: StreamKind, provider: Option<&str>) {
    match provider {
        Some("deepseek" | "mistral") if kind == StreamKind::Chat => {
            let last = request
                .get_mut("messages")
                .and_then(|messages| messages.as_array_mut()?.last_mut());
            if let Some(last) = last.and_then(Value::as_object_mut) {
                last.insert("prefix".to_owned(), true.into());
            }
        }
        Some("vllm" | "sglang") if kind == StreamKind::Chat => {
            request.insert("continue_final_message".to_owned(), true.into());
            request.insert("add_generation_prompt".to_owned(), false.into());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &Value, text: &str, provider: Option<&str>) -> Option<Value> {
        let body = continuing(
            StreamKind::Chat,
            request.to_string().as_bytes(),
            text,
            3,
            None,
            provider,
        )?;
        serde_json::from_slice(&body).ok()
    }

    #[test]
    fn what_was_said_is_the_last_message() {
        let hello = json!({ "role": "user", "content": "hello" });
        let said = json!({ "role": "assistant", "content": "I am" });
        let request = json!({ "model": "m", "messages": [hello], "stream": true, "max_tokens": 10, "x": 1.50 });
        assert_eq!(
            asked(&request, "I am", None),
            Some(json!({ "model": "m", "messages": [hello, said], "stream": true, "max_tokens": 7, "x": 1.5 }))
        );
        let own = json!({ "messages": [hello, { "role": "assistant", "content": "{" }] });
        assert_eq!(asked(&own, "a", None).unwrap()["messages"][1]["content"], "{a");
        let parts = json!({ "messages": [{ "role": "assistant", "content": [{ "type": "text", "text": "{" }] }] });
        assert_eq!(
            asked(&parts, "a", None).unwrap()["messages"][0]["content"][0]["text"],
            "{a"
        );
        let limit = json!({ "messages": [], "max_completion_tokens": 2 });
        assert_eq!(asked(&limit, "a", None).unwrap()["max_completion_tokens"], 1);
        assert_eq!(
            asked(&request, "", None).unwrap()["messages"],
            json!([hello]),
            "nothing was said"
        );
    }

    #[test]
    fn the_model_may_have_another_name() {
        let body = br#"{"model":"m","messages":[]}"#;
        let renamed = continuing(StreamKind::Messages, body, "a", 1, Some("other"), None).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&renamed).unwrap()["model"], "other");
    }

    #[test]
    fn providers_are_told_in_their_own_way() {
        let request = json!({ "messages": [] });
        assert_eq!(
            asked(&request, "a", Some("mistral")).unwrap()["messages"][0]["prefix"],
            true
        );
        assert_eq!(
            asked(&request, "a", Some("vllm")).unwrap()["continue_final_message"],
            true
        );
        assert!(
            asked(&request, "a", Some("openrouter")).unwrap()["messages"][0]
                .get("prefix")
                .is_none()
        );
    }

    #[test]
    fn what_is_not_one_text_is_not_continued() {
        for extra in [
            json!({ "n": 2 }),
            json!({ "logprobs": true }),
            json!({ "modalities": ["text", "audio"] }),
            json!({ "response_format": { "type": "json_schema" } }),
            json!({ "thinking": { "type": "enabled" } }),
            json!({ "output_config": { "format": { "type": "json_schema" } } }),
            json!({ "messages": [{ "role": "assistant", "content": "", "tool_calls": [1] }] }),
            json!({ "messages": "none" }),
        ] {
            let mut request = json!({ "messages": [] });
            request
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            assert_eq!(asked(&request, "a", None), None, "{extra}");
        }
        for extra in [
            json!({ "n": 1, "logprobs": false, "modalities": ["text"] }),
            json!({ "response_format": { "type": "text" }, "thinking": { "type": "disabled" } }),
        ] {
            let mut request = json!({ "messages": [] });
            request
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            assert!(asked(&request, "a", None).is_some(), "{extra}");
        }
    }
}
