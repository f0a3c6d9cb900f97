//! `messages` (Anthropic's API reference, "messages" and "streaming messages").

use serde_json::{Value, json};

use super::answer::{pieces, text, typed};
use super::asked::Asked;
use super::provider::{Identity, Stamp};
use super::tool_call;

pub(crate) fn whole(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Value {
    match tool_call::forced(&asked.body) {
        Some(call) => message(
            asked,
            stamp,
            &json!([tool_use(stamp, &call.name, &call.arguments)]),
            "tool_use",
            10,
        ),
        None => message(
            asked,
            stamp,
            &json!([{ "type": "text", "text": text(identity, asked) }]),
            "end_turn",
            10,
        ),
    }
}

pub(crate) fn events(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Vec<String> {
    let mut start = message(asked, stamp, &json!([]), "", 1);
    start["stop_reason"] = Value::Null;
    let (block, deltas, stop_reason) = match tool_call::forced(&asked.body) {
        Some(call) => {
            let arguments = call.arguments.to_string();
            let deltas: Vec<Value> = pieces(&arguments)
                .into_iter()
                .map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }))
                .collect();
            (tool_use(stamp, &call.name, &json!({})), deltas, "tool_use")
        }
        None => {
            let deltas = pieces(&text(identity, asked))
                .into_iter()
                .map(|piece| json!({ "type": "text_delta", "text": piece }))
                .collect();
            (json!({ "type": "text", "text": "" }), deltas, "end_turn")
        }
    };
    let mut events = vec![
        json!({ "type": "message_start", "message": start }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
    ];
    events.extend(
        deltas
            .iter()
            .map(|delta| json!({ "type": "content_block_delta", "index": 0, "delta": delta })),
    );
    events.push(json!({ "type": "content_block_stop", "index": 0 }));
    events.push(
        json!({ "type": "message_delta", "delta": { "stop_reason": stop_reason, "stop_sequence": null },
        "usage": { "output_tokens": 10 } }),
    );
    events.push(json!({ "type": "message_stop" }));
    events.iter().map(typed).collect()
}

fn message(asked: &Asked, stamp: &Stamp, content: &Value, stop_reason: &str, output_tokens: usize) -> Value {
    json!({
        "id": format!("msg_{}", stamp.id), "type": "message", "role": "assistant", "model": asked.model,
        "content": content, "stop_reason": stop_reason, "stop_sequence": null,
        "usage": { "input_tokens": asked.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": output_tokens, "service_tier": "standard" },
    })
}

fn tool_use(stamp: &Stamp, name: &str, input: &Value) -> Value {
    json!({ "type": "tool_use", "id": format!("toolu_{}", stamp.id), "name": name, "input": input })
}
