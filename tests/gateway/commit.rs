//! The commit barrier: nothing reaches the client before the upstream has really begun to answer.

use serde_json::json;

use crate::support::*;

const POLICY: &str = "policy: { retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms } }";

/// `a`, then `b`, for both protocols.
async fn pair(a: &Upstream, b: &Upstream) -> Gateway {
    let urls = [a.url(), b.url()];
    Gateway::start(chain_with(&urls, ", protocol: [openai, anthropic]") + POLICY).await
}

/// The second answers in place of the first, of which nothing is seen.
async fn replaced(path: &str, request: String, bad: Answer, good: Answer, body: String, class: &str) {
    let first = Upstream::always(bad.header("x-failed", "1")).await;
    let second = Upstream::always(good).await;
    let gateway = pair(&first, &second).await;
    let response = gateway.post(path, request).await;
    assert_eq!(
        (response.status(), response.text(), &response.end),
        (200, body, &End::Clean)
    );
    assert_eq!(response.header("x-failed"), None);
    assert_eq!(response.header("x-gateway-upstream"), Some("b"));
    let ledger = response.ledger();
    assert_eq!(
        (ledger[0].class.as_deref(), ledger[0].status, ledger.len()),
        (Some(class), Some(200), 2)
    );
}

#[tokio::test]
async fn an_error_in_a_json_200_is_a_failure() {
    let bad = error("Provider returned error", "server_error", None);
    let limited = json!({ "error": { "message": "Rate limit exceeded", "code": 429 }, "user_id": "u" }).to_string();
    for (answer, class) in [
        (Answer::json(200, bad.clone()), "server_error"),
        (Answer::json(200, bad.clone()).chunked(), "server_error"),
        (Answer::json(200, bad.clone()).dribbled(), "server_error"),
        (Answer::json(200, limited), "rate_limited"),
        (Answer::json(200, format!("\n\n \n{bad}")), "server_error"),
        (
            Answer::status(200, bad).header("content-type", "application/octet-stream"),
            "server_error",
        ),
    ] {
        let good = Answer::json(200, completion("well"));
        replaced(CHAT, chat("m"), answer, good, completion("well"), class).await;
    }
}

#[tokio::test]
async fn json_that_only_mentions_an_error_is_none() {
    for body in [
        r#"{"error":null,"id":"1","choices":[{"message":{"content":"x"}}]}"#,
        r#"{"id":"1","object":"response","output":[{"type":"message"}],"error":{"message":"late"}}"#,
        r#"["error"]"#,
        r#"{"errors":0}"#,
        "plain words",
    ] {
        let first = Upstream::always(Answer::json(200, body)).await;
        let second = Upstream::always(Answer::json(200, completion("well"))).await;
        let gateway = pair(&first, &second).await;
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(
            (response.status(), response.text(), response.end),
            (200, body.to_owned(), End::Clean)
        );
        assert_eq!(second.connections(), 0, "{body}");
    }
}

fn stream(parts: &[&str]) -> Answer {
    Answer::sse(parts.iter().map(|part| part.as_bytes().to_vec()))
}

#[tokio::test]
async fn an_error_before_anything_meaningful_is_a_failure() {
    let failure = format!("data: {}\n\n", error("Provider returned error", "server_error", None));
    let named = "event: error\ndata: {\"message\":\"boom\"}\n\n";
    let comment = ": OPENROUTER PROCESSING\n\n";
    let role = role();
    let empty = delta("");
    for parts in [
        vec![failure.as_str()],
        vec![named],
        vec![comment, comment, failure.as_str()],
        vec!["\n\n\r\n", role.as_str(), failure.as_str()],
        vec![comment, role.as_str(), empty.as_str(), failure.as_str()],
    ] {
        let good = Answer::sse(stream_of("well"));
        replaced(
            CHAT,
            chat_stream("m"),
            stream(&parts),
            good,
            stream_of("well").concat(),
            "server_error",
        )
        .await;
    }
}

#[tokio::test]
async fn an_end_before_anything_meaningful_is_a_failure() {
    for ending in [Ending::Whole, Ending::Cut, Ending::Reset] {
        let first = Upstream::always(Answer::sse([role()]).then(ending)).await;
        let second = Upstream::always(Answer::sse(stream_of("well"))).await;
        let response = pair(&first, &second).await.post(CHAT, chat_stream("m")).await;
        assert_eq!(
            (response.status(), response.text()),
            (200, stream_of("well").concat()),
            "{ending:?}"
        );
    }
}

fn messages_stream(text: &str) -> Vec<String> {
    vec![
        event(
            "message_start",
            json!({ "message": { "id": "msg_1", "role": "assistant", "content": [] } }),
        ),
        event(
            "content_block_start",
            json!({ "index": 0, "content_block": { "type": "text", "text": "" } }),
        ),
        event("ping", json!({})),
        event(
            "content_block_delta",
            json!({ "index": 0, "delta": { "type": "text_delta", "text": text } }),
        ),
        event("content_block_stop", json!({ "index": 0 })),
        event("message_delta", json!({ "delta": { "stop_reason": "end_turn" } })),
        event("message_stop", json!({})),
    ]
}

