//! Errors that an upstream reports in the middle of a stream.

use serde_json::{Value, json};

use crate::support::*;

mod resumed;

const RESPONSES: &str = "/v1/responses";
const COMPLETIONS: &str = "/v1/completions";
const BOTH: &str = ", protocol: [openai, anthropic]";

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn choice(index: u64, text: &str, reason: Option<&str>) -> String {
    data(&json!({ "id": "x", "choices": [{ "index": index, "delta": { "content": text }, "finish_reason": reason }] }))
}

fn message_begun() -> String {
    event(
        "message_start",
        json!({ "message": { "id": "msg_1", "content": [], "usage": { "input_tokens": 7 } } }),
    ) + &event(
        "content_block_start",
        json!({ "index": 0, "content_block": { "type": "text", "text": "" } }),
    ) + &event(
        "content_block_delta",
        json!({ "index": 0, "delta": { "type": "text_delta", "text": "hi" } }),
    )
}

fn response_begun() -> String {
    event(
        "response.created",
        json!({ "response": { "id": "resp_1", "error": null } }),
    ) + &event("response.output_text.delta", json!({ "delta": "hi" }))
}

fn overloaded() -> String {
    event(
        "error",
        json!({ "error": { "type": "overloaded_error", "message": "Overloaded" } }),
    )
}

fn failed_response(code: &str) -> String {
    let error = json!({ "code": code, "message": "An error occurred." });
    let response = json!({ "id": "resp_1", "status": "failed", "error": error, "instructions": "mind the rate limit" });
    event("response.failed", json!({ "response": response }))
}

/// Streams with an error after the first words, and the code that it has.
fn failing() -> Vec<(&'static str, String, Option<&'static str>)> {
    let in_chunk = json!({
        "id": "x", "error": { "code": 502, "message": "Provider disconnected" },
        "choices": [{ "index": 0, "delta": { "content": "" }, "finish_reason": "error" }],
    });
    let text = |value: &str| data(&json!({ "choices": [{ "index": 0, "text": value, "finish_reason": null }] }));
    let boom = data(&json!({ "error": { "message": "boom", "type": "server_error" } }));
    vec![
        (CHAT, delta("hi") + &boom + DONE, Some("server_error")),
        (CHAT, delta("hi") + &boom, Some("server_error")),
        (CHAT, delta("hi") + &data(&in_chunk), Some("502")),
        (CHAT, delta("hi") + "event: error\ndata: it went wrong\n\n", None),
        (
            CHAT,
            delta("hi") + &choice(0, "", Some("insufficient_system_resource")) + DONE,
            Some("insufficient_system_resource"),
        ),
        (
            CHAT,
            choice(0, "a", None)
                + &choice(1, "b", None)
                + &choice(1, "", Some("error"))
                + &choice(0, "c", Some("stop"))
                + DONE,
            None,
        ),
        (COMPLETIONS, text("hi") + &boom + DONE, Some("server_error")),
        (
            RESPONSES,
            response_begun() + &failed_response("server_error"),
            Some("server_error"),
        ),
        (
            RESPONSES,
            response_begun()
                + &event(
                    "error",
                    json!({ "code": "rate_limit_exceeded", "message": "slow down" }),
                ),
            Some("rate_limit_exceeded"),
        ),
        (MESSAGES, message_begun() + &overloaded(), Some("overloaded_error")),
    ]
}

async fn attempt_line(gateway: &Gateway, id: &str) -> Value {
    let is_it = |line: &Value| line["id"] == id && line["class"] == "broken";
    gateway.log.line("the break", is_it).await
}

