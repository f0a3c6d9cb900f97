//! What one event of a stream means for the question: has the answer begun, has it failed?

use serde_json::{Map, Value};

use super::StreamKind;
use super::sse::Event;

/// What an event says before anything was given to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A ping, a frame around content that is still to come, a role, a usage report: the answer may yet fail.
    Nothing,
    /// Something that the client waits for, or an orderly end of the answer.
    Content,
    /// The upstream reports an error.
    Failure,
    /// `[DONE]`, `message_stop`: no more events follow.
    End,
}

/// Judges one event. Data that is not JSON means nothing where JSON is expected: if nothing better follows,
/// the stream has failed.
pub fn meaning(kind: StreamKind, event: &Event<'_>) -> Meaning {
    if event.name == b"error" {
        return Meaning::Failure;
    }
    let data = event.data.trim_ascii();
    if data.is_empty() {
        return Meaning::Nothing;
    }
    if data == b"[DONE]" {
        return Meaning::End;
    }
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return if kind == StreamKind::Other {
            Meaning::Content
        } else {
            Meaning::Nothing
        };
    };
    if is_failure(&value) {
        return Meaning::Failure;
    }
    let Value::Object(object) = &value else {
        return if kind == StreamKind::Other {
            Meaning::Content
        } else {
            Meaning::Nothing
        };
    };
    match kind {
        StreamKind::Other => Meaning::Content,
        _ if is_flat_failure(object) => Meaning::Failure,
        StreamKind::Chat | StreamKind::Completions => of_chunk(object),
        StreamKind::Responses => of_response_event(event_type(object, event), object),
        StreamKind::Messages => of_message_event(event_type(object, event), object),
    }
}

/// Whether this is an error in any shape that streams use: `{"error": …}`, `{"type": "error", …}`,
/// `{"object": "error", …}` (vLLM), `response.failed`, or an array around one (Gemini's compatibility layer).
pub fn is_failure(value: &Value) -> bool {
    let object = match value {
        Value::Object(object) => object,
        Value::Array(items) => match items.first() {
            Some(Value::Object(object)) => object,
            _ => return false,
        },
        _ => return false,
    };
    if object.get("error").is_some_and(is_something) {
        return true;
    }
    let is = |key: &str, text: &str| object.get(key).and_then(Value::as_str) == Some(text);
    is("type", "error") || is("object", "error") || is("type", "response.failed")
}

/// A message and none of what an event must have: DashScope, SiliconFlow and Mistral report errors so.
fn is_flat_failure(object: &Map<String, Value>) -> bool {
    let has_text = |key: &&str| {
        object
            .get(*key)
            .is_some_and(|value| value.is_string() && is_something(value))
    };
    ["message", "detail", "msg", "error_message"].iter().any(has_text)
        && !["type", "choices", "delta", "content", "object"]
            .iter()
            .any(|key| object.contains_key(*key))
}

/// `chat.completion.chunk` and `text_completion`. A role, an empty delta, a usage report or Azure's
/// `prompt_filter_results` is not content; a `finish_reason` is, for an empty answer is an answer too.
pub(super) fn of_chunk(object: &Map<String, Value>) -> Meaning {
    let Some(choices) = object.get("choices").and_then(Value::as_array) else {
        let content = ["delta", "content", "text", "response", "output"];
        let has = content.iter().any(|key| object.get(*key).is_some_and(is_something));
        return if has { Meaning::Content } else { Meaning::Nothing };
    };
    // A model that has spent tokens has answered, if with nothing.
    let spent = object.get("usage").and_then(|usage| usage.get("completion_tokens"));
    let mut meaning = match spent.is_some_and(is_something) && choices.is_empty() {
        true => Meaning::Content,
        false => Meaning::Nothing,
    };
    if choices.iter().any(is_failed_choice) {
        return Meaning::Failure;
    }
    for choice in choices.iter().filter_map(Value::as_object) {
        let reason = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
        let text = choice.get("text").is_some_and(is_something);
        let parts = ["delta", "message"]
            .iter()
            .filter_map(|key| choice.get(*key)?.as_object());
        if !reason.is_empty() || text || parts.into_iter().any(has_content) {
            meaning = Meaning::Content;
        }
    }
    meaning
}