#[tokio::test]
async fn anthropics_pings_and_beginnings_are_not_meaningful() {
    let bad = [
        event("message_start", json!({ "message": { "id": "msg_0" } })),
        event("ping", json!({})),
        event(
            "error",
            json!({ "error": { "type": "overloaded_error", "message": "Overloaded" } }),
        ),
    ];
    let good = messages_stream("well");
    replaced(
        MESSAGES,
        chat_stream("m"),
        Answer::sse(bad),
        Answer::sse(good.clone()),
        good.concat(),
        "overloaded",
    )
    .await;
}

fn responses_stream(text: &str) -> Vec<String> {
    vec![
        event(
            "response.created",
            json!({ "response": { "id": "resp_1", "status": "in_progress", "error": null } }),
        ),
        event("response.in_progress", json!({ "response": { "id": "resp_1" } })),
        event("response.output_text.delta", json!({ "delta": text })),
        event(
            "response.completed",
            json!({ "response": { "id": "resp_1", "status": "completed" } }),
        ),
    ]
}

#[tokio::test]
async fn an_empty_account_may_show_in_the_third_event() {
    let mut bad = responses_stream("")[..2].to_vec();
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    bad.push(event(
        "error",
        json!({ "error": { "type": "insufficient_quota", "code": "insufficient_quota", "message": quota } }),
    ));
    let good = responses_stream("well");
    let (bad, answer) = (Answer::sse(bad), Answer::sse(good.clone()));
    replaced(
        "/v1/responses",
        chat_stream("m"),
        bad,
        answer,
        good.concat(),
        "out_of_credits",
    )
    .await;
}

#[tokio::test]
async fn what_was_held_comes_first_and_unchanged() {
    // CRLF, comments, a byte order mark, fields without a space, UTF-8 cut in two by the chunks.
    let mut bytes = b"\xef\xbb\xbf: hello\r\n\r\nid:1\r\nretry: 10\r\n\r\n".to_vec();
    bytes.extend_from_slice(role().replace('\n', "\r\n").as_bytes());
    bytes.extend_from_slice(delta("gr\u{fc}\u{df}e \u{1f600}").as_bytes());
    bytes.extend_from_slice((finish() + DONE).as_bytes());
    for size in [1, 2, 7, 64, 10_000] {
        let upstream = Upstream::always(Answer::sse(bytes.chunks(size))).await;
        let gateway = Gateway::start(chain(&[upstream.url()])).await;
        let response = gateway.post(CHAT, chat_stream("m")).await;
        assert_eq!((response.status(), response.end), (200, End::Clean));
        assert!(
            response.body == bytes,
            "in pieces of {size}: {}",
            String::from_utf8_lossy(&response.body)
        );
    }
}

/// The client gets an event while the upstream holds its breath: it was taken for a beginning.
async fn begins_with(path: &str, events: Vec<String>) {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain_with(&[upstream.url()], ", protocol: [openai, anthropic]")).await;
    let mut client = gateway.client().await;
    client.send(post(path, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    let text = events.concat();
    play.chunk(&text).await;
    assert_eq!(client.head().await.status(), 200);
    assert_eq!(
        client.until(text.trim_end().lines().last().unwrap()).await,
        text.into_bytes()
    );
}

#[tokio::test]
async fn tool_calls_and_reasoning_are_beginnings_too() {
    let chunk =
        |delta: serde_json::Value| format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta }] }));
    let call = json!({ "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "f", "arguments": "" } }] });
    begins_with(CHAT, vec![role(), chunk(call)]).await;
    begins_with(
        CHAT,
        vec![chunk(
            json!({ "role": "assistant", "content": "", "reasoning_content": "hm" }),
        )],
    )
    .await;
    let block = json!({ "index": 0, "delta": { "type": "thinking_delta", "thinking": "hm" } });
    begins_with(
        MESSAGES,
        vec![messages_stream("")[0].clone(), event("content_block_delta", block)],
    )
    .await;
    begins_with("/v1/responses", responses_stream("well")[..3].to_vec()).await;
}

#[tokio::test]
async fn an_event_that_nobody_knows_is_a_beginning() {
    begins_with(
        CHAT,
        vec!["data: {\"choices\":[{\"index\":0,\"delta\":{\"hologram\":\"new\"}}]}\n\n".to_owned()],
    )
    .await;
}

#[tokio::test]
async fn a_stream_without_content_may_end_properly() {
    let parts = vec![role(), finish(), DONE.to_owned()];
    let upstream = Upstream::always(Answer::sse(parts.clone())).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(
        (response.text(), response.end, upstream.requests().len()),
        (parts.concat(), End::Clean, 1)
    );
}

#[tokio::test]
async fn holding_has_a_bound() {
    let comments = ": PROCESSING\n\n".repeat(20_000);
    let upstream = Upstream::always(Answer::sse([comments, stream_of("well").concat()])).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!((response.status(), &response.end), (200, &End::Clean));
    assert!(response.text().ends_with(&stream_of("well").concat()));
}

#[tokio::test]
async fn a_stream_may_fail_without_being_one() {
    // Asked for a stream, answered with JSON: an error in a 200 all the same.
    let bad = Answer::json(200, error("boom", "server_error", None));
    let good = Answer::sse(stream_of("well"));
    replaced(
        CHAT,
        chat_stream("m"),
        bad,
        good,
        stream_of("well").concat(),
        "server_error",
    )
    .await;
}
