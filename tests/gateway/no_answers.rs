//! Successes that are no answers, and which failure the client gets in the end.

use serde_json::json;

use crate::support::*;

const QUICK: &str = "policy: { retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms } }";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// The upstream that serves, and the class of the first attempt.
async fn served(first: Answer, path: &str, body: String, second: Answer) -> (Option<String>, Option<String>) {
    let (first, second) = (Upstream::always(first).await, Upstream::always(second).await);
    let yaml = chain_with(&[first.url(), second.url()], ", protocol: [openai, anthropic]") + QUICK;
    let gateway = Gateway::start(yaml).await;
    let response = gateway.post(path, body).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    let upstream = response.header("x-gateway-upstream").map(str::to_owned);
    (upstream, response.ledger()[0].class.clone())
}

#[tokio::test]
async fn an_answer_that_is_cut_or_malformed_is_replaced() {
    let text = completion("well");
    let half = &text[..text.len() / 2];
    let cut = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{half}",
        text.len()
    );
    for (answer, class) in [
        (Answer::raw(cut), "reset"),
        (Answer::json(200, half), "bad_answer"),
        (Answer::json(200, format!("{text}}}")), "bad_answer"),
        (Answer::json(200, "{ model: unquoted }"), "bad_answer"),
    ] {
        let (upstream, first) = served(answer, CHAT, chat("m"), well()).await;
        assert_eq!((upstream.as_deref(), first.as_deref()), (Some("b"), Some(class)));
    }
}

#[tokio::test]
async fn an_answer_without_anything_in_it_is_replaced() {
    let message =
        json!({ "type": "message", "content": [{ "type": "text", "text": "well" }], "stop_reason": "end_turn" });
    let response = json!({ "object": "response", "status": "completed", "output": [{ "type": "message" }] });
    for (path, empty, good) in [
        (
            CHAT,
            json!({ "object": "chat.completion", "choices": [] }),
            completion("well"),
        ),
        (
            MESSAGES,
            json!({ "type": "message", "content": [] }),
            message.to_string(),
        ),
        (
            RESPONSES,
            json!({ "object": "response", "output": [] }),
            response.to_string(),
        ),
    ] {
        let (upstream, class) = served(
            Answer::json(200, empty.to_string()),
            path,
            chat("m"),
            Answer::json(200, good),
        )
        .await;
        assert_eq!(
            (upstream.as_deref(), class.as_deref()),
            (Some("b"), Some("empty")),
            "{path}"
        );
    }
    let said_nothing = Answer::sse([role(), "data: [DONE]\n\n".to_owned()]);
    let (upstream, class) = served(said_nothing, CHAT, chat_stream("m"), Answer::sse(stream_of("well"))).await;
    assert_eq!((upstream.as_deref(), class.as_deref()), (Some("b"), Some("empty")));
}

#[tokio::test]
async fn what_is_done_spent_tokens_or_cannot_be_read_passes() {
    let done = json!({ "choices": [{ "message": { "content": "" }, "finish_reason": "stop" }] });
    let spent = json!({ "choices": [], "usage": { "completion_tokens": 5 } });
    for answer in [
        Answer::json(200, done.to_string()),
        Answer::json(200, spent.to_string()),
        Answer::json(200, "not brotli").header("content-encoding", "br"),
        Answer::sse([role(), format!("data: {spent}\n\n"), "data: [DONE]\n\n".to_owned()]),
    ] {
        let (upstream, class) = served(answer, CHAT, chat("m"), well()).await;
        assert_eq!((upstream.as_deref(), class.as_deref()), (Some("a"), None));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_be_held_passes_as_it_comes() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "server: { max_held: 4KiB }").await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = upstream.request().await;
    let text = completion(&"long ".repeat(4000));
    let (first, rest) = text.split_at(8000);
    play.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    play.chunk(first).await;
    client.head().await;
    client.until("long long").await;
    play.chunk(rest).await;
    play.finish().await;
    let (seen, end) = client.rest_of_stream().await;
    assert!(
        text.ends_with(&seen) && seen.len() >= rest.len() && end == End::Clean,
        "{seen}"
    );
}

#[tokio::test]
async fn an_answer_in_ten_thousand_pieces_costs_what_it_weighs() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let text = completion(&"x".repeat(10_000));
    let answering = async {
        let (mut play, ..) = upstream.request().await;
        play.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        for byte in text.as_bytes() {
            play.chunk([*byte]).await;
        }
        play.finish().await;
        play
    };
    let (response, _play) = tokio::join!(gateway.post(CHAT, chat("m")), answering);
    assert_eq!((response.status(), response.text()), (200, text.clone()));
}