fn is_failed_choice(choice: &Value) -> bool {
    let reason = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
    is_failed_reason(reason) || choice.get("error").is_some_and(is_something)
}

/// Whether a choice that ends with this `finish_reason` was given up by its upstream: so OpenRouter and Mistral,
/// DeepSeek (<https://api-docs.deepseek.com/api/create-chat-completion>) and Zhipu
/// (<https://docs.bigmodel.cn/cn/api/introduction>) tell it.
pub(super) fn is_failed_reason(reason: &str) -> bool {
    matches!(reason, "error" | "insufficient_system_resource" | "network_error")
}

/// Whether an event in the middle of a chat or message stream reports an error, as one before anything meaningful does.
pub(super) fn reports_error(value: &Value) -> bool {
    let choices = value.get("choices").and_then(Value::as_array);
    is_failure(value)
        || choices.is_some_and(|choices| choices.iter().any(is_failed_choice))
        || value.as_object().is_some_and(is_flat_failure)
}

/// Members that come with every delta.
pub(super) const FRAME: [&str; 5] = ["role", "id", "name", "obfuscation", "provider_specific_fields"];

/// Any member that holds something (content, reasoning, tool calls, a refusal, audio, and what is yet to be
/// invented), but for those that come with every delta.
fn has_content(delta: &Map<String, Value>) -> bool {
    let holds = |value: &Value| !matches!(value, Value::Bool(_) | Value::Number(_)) && is_something(value);
    delta
        .iter()
        .any(|(key, value)| !FRAME.contains(&key.as_str()) && holds(value))
}

/// <https://platform.openai.com/docs/api-reference/responses-streaming>. An item or a part that has only been opened
/// isn't content: a reasoning model may think for minutes after it, which is `first_token`'s to bound.
fn of_response_event(kind: &str, object: &Map<String, Value>) -> Meaning {
    match kind {
        "" | "ping" | "keepalive" | "response.created" | "response.queued" | "response.in_progress" => Meaning::Nothing,
        "response.output_item.added" => {
            let item = object.get("item").and_then(Value::as_object);
            let opened = item.is_some_and(|item| {
                matches!(item.get("type").and_then(Value::as_str), Some("message" | "reasoning"))
                    && !["content", "summary", "encrypted_content"]
                        .iter()
                        .any(|key| item.get(*key).is_some_and(is_something))
            });
            if opened { Meaning::Nothing } else { Meaning::Content }
        }
        "response.content_part.added" | "response.reasoning_summary_part.added" => {
            let part = object.get("part").and_then(Value::as_object);
            let filled = part.is_some_and(|part| {
                ["text", "refusal"]
                    .iter()
                    .any(|key| part.get(*key).is_some_and(is_something))
            });
            if filled { Meaning::Content } else { Meaning::Nothing }
        }
        kind if kind.ends_with(".delta") && object.get("delta").is_some_and(|delta| !is_something(delta)) => {
            Meaning::Nothing
        }
        _ => Meaning::Content,
    }
}

/// <https://docs.anthropic.com/en/api/messages-streaming>.
fn of_message_event(kind: &str, object: &Map<String, Value>) -> Meaning {
    let member = |outer: &str| object.get(outer).and_then(Value::as_object);
    let content = match kind {
        "" | "ping" | "content_block_stop" => false,
        "message_start" => member("message")
            .and_then(|message| message.get("content"))
            .is_some_and(is_something),
        "content_block_start" => {
            member("content_block").is_some_and(|block| match block.get("type").and_then(Value::as_str) {
                Some(text @ ("text" | "thinking")) => block.get(text).is_some_and(is_something),
                _ => true,
            })
        }
        // Tool input begins with an empty piece, but its block's start has named the tool before.
        "content_block_delta" => {
            member("delta").is_some_and(|delta| delta.iter().any(|(key, value)| key != "type" && is_something(value)))
        }
        "message_delta" => member("delta")
            .and_then(|delta| delta.get("stop_reason"))
            .is_some_and(is_something),
        "message_stop" => return Meaning::End,
        _ => true,
    };
    if content { Meaning::Content } else { Meaning::Nothing }
}

fn event_type<'a>(object: &'a Map<String, Value>, event: &Event<'a>) -> &'a str {
    match object.get("type").and_then(Value::as_str) {
        Some(kind) => kind,
        None => std::str::from_utf8(event.name).unwrap_or_default(),
    }
}

