//! `responses` (OpenAI's API reference, "responses" and its "streaming events").

use serde_json::{Value, json};

use super::answer::{pieces, text, typed};
use super::asked::Asked;
use super::provider::{Identity, Stamp};
use super::tool_call;

pub(crate) fn whole(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Value {
    let output = match tool_call::forced(&asked.body) {
        Some(call) => function_call(stamp, &call.name, &call.arguments.to_string(), "completed"),
        None => message(stamp, &json!([output_text(&text(identity, asked))]), "completed"),
    };
    response(asked, stamp, "completed", &json!([output]))
}

pub(crate) fn events(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Vec<String> {
    let mut events = vec![
        json!({ "type": "response.created", "response": response(asked, stamp, "in_progress", &json!([])) }),
        json!({ "type": "response.in_progress", "response": response(asked, stamp, "in_progress", &json!([])) }),
    ];
    let item = match tool_call::forced(&asked.body) {
        Some(call) => call_events(&mut events, stamp, &call.name, &call.arguments.to_string()),
        None => text_events(&mut events, stamp, &text(identity, asked)),
    };
    events.push(json!({ "type": "response.output_item.done", "output_index": 0, "item": item }));
    events
        .push(json!({ "type": "response.completed", "response": response(asked, stamp, "completed", &json!([item])) }));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events.iter().map(typed).collect()
}

fn text_events(events: &mut Vec<Value>, stamp: &Stamp, text: &str) -> Value {
    let id = format!("msg_{}", stamp.id);
    events.push(json!({ "type": "response.output_item.added", "output_index": 0,
        "item": message(stamp, &json!([]), "in_progress") }));
    events.push(
        json!({ "type": "response.content_part.added", "item_id": id, "output_index": 0, "content_index": 0,
        "part": output_text("") }),
    );
    events.extend(pieces(text).into_iter().map(|piece| {
        json!({ "type": "response.output_text.delta", "item_id": id, "output_index": 0, "content_index": 0,
            "delta": piece, "logprobs": [] })
    }));
    events.push(
        json!({ "type": "response.output_text.done", "item_id": id, "output_index": 0, "content_index": 0,
        "text": text, "logprobs": [] }),
    );
    events.push(
        json!({ "type": "response.content_part.done", "item_id": id, "output_index": 0, "content_index": 0,
        "part": output_text(text) }),
    );
    message(stamp, &json!([output_text(text)]), "completed")
}

fn call_events(events: &mut Vec<Value>, stamp: &Stamp, name: &str, arguments: &str) -> Value {
    let id = format!("fc_{}", stamp.id);
    events.push(json!({ "type": "response.output_item.added", "output_index": 0,
        "item": function_call(stamp, name, "", "in_progress") }));
    events.extend(pieces(arguments).into_iter().map(|piece| {
        json!({ "type": "response.function_call_arguments.delta", "item_id": id, "output_index": 0, "delta": piece })
    }));
    events.push(
        json!({ "type": "response.function_call_arguments.done", "item_id": id, "output_index": 0,
        "name": name, "arguments": arguments }),
    );
    function_call(stamp, name, arguments, "completed")
}

fn response(asked: &Asked, stamp: &Stamp, status: &str, output: &Value) -> Value {
    let usage = match status {
        "completed" => json!({
            "input_tokens": asked.input_tokens, "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": 10, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": asked.input_tokens + 10 }),
        _ => Value::Null,
    };
    let or = |key: &str, default: Value| match &asked.body[key] {
        Value::Null => default,
        given => given.clone(),
    };
    json!({
        "id": format!("resp_{}", stamp.id), "object": "response", "created_at": stamp.now_s, "status": status,
        "background": false, "error": null, "incomplete_details": null, "instructions": or("instructions", Value::Null),
        "max_output_tokens": or("max_output_tokens", Value::Null), "model": asked.model, "output": output,
        "parallel_tool_calls": true, "previous_response_id": or("previous_response_id", Value::Null),
        "reasoning": { "effort": null, "summary": null }, "service_tier": "default", "store": or("store", json!(true)),
        "temperature": or("temperature", json!(1.0)), "text": { "format": { "type": "text" } },
        "tool_choice": or("tool_choice", json!("auto")), "tools": or("tools", json!([])),
        "top_p": or("top_p", json!(1.0)), "truncation": "disabled", "usage": usage, "user": null,
        "metadata": or("metadata", json!({})),
    })
}

fn message(stamp: &Stamp, content: &Value, status: &str) -> Value {
    json!({ "id": format!("msg_{}", stamp.id), "type": "message", "status": status, "role": "assistant",
        "content": content })
}

fn output_text(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

fn function_call(stamp: &Stamp, name: &str, arguments: &str, status: &str) -> Value {
    json!({ "id": format!("fc_{}", stamp.id), "type": "function_call", "status": status,
        "call_id": format!("call_{}", stamp.id), "name": name, "arguments": arguments })
}
