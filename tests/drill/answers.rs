//! What healthy stand-ins say.

use serde_json::{Value, json};

use crate::client::{get, post, send};
use crate::{OPENAI, at, chat, message, start};

#[test]
fn openai_endpoints_answer_whole() {
    let stand_ins = start(&[]);
    let openai = at(&stand_ins, "openai");

    let reply = post(openai, "/v1/chat/completions", &chat("gpt-4o", false));
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("application/json"))
    );
    assert!(reply.header("x-request-id").is_some_and(|id| id.starts_with("req_")));
    assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("500"));
    let body = reply.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "gpt-4o");
    assert_eq!(body["choices"][0]["message"]["content"], OPENAI);
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert!(body["usage"]["total_tokens"].as_u64() > body["usage"]["completion_tokens"].as_u64());

    let body = post(
        openai,
        "/v1/completions",
        &json!({ "model": "gpt-4o", "prompt": "Hello" }),
    )
    .json();
    assert_eq!(
        (&body["object"], &body["choices"][0]["text"]),
        (&json!("text_completion"), &json!(OPENAI))
    );

    let body = post(openai, "/v1/responses", &json!({ "model": "gpt-4o", "input": "Hello" })).json();
    assert_eq!(
        (&body["object"], &body["status"]),
        (&json!("response"), &json!("completed"))
    );
    assert_eq!(body["output"][0]["content"][0]["text"], OPENAI);

    let ask = json!({ "model": "e", "input": ["a", "b"], "dimensions": 4 });
    let body = post(openai, "/v1/embeddings", &ask).json();
    assert_eq!(body["data"].as_array().unwrap().len(), 2);
    assert_eq!(body["data"][1]["embedding"].as_array().unwrap().len(), 4);
    let ask = json!({ "model": "e", "input": "a", "dimensions": 3, "encoding_format": "base64" });
    assert_eq!(
        post(openai, "/v1/embeddings", &ask).json()["data"][0]["embedding"]
            .as_str()
            .unwrap()
            .len(),
        16
    );

    assert_eq!(get(openai, "/v1/models").json()["data"][0]["object"], "model");
    assert_eq!(get(openai, "/v1/models/openai/gpt-4o").json()["id"], "openai/gpt-4o");
}