/// What the SDKs take as true: not `null`, `false`, zero or empty.
pub(super) fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: StreamKind, data: &str) -> Meaning {
        meaning(
            kind,
            &Event {
                name: b"",
                data: data.as_bytes(),
            },
        )
    }

    #[test]
    fn chat_chunks() {
        for (data, expected) in [
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
                Meaning::Nothing,
            ),
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":null,"refusal":null}}]}"#,
                Meaning::Nothing,
            ),
            (
                r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
                Meaning::Nothing,
            ),
            (r#"{"choices":[],"usage":{"prompt_tokens":3}}"#, Meaning::Nothing),
            (
                r#"{"choices":[{"delta":{"content":"H"}}],"error":null}"#,
                Meaning::Content,
            ),
            (
                r#"{"choices":[{"delta":{"content":""}},{"delta":{"content":"x"}}]}"#,
                Meaning::Content,
            ),
            (
                r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
                Meaning::Content,
            ),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
                Meaning::Content,
            ),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Meaning::Content),
            (
                r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#,
                Meaning::Failure,
            ),
            (r#"{"id":"x","choices":[],"error":{"message":"no"}}"#, Meaning::Failure),
            (r#"{"error":"no"}"#, Meaning::Failure),
            (r#"[{"error":{"code":503}}]"#, Meaning::Failure),
            (r#"{"object":"error","message":"no"}"#, Meaning::Failure),
            (r#"{"code":"Throttling","message":"slow down"}"#, Meaning::Failure),
            ("[DONE]", Meaning::End),
            ("not json", Meaning::Nothing),
        ] {
            assert_eq!(of(StreamKind::Chat, data), expected, "{data}");
        }
        assert_eq!(
            of(StreamKind::Completions, r#"{"choices":[{"text":"a"}]}"#),
            Meaning::Content
        );
        assert_eq!(
            of(StreamKind::Completions, r#"{"choices":[{"text":""}]}"#),
            Meaning::Nothing
        );
        assert_eq!(of(StreamKind::Other, "anything"), Meaning::Content);
    }

    #[test]
    fn responses_events() {
        for (data, expected) in [
            (
                r#"{"type":"response.created","response":{"error":null}}"#,
                Meaning::Nothing,
            ),
            (r#"{"type":"response.in_progress","response":{}}"#, Meaning::Nothing),
            (
                r#"{"type":"response.output_item.added","item":{"type":"reasoning","summary":[]}}"#,
                Meaning::Nothing,
            ),
            (
                r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f"}}"#,
                Meaning::Content,
            ),
            (
                r#"{"type":"response.content_part.added","part":{"type":"output_text","text":""}}"#,
                Meaning::Nothing,
            ),
            (r#"{"type":"response.output_text.delta","delta":"a"}"#, Meaning::Content),
            (r#"{"type":"response.output_text.delta","delta":""}"#, Meaning::Nothing),
            (r#"{"type":"response.incomplete","response":{}}"#, Meaning::Content),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"insufficient_quota"}}}"#,
                Meaning::Failure,
            ),
            (r#"{"type":"error","code":"x","message":"no"}"#, Meaning::Failure),
        ] {
            assert_eq!(of(StreamKind::Responses, data), expected, "{data}");
        }
    }

    #[test]
    fn message_events() {
        for (data, expected) in [
            (r#"{"type":"message_start","message":{"content":[]}}"#, Meaning::Nothing),
            (r#"{"type":"ping"}"#, Meaning::Nothing),
            (
                r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
                Meaning::Nothing,
            ),
            (
                r#"{"type":"content_block_start","content_block":{"type":"tool_use","name":"f"}}"#,
                Meaning::Content,
            ),
            (
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
                Meaning::Content,
            ),
            (
                r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":""}}"#,
                Meaning::Nothing,
            ),
            (
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
                Meaning::Content,
            ),
            (r#"{"type":"message_stop"}"#, Meaning::End),
            (
                r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
                Meaning::Failure,
            ),
        ] {
            assert_eq!(of(StreamKind::Messages, data), expected, "{data}");
        }
        let named = Event {
            name: b"error",
            data: b"plain text",
        };
        assert_eq!(meaning(StreamKind::Messages, &named), Meaning::Failure);
    }
}
