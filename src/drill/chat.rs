//! `chat/completions` and the older `completions` (OpenAI's API reference, "chat" and "completions").

use serde_json::{Value, json};

use super::answer::{Ask, data, pieces, text};
use super::provider::{Identity, Stamp};
use super::tool_call;

const DONE: &str = "data: [DONE]\n\n";

pub(crate) fn whole(identity: &Identity, ask: &Ask, stamp: &Stamp) -> Value {
    let (message, finish_reason) = match tool_call::forced(&ask.body) {
        Some(call) => {
            let call = json!({ "id": format!("call_{}", stamp.id), "type": "function",
                "function": { "name": call.name, "arguments": call.arguments.to_string() } });
            (
                json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": [call] }),
                "tool_calls",
            )
        }
        None => (
            json!({ "role": "assistant", "content": text(identity, ask), "refusal": null, "annotations": [] }),
            "stop",
        ),
    };
    json!({
        "id": format!("chatcmpl-{}", stamp.id),
        "object": "chat.completion",
        "created": stamp.now_s,
        "model": ask.model,
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason }],
        "usage": usage(ask),
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
    })
}

pub(crate) fn events(identity: &Identity, ask: &Ask, stamp: &Stamp) -> Vec<String> {
    let mut deltas = Vec::new();
    let finish_reason = match tool_call::forced(&ask.body) {
        Some(call) => {
            deltas.push(json!({ "role": "assistant", "content": null }));
            deltas.push(
                json!({ "tool_calls": [{ "index": 0, "id": format!("call_{}", stamp.id), "type": "function",
                "function": { "name": call.name, "arguments": "" } }] }),
            );
            deltas.extend(
                pieces(&call.arguments.to_string())
                    .into_iter()
                    .map(|piece| json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] })),
            );
            "tool_calls"
        }
        None => {
            deltas.push(json!({ "role": "assistant", "content": "", "refusal": null }));
            deltas.extend(
                pieces(&text(identity, ask))
                    .into_iter()
                    .map(|piece| json!({ "content": piece })),
            );
            "stop"
        }
    };
    let mut chunks: Vec<Value> = deltas
        .iter()
        .map(|delta| chunk(ask, stamp, &json!([choice(delta, &Value::Null)])))
        .collect();
    chunks.push(chunk(ask, stamp, &json!([choice(&json!({}), &json!(finish_reason))])));
    with_usage(ask, chunks, chunk(ask, stamp, &json!([])))
}

fn choice(delta: &Value, finish_reason: &Value) -> Value {
    json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason })
}

/// One chunk of a stream with these choices.
pub(crate) fn chunk(ask: &Ask, stamp: &Stamp, choices: &Value) -> Value {
    json!({
        "id": format!("chatcmpl-{}", stamp.id),
        "object": "chat.completion.chunk",
        "created": stamp.now_s,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
        "choices": choices,
    })
}

/// `stream_options.include_usage`: `usage` is null in every chunk, and one more chunk, without choices, brings it.
fn with_usage(ask: &Ask, mut chunks: Vec<Value>, mut last: Value) -> Vec<String> {
    if ask.body["stream_options"]["include_usage"] == Value::Bool(true) {
        for chunk in &mut chunks {
            chunk["usage"] = Value::Null;
        }
        last["usage"] = usage(ask);
        chunks.push(last);
    }
    chunks.iter().map(data).chain([DONE.to_owned()]).collect()
}

pub(crate) fn legacy(identity: &Identity, ask: &Ask, stamp: &Stamp) -> Value {
    let mut body = legacy_chunk(ask, stamp, &text(identity, ask), &json!("stop"));
    body["usage"] = usage(ask);
    body
}

pub(crate) fn legacy_events(identity: &Identity, ask: &Ask, stamp: &Stamp) -> Vec<String> {
    let mut chunks: Vec<Value> = pieces(&text(identity, ask))
        .iter()
        .map(|piece| legacy_chunk(ask, stamp, piece, &Value::Null))
        .collect();
    chunks.push(legacy_chunk(ask, stamp, "", &json!("stop")));
    let mut last = legacy_chunk(ask, stamp, "", &Value::Null);
    last["choices"] = json!([]);
    with_usage(ask, chunks, last)
}

fn legacy_chunk(ask: &Ask, stamp: &Stamp, text: &str, finish_reason: &Value) -> Value {
    json!({
        "id": format!("cmpl-{}", stamp.id),
        "object": "text_completion",
        "created": stamp.now_s,
        "model": ask.model,
        "choices": [{ "index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason }],
    })
}

fn usage(ask: &Ask) -> Value {
    json!({
        "prompt_tokens": ask.input_tokens,
        "completion_tokens": 10,
        "total_tokens": ask.input_tokens + 10,
        "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0 },
    })
}