#[test]
fn openai_streams_have_the_events_of_the_real_ones() {
    let stand_ins = start(&[]);
    let openai = at(&stand_ins, "openai");

    let mut ask = chat("gpt-4o", true);
    let reply = post(openai, "/v1/chat/completions", &ask);
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(reply.whole && reply.text().ends_with("data: [DONE]\n\n"));
    let events = reply.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = events
        .iter()
        .filter_map(|it| it["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, OPENAI);
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(
        events
            .iter()
            .all(|event| event["id"] == events[0]["id"] && event.get("usage").is_none())
    );

    ask["stream_options"] = json!({ "include_usage": true });
    let events = post(openai, "/v1/chat/completions", &ask).events();
    let last = events.last().unwrap();
    assert_eq!(
        (&last["choices"], last["usage"]["completion_tokens"].as_u64()),
        (&json!([]), Some(10))
    );
    assert_eq!(events[0]["usage"], Value::Null);

    let ask = json!({ "model": "gpt-4o", "input": "Hello", "stream": true });
    let reply = post(openai, "/v1/responses", &ask);
    assert!(reply.text().starts_with("event: response.created\ndata: {"));
    let events = reply.events();
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    let prefixed = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(kinds, prefixed.map(|kind| format!("response.{kind}")));
    assert!(
        events
            .iter()
            .enumerate()
            .all(|(number, event)| event["sequence_number"] == json!(number))
    );
    assert_eq!(
        events.last().unwrap()["response"]["output"][0]["content"][0]["text"],
        OPENAI
    );

    let reply = post(
        openai,
        "/v1/completions",
        &json!({ "model": "gpt-4o", "prompt": "", "stream": true }),
    );
    let text: String = reply
        .events()
        .iter()
        .filter_map(|it| it["choices"][0]["text"].as_str())
        .collect();
    assert_eq!(text, OPENAI);
}

#[test]
fn anthropic_endpoints_answer_whole_and_streamed() {
    let stand_ins = start(&[]);
    let anthropic = at(&stand_ins, "anthropic");

    let reply = post(anthropic, "/v1/messages", &message("claude", false));
    assert!(reply.header("request-id").is_some());
    assert_eq!(reply.header("anthropic-ratelimit-requests-remaining"), Some("49"));
    let body = reply.json();
    assert_eq!(
        body["content"][0]["text"],
        "Hello from anthropic (stand-in), model claude."
    );
    assert_eq!(
        (&body["stop_reason"], &body["model"]),
        (&json!("end_turn"), &json!("claude"))
    );

    let reply = post(anthropic, "/v1/messages", &message("claude", true));
    assert!(reply.whole);
    for line in reply.text().split("\n\n").filter(|frame| !frame.is_empty()) {
        let (event, data) = line.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event.strip_prefix("event: "), data["type"].as_str());
    }
    let events = reply.events();
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    let expected = [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ];
    assert_eq!(kinds, [&expected[..], &["message_delta", "message_stop"]].concat());
    let text: String = events
        .iter()
        .filter_map(|event| event["delta"]["text"].as_str())
        .collect();
    assert_eq!(text, "Hello from anthropic (stand-in), model claude.");

    let count = post(anthropic, "/v1/messages/count_tokens", &message("claude", false)).json();
    assert!(count["input_tokens"].as_u64().is_some_and(|count| count > 0));
    assert_eq!(get(anthropic, "/v1/models").json()["data"][0]["type"], "model");
}

#[test]
fn a_forced_tool_is_called() {
    let stand_ins = start(&[]);
    let schema = json!({ "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } } });
    let mut ask = chat("gpt-4o", false);
    ask["tools"] = json!([{ "type": "function", "function": { "name": "weather", "parameters": schema } }]);
    ask["tool_choice"] = json!("required");
    let body = post(at(&stand_ins, "openai"), "/v1/chat/completions", &ask).json();
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(
        body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
        r#"{"city":"stand-in"}"#
    );
    ask["stream"] = json!(true);
    let events = post(at(&stand_ins, "openai"), "/v1/chat/completions", &ask).events();
    let calls = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]);
    assert_eq!(
        calls.filter_map(Value::as_str).collect::<String>(),
        r#"{"city":"stand-in"}"#
    );

    let mut ask = message("claude", true);
    ask["tools"] = json!([{ "name": "weather", "input_schema": schema }]);
    ask["tool_choice"] = json!({ "type": "tool", "name": "weather" });
    let events = post(at(&stand_ins, "anthropic"), "/v1/messages", &ask).events();
    let text: String = events
        .iter()
        .filter_map(|event| event["delta"]["partial_json"].as_str())
        .collect();
    assert_eq!(text, r#"{"city":"stand-in"}"#);
}

#[test]
fn the_other_protocol_and_bad_requests_are_refused_in_the_providers_shape() {
    let stand_ins = start(&[]);
    let reply = post(at(&stand_ins, "openai"), "/v1/messages", &message("claude", false));
    assert_eq!(
        (reply.status, &reply.json()["error"]["type"]),
        (404, &json!("invalid_request_error"))
    );
    let reply = post(
        at(&stand_ins, "anthropic"),
        "/v1/chat/completions",
        &chat("gpt-4o", false),
    );
    assert_eq!(
        (reply.status, &reply.json()["error"]["type"]),
        (404, &json!("not_found_error"))
    );
    assert_eq!(
        post(
            at(&stand_ins, "openrouter"),
            "/api/v1/messages",
            &message("claude", false)
        )
        .status,
        200
    );
    assert_eq!(
        post(
            at(&stand_ins, "openrouter"),
            "/api/v1/chat/completions",
            &chat("x", false)
        )
        .status,
        200
    );

    let openai = at(&stand_ins, "openai");
    for body in ["", "{", "[]", "null", r#"{"model":1}"#, &"[".repeat(10_000)] {
        let reply = send(openai, "POST", "/v1/chat/completions", "", body);
        assert_eq!(reply.status, 400, "{body:.20}");
        assert!(reply.json()["error"]["message"].is_string());
    }
    assert_eq!(post(openai, "/v1/unknown", &chat("gpt-4o", false)).status, 404);
}