#[tokio::test]
async fn of_two_failures_the_one_that_says_more_is_delivered() {
    let inside = Answer::json(
        200,
        json!({ "error": { "message": "boom", "type": "server_error" } }).to_string(),
    );
    let limited = Answer::json(429, error("slow down", "requests", Some("rate_limit_exceeded")));
    let bad_key = Answer::json(401, error("bad key", "", Some("invalid_api_key")));
    let broken = Answer::json(500, error("boom", "server_error", None));
    for (first, second, status) in [
        (broken.clone(), inside.clone(), 500),
        (inside, broken.clone(), 500),
        (limited.clone(), bad_key.clone(), 429),
        (bad_key.clone(), limited, 429),
        (broken, bad_key, 401),
    ] {
        let (first, second) = (Upstream::always(first).await, Upstream::always(second).await);
        let gateway = Gateway::start(chain(&[first.url(), second.url()]) + QUICK).await;
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), status);
    }
}

#[tokio::test]
async fn one_that_cools_down_is_asked_before_the_client_gets_an_error() {
    let limited = Answer::json(429, error("slow down", "requests", None)).header("retry-after", "60");
    let first = Upstream::answering([limited, well()]).await;
    let second = Upstream::answering([well(), Answer::json(500, "{}")]).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url()]) + QUICK).await;
    assert_eq!(
        gateway.post(CHAT, chat("m")).await.header("x-gateway-upstream"),
        Some("b")
    );
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("a"))
    );
    let targets: Vec<_> = response.ledger().iter().map(|entry| entry.target.clone()).collect();
    assert_eq!(targets, ["b/m", "a/m"]);
}

#[tokio::test]
async fn an_endpoint_that_an_upstream_does_not_have_is_looked_for_elsewhere() {
    let missing = Answer::status(404, "404 page not found");
    let response = json!({ "object": "response", "status": "completed", "output": [] }).to_string();
    let (upstream, class) = served(missing.clone(), RESPONSES, chat("m"), Answer::json(200, response)).await;
    assert_eq!((upstream.as_deref(), class.as_deref()), (Some("b"), Some("protocol")));
    let (upstream, class) = served(
        missing,
        "/v1/messages/count_tokens",
        chat("m"),
        Answer::json(200, "{\"input_tokens\":3}"),
    )
    .await;
    assert_eq!((upstream.as_deref(), class.as_deref()), (Some("b"), Some("protocol")));
    // Nothing cools down, and what has a code of its own is the client's to see.
    let coded = Upstream::always(Answer::json(
        404,
        error("no such thing", "invalid_request_error", Some("thing_not_found")),
    ))
    .await;
    let gateway = Gateway::start(chain(&[coded.url(), coded.url()]) + QUICK).await;
    assert_eq!(gateway.post(RESPONSES, chat("m")).await.ledger().len(), 1);
}

#[tokio::test]
async fn a_target_that_always_cuts_is_left_though_its_answers_begin() {
    let cuts = Upstream::always(Answer::sse([delta("half")]).then(Ending::Close)).await;
    let good = Upstream::always(Answer::sse(stream_of("well"))).await;
    let policy = "policy: { cooldown: { after: 1, base: 300ms, max: 60s } }";
    let gateway = Gateway::start(chain(&[cuts.url(), good.url()]) + policy).await;
    let mut asked = Vec::new();
    for _ in 0..8 {
        let response = gateway.post(CHAT, chat_stream("m")).await;
        asked.push(response.header("x-gateway-upstream") == Some("a"));
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    }
    let times = asked.iter().filter(|asked| **asked).count();
    // Each break doubles the time that it is left for, though its answer had begun.
    assert!((2..=4).contains(&times) && asked[0] && !asked[7], "{asked:?}");
}

#[tokio::test]
async fn a_broken_stream_of_responses_ends_as_its_clients_expect() {
    let begun = event("response.created", json!({ "response": { "id": "resp_1" } }))
        + &event("response.output_text.delta", json!({ "delta": "half" }));
    let upstream = Upstream::always(Answer::sse([begun.clone()]).then(Ending::Close)).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + QUICK).await;
    let response = gateway.post(RESPONSES, chat_stream("m")).await;
    let text = response.text();
    let rest = text.strip_prefix(&begun).unwrap();
    let events: Vec<(&str, serde_json::Value)> = rest
        .split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once("\ndata: ").unwrap();
            (
                name.strip_prefix("event: ").unwrap(),
                serde_json::from_str(data).unwrap(),
            )
        })
        .collect();
    let [("error", told), ("response.failed", failed)] = &events[..] else {
        panic!("{rest}")
    };
    assert_eq!(
        (&told["type"], &told["code"]),
        (&json!("error"), &json!("upstream_broken"))
    );
    assert_eq!(told["message"], told["error"]["message"]);
    assert!(
        told["message"].as_str().unwrap().starts_with("the answer broke off"),
        "{told}"
    );
    assert_eq!(failed["response"]["error"]["code"], "upstream_broken");
    assert_ne!(response.end, End::Clean);
}
