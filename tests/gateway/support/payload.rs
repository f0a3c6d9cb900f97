//! Configurations, request bodies and provider answers that many tests share.

use serde_json::json;

/// Upstreams `a`, `b`, `c`, … at these addresses (`http://HOST:PORT`), and a route `m` that tries them in order.
pub(crate) fn chain<S: AsRef<str>>(urls: &[S]) -> String {
    chain_with(urls, "")
}

/// The same, where every upstream also says `more` (YAML flow, such as `, key: none`).
pub(crate) fn chain_with<S: AsRef<str>>(urls: &[S], more: &str) -> String {
    let names: Vec<String> = ('a'..='z').take(urls.len()).map(String::from).collect();
    let mut yaml = "upstreams:\n".to_owned();
    for (name, url) in names.iter().zip(urls) {
        yaml.push_str(&format!("  {name}: {{ url: \"{}/v1\"{more} }}\n", url.as_ref()));
    }
    yaml.push_str(&format!("routes:\n  m: [{}]\n", names.join(", ")));
    yaml
}

/// The path of a chat completion.
pub(crate) const CHAT: &str = "/v1/chat/completions";
/// The path of an Anthropic message.
pub(crate) const MESSAGES: &str = "/v1/messages";

/// A chat completion's request.
pub(crate) fn chat(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}"#)
}

/// The same, streaming.
pub(crate) fn chat_stream(model: &str) -> String {
    format!(r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}"#)
}

/// A chat completion's answer.
pub(crate) fn completion(text: &str) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
    })
    .to_string()
}

fn chunk_event(delta: &serde_json::Value, finish: Option<&str>) -> String {
    let event = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    });
    format!("data: {event}\n\n")
}

/// A chat stream's first event: a role, and nothing said.
pub(crate) fn role() -> String {
    chunk_event(&json!({ "role": "assistant" }), None)
}

/// A chat stream's event with text.
pub(crate) fn delta(text: &str) -> String {
    chunk_event(&json!({ "content": text }), None)
}

/// A chat stream's event that says why it ends.
pub(crate) fn finish() -> String {
    chunk_event(&json!({}), Some("stop"))
}

/// A chat stream's last event.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// A whole chat stream, an event a part.
pub(crate) fn stream_of(text: &str) -> Vec<String> {
    vec![role(), delta(text), finish(), DONE.to_owned()]
}

/// A named event, as Anthropic's and the Responses API's are.
pub(crate) fn event(name: &str, mut data: serde_json::Value) -> String {
    data["type"] = name.into();
    format!("event: {name}\ndata: {data}\n\n")
}

/// An error in OpenAI's shape.
pub(crate) fn error(message: &str, kind: &str, code: Option<&str>) -> String {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }).to_string()
}

/// An error in Anthropic's shape.
pub(crate) fn anthropic_error(kind: &str, message: &str) -> String {
    json!({ "type": "error", "error": { "type": kind, "message": message } }).to_string()
}
