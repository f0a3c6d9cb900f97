//! `chat/completions` and the older `completions` (OpenAI's API reference, "chat" and "completions").

use serde_json::{Value, json};

use super::answer::{data, pieces, text};
use super::asked::Asked;
use super::provider::{Identity, Stamp};
use super::tool_call;

const DONE: &str = "data: [DONE]\n\n";

pub(crate) fn whole(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Value {
    let (message, finish_reason) = match tool_call::forced(&asked.body) {
        Some(call) => {
            let call = json!({ "id": format!("call_{}", stamp.id), "type": "function",
                "function": { "name": call.name, "arguments": call.arguments.to_string() } });
            (
                json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": [call] }),
                "tool_calls",
            )
        }
        None => (
            json!({ "role": "assistant", "content": text(identity, asked), "refusal": null, "annotations": [] }),
            "stop",
        ),
    };
    json!({
        "id": format!("chatcmpl-{}", stamp.id),
        "object": "chat.completion",
        "created": stamp.now_s,
        "model": asked.model,
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason }],
        "usage": usage(asked),
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
    })
}

pub(crate) fn events(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Vec<String> {
    let mut deltas = Vec::new();
    let finish_reason = match tool_call::forced(&asked.body) {
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
                pieces(&text(identity, asked))
                    .into_iter()
                    .map(|piece| json!({ "content": piece })),
            );
            "stop"
        }
    };
    let mut chunks: Vec<Value> = deltas
        .iter()
        .map(|delta| chunk(asked, stamp, &json!([choice(delta, &Value::Null)])))
        .collect();
    chunks.push(chunk(asked, stamp, &json!([choice(&json!({}), &json!(finish_reason))])));
    with_usage(asked, chunks, chunk(asked, stamp, &json!([])))
}

fn choice(delta: &Value, finish_reason: &Value) -> Value {
    json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason })
}

/// One chunk of a stream with these choices.
pub(crate) fn chunk(asked: &Asked, stamp: &Stamp, choices: &Value) -> Value {
    json!({
        "id": format!("chatcmpl-{}", stamp.id),
        "object": "chat.completion.chunk",
        "created": stamp.now_s,
        "model": asked.model,
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
        "choices": choices,
    })
}

/// Applies `stream_options.include_usage`: `usage` is null in every chunk, and one more chunk, without choices, carries
/// it.
fn with_usage(asked: &Asked, mut chunks: Vec<Value>, mut last: Value) -> Vec<String> {
    if asked.body["stream_options"]["include_usage"] == Value::Bool(true) {
        for chunk in &mut chunks {
            chunk["usage"] = Value::Null;
        }
        last["usage"] = usage(asked);
        chunks.push(last);
    }
    chunks.iter().map(data).chain([DONE.to_owned()]).collect()
}

pub(crate) fn legacy(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Value {
    let mut body = legacy_chunk(asked, stamp, &text(identity, asked), &json!("stop"));
    body["usage"] = usage(asked);
    body
}

pub(crate) fn legacy_events(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Vec<String> {
    let mut chunks: Vec<Value> = pieces(&text(identity, asked))
        .iter()
        .map(|piece| legacy_chunk(asked, stamp, piece, &Value::Null))
        .collect();
    chunks.push(legacy_chunk(asked, stamp, "", &json!("stop")));
    let mut last = legacy_chunk(asked, stamp, "", &Value::Null);
    last["choices"] = json!([]);
    with_usage(asked, chunks, last)
}

fn legacy_chunk(asked: &Asked, stamp: &Stamp, text: &str, finish_reason: &Value) -> Value {
    json!({
        "id": format!("cmpl-{}", stamp.id),
        "object": "text_completion",
        "created": stamp.now_s,
        "model": asked.model,
        "choices": [{ "index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason }],
    })
}

fn usage(asked: &Asked) -> Value {
    json!({
        "prompt_tokens": asked.input_tokens,
        "completion_tokens": 10,
        "total_tokens": asked.input_tokens + 10,
        "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0 },
    })
}