#[tokio::test]
async fn what_can_not_be_resumed_is_delivered_as_it_is_and_counts_as_broken() {
    for (path, text, code) in failing() {
        for answer in [
            Answer::sse([text.clone()]),
            Answer::sse(text.as_bytes().chunks(11)),
            Answer::sse([text.clone()]).until_close(),
        ] {
            let upstream = Upstream::always(answer).await;
            let gateway = Gateway::start(chain_with(&[upstream.url()], BOTH)).await;
            let response = gateway.post(path, chat_stream("m")).await;
            assert_eq!((response.text(), &response.end), (text.clone(), &End::Clean), "{path}");
            let line = gateway.access(&response.id()).await;
            assert_eq!(line["outcome"], "broken", "{text}");
            let ledger = client::ledger(line["ledger"].as_str().expect("a ledger"));
            assert_eq!(
                (ledger[0].class.as_deref(), ledger[0].status),
                (Some("broken"), Some(200))
            );
            let attempt = attempt_line(&gateway, &response.id()).await;
            assert_eq!(
                (&attempt["action"], &attempt["attempt"]),
                (&json!("deliver"), &json!(1))
            );
            let reason = attempt["reason"].as_str().expect("a reason");
            match code {
                Some(code) => assert!(reason.ends_with(&format!(": {code}")), "{reason}"),
                None => assert!(reason.ends_with("in its stream"), "{reason}"),
            }
            assert!(!gateway.log.text().contains("went wrong"), "no words of the upstream");
        }
    }
}

#[tokio::test]
async fn an_error_ends_a_stream_whatever_comes_of_its_connection() {
    let text = message_begun() + &overloaded();
    for ending in [Ending::Cut, Ending::Reset, Ending::Stall] {
        let upstream = Upstream::always(Answer::sse([text.clone()]).then(ending)).await;
        let yaml = chain_with(&[upstream.url()], ", protocol: anthropic, timeouts: { idle: 200ms }");
        let gateway = Gateway::start(yaml).await;
        let response = gateway.post(MESSAGES, chat_stream("m")).await;
        assert_eq!(
            (response.text(), &response.end),
            (text.clone(), &End::Clean),
            "{ending:?}"
        );
        assert_eq!(gateway.access(&response.id()).await["outcome"], "broken");
    }
}

#[tokio::test]
async fn before_anything_meaningful_the_next_target_answers() {
    let nothing_said = choice(0, "", Some("insufficient_system_resource")) + DONE;
    for (path, text) in [
        (CHAT, role() + &data(&json!({ "error": { "message": "boom" } }))),
        (CHAT, role() + &nothing_said),
        (MESSAGES, overloaded()),
        (RESPONSES, failed_response("server_error")),
    ] {
        let first = Upstream::always(Answer::sse([text])).await;
        let whole = match path {
            CHAT => stream_of("well").concat(),
            MESSAGES => message_begun() + &event("message_stop", json!({})),
            _ => response_begun() + &event("response.completed", json!({ "response": {} })),
        };
        let second = Upstream::always(Answer::sse([whole.clone()])).await;
        let policy = "policy: { retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms } }";
        let gateway = Gateway::start(chain_with(&[first.url(), second.url()], BOTH) + policy).await;
        let response = gateway.post(path, chat_stream("m")).await;
        assert_eq!((response.text(), &response.end), (whole, &End::Clean));
        assert_eq!(gateway.access(&response.id()).await["outcome"], "ok");
    }
}

#[tokio::test]
async fn words_about_errors_are_none() {
    let said = "\"error\": {\"code\": 500}, \"finish_reason\":\"error\"\n\nevent: error\ndata: {\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    let call =
        json!({ "tool_calls": [{ "index": 0, "error": { "code": 1 }, "function": { "arguments": "{\"error\":1}" } }] });
    let nothing =
        json!({ "id": "x", "error": null, "choices": [{ "index": 0, "error": {}, "delta": { "content": "error" } }] });
    let result = json!({ "index": 1, "content_block": { "type": "web_search_tool_result", "content": { "type": "error", "error": { "a": 1 } } } });
    let delta_of = |text: &str| json!({ "index": 0, "delta": { "type": "text_delta", "text": text } });
    for (path, text) in [
        (CHAT, delta(said) + &finish() + DONE),
        (
            CHAT,
            data(&json!({ "choices": [{ "index": 0, "delta": call }] })) + &finish() + DONE,
        ),
        (CHAT, data(&nothing) + &finish() + DONE),
        (
            MESSAGES,
            message_begun()
                + &event("content_block_delta", delta_of(said))
                + &event("content_block_start", result)
                + &event("message_stop", json!({})),
        ),
        (
            RESPONSES,
            response_begun()
                + &event(
                    "response.output_text.delta",
                    json!({ "delta": said, "item": { "error": { "in": "an item" } } }),
                )
                + &event(
                    "response.completed",
                    json!({ "response": { "error": null, "output": [{ "error": said }] } }),
                ),
        ),
        (
            RESPONSES,
            response_begun() + &event("response.incomplete", json!({ "response": {} })),
        ),
    ] {
        for answer in [Answer::sse([text.clone()]), Answer::sse(text.as_bytes().chunks(13))] {
            let upstream = Upstream::always(answer).await;
            let gateway = Gateway::start(chain_with(&[upstream.url()], BOTH)).await;
            let response = gateway.post(path, chat_stream("m")).await;
            assert_eq!((response.text(), &response.end), (text.clone(), &End::Clean));
            assert_eq!(gateway.access(&response.id()).await["outcome"], "ok", "{text}");
        }
    }
}

/// Whose answer each of `count` requests gets, when `a` fails so in mid-stream and `b` does not.
async fn served(path: &str, failing: &str, more: &str, count: usize) -> String {
    let first = Upstream::always(Answer::sse([failing])).await;
    let whole = match path {
        MESSAGES => message_begun() + &event("message_stop", json!({})),
        RESPONSES => response_begun() + &event("response.completed", json!({ "response": { "status": "completed" } })),
        _ => delta("hi") + &finish(),
    };
    let second = Upstream::always(Answer::sse([whole])).await;
    let gateway = Gateway::start(chain_with(&[first.url(), second.url()], &format!("{BOTH}{more}"))).await;
    let mut names = String::new();
    for _ in 0..count {
        let response = gateway.post(path, chat_stream("m")).await;
        names += response.header("x-gateway-upstream").expect("a name");
    }
    names
}

#[tokio::test]
async fn only_what_passes_counts_against_the_target() {
    let chat_error = |error: Value| delta("hi") + &data(&json!({ "error": error }));
    let cooldown = ", cooldown: { after: 3, base: 60s }";
    for (path, text, expected) in [
        (MESSAGES, message_begun() + &overloaded(), "aaab"),
        (RESPONSES, response_begun() + &failed_response("server_error"), "aaab"),
        (
            CHAT,
            chat_error(json!({ "code": 502, "message": "Provider disconnected" })),
            "aaab",
        ),
        (
            CHAT,
            chat_error(json!({ "type": "rate_limit_error", "code": "rate_limit_exceeded" })),
            "aaab",
        ),
        (
            CHAT,
            choice(0, "rate limit", None) + &choice(0, "", Some("error")),
            "aaab",
        ),
        (
            CHAT,
            chat_error(json!({ "code": "content_filter", "message": "flagged" })),
            "aaaaa",
        ),
        (
            CHAT,
            chat_error(json!({ "code": "context_length_exceeded", "message": "too long" })),
            "aaaaa",
        ),
        (
            CHAT,
            chat_error(json!({ "type": "invalid_request_error", "message": "no such tool" })),
            "aaaaa",
        ),
        (
            RESPONSES,
            response_begun() + &failed_response("invalid_prompt"),
            "aaaaa",
        ),
    ] {
        let names = served(path, &text, cooldown, expected.len()).await;
        assert_eq!(names, expected, "{text}");
    }
}

#[tokio::test]
async fn a_wait_that_the_error_asks_for_is_heeded_at_once() {
    let error = json!({ "code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 30s." });
    let text = delta("hi") + &data(&json!({ "error": error }));
    assert_eq!(served(CHAT, &text, "", 3).await, "abb");
    // With the client's own key it is about the client's account.
    assert_eq!(served(CHAT, &text, ", key: passthrough", 3).await, "aaa");
}

#[tokio::test]
async fn it_counts_before_the_client_reads_of_it() {
    let upstream = Manual::listen().await;
    let other = Upstream::always(Answer::sse(stream_of("well"))).await;
    let yaml = chain_with(&[upstream.url(), other.url()], ", cooldown: { after: 1, base: 60s }");
    let gateway = Gateway::start(yaml).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    play.chunk(delta("hi")).await;
    assert_eq!(client.head().await.status(), 200);
    let error = data(&json!({ "error": { "code": "overloaded", "message": "busy" } }));
    play.chunk(&error).await;
    client.until("busy").await;
    // The first stream has not ended yet.
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(response.header("x-gateway-upstream"), Some("b"));
    client.leave();
}
