//! Clients that are answered before any upstream has begun to: switching goes on behind a stream of comments.

use crate::support::*;

const QUICK: &str = "retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms }";
const EARLY: &str = "keepalive: { every: 150ms, before_first_token: true }";

fn policy(more: &str) -> String {
    format!("policy: {{ {QUICK}, {EARLY}{more} }}")
}

#[tokio::test]
async fn switching_goes_on_behind_an_early_answer() {
    let late = Answer::json(503, error("overloaded", "server_error", None));
    for first in [Answer::hang(), late.dribbled()] {
        let first = Upstream::always(first).await;
        let second = Upstream::always(Answer::sse(stream_of("well"))).await;
        let clocks = policy(", timeouts: { headers: 600ms }");
        let gateway = Gateway::start(chain(&[first.url(), second.url()]) + &clocks).await;
        let mut client = gateway.client().await;
        client.send(post(CHAT, chat_stream("m"))).await;
        let head = client.head().await;
        assert_eq!(head.status(), 200);
        assert_eq!(head.all("content-type"), ["text/event-stream"]);
        let (text, end) = client.rest_of_stream().await;
        assert_eq!(end, End::Clean, "{text}");
        let comments = text.trim_end_matches(&stream_of("well").concat()).to_owned();
        assert_eq!(comments.replace(": keep-alive\n\n", ""), "", "{text}");
        assert!(text.ends_with(&stream_of("well").concat()), "{text}");
        let line = gateway.access(head.all("x-gateway-request-id")[0]).await;
        assert_eq!(
            (&line["outcome"], &line["target"]),
            (&"ok".into(), &"b/m".into()),
            "{line}"
        );
        assert_eq!(line["attempts"], 2, "{line}");
    }
}

#[tokio::test]
async fn a_failure_of_all_is_an_event_and_no_clean_end() {
    let first = Upstream::always(Answer::hang()).await;
    let second = Upstream::always(Answer::json(400, error("no such tool", "invalid_request_error", None))).await;
    let clocks = policy(", timeouts: { headers: 500ms }");
    let gateway = Gateway::start(chain(&[first.url(), second.url()]) + &clocks).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(response.status(), 200);
    assert_ne!(response.end, End::Clean);
    let text = response.text();
    assert!(text.starts_with(": keep-alive\n\n"), "{text}");
    assert!(text.contains("\"error\"") && text.contains(&response.id()), "{text}");
    assert!(text.contains("a/m") && text.contains("no such tool"), "{text}");
    assert_eq!(gateway.access(&response.id()).await["outcome"], "broken");
}

#[tokio::test]
async fn an_answer_that_comes_in_time_is_not_touched() {
    let upstream = Upstream::always(Answer::sse(stream_of("well")).header("x-own", "1")).await;
    let long = "policy: { keepalive: { every: 20s, before_first_token: true } }";
    let gateway = Gateway::start(chain(&[upstream.url()]) + long).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(
        (response.header("x-own"), response.header("x-gateway-upstream")),
        (Some("1"), Some("a"))
    );
    assert_eq!(
        (response.text(), response.end),
        (stream_of("well").concat(), End::Clean)
    );
    // What does not stream has no room for comments.
    let slow = Upstream::always(Answer::json(200, completion("well")).dribbled()).await;
    let gateway = Gateway::start(chain(&[slow.url()]) + &policy("")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.text(), response.header("x-gateway-upstream")),
        (completion("well"), Some("a"))
    );
}

#[tokio::test]
async fn a_client_that_leaves_an_early_answer_ends_the_search() {
    let silent = Upstream::always(Answer::hang()).await;
    let gateway = Gateway::start(chain(&[silent.url()]) + &policy("")).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    client.head().await;
    client.until(": keep-alive").await;
    drop(client);
    silent.left().await;
    let line = gateway.client_gone().await;
    assert_eq!(line["attempts"], 1, "{line}");
    assert!(line["ledger"].as_str().unwrap().contains("client_gone"), "{line}");
}

#[tokio::test]
async fn an_early_answer_that_breaks_is_resumed_where_somebody_can() {
    let slow = Manual::listen().await;
    let second = Upstream::always(Answer::sse([
        delta(" and well"),
        finish(),
        "data: [DONE]\n\n".to_owned(),
    ]))
    .await;
    let yaml = chain_with(&[slow.url(), second.url()], ", prefill: true") + &policy("");
    let gateway = Gateway::start(yaml).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = slow.request().await;
    client.head().await;
    client.until(": keep-alive").await;
    play.begin_sse().await;
    play.chunk(role() + &delta("half")).await;
    client.until("half").await;
    drop(play);
    drop(slow);
    let (text, end) = client.rest_of_stream().await;
    assert!(text.contains(" and well") && text.contains("[DONE]"), "{text}");
    assert_eq!(end, End::Clean);
}

#[tokio::test]
async fn an_early_answer_ends_the_wait_that_the_client_spoke_of() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url(), upstream.url()]) + &policy("")).await;
    let mut client = gateway.client().await;
    // The first attempt has to make way after three quarters of this; what comes then has the request's own deadline.
    let patience = "x-stainless-read-timeout: 1\r\n";
    client.send(post_with(CHAT, patience, chat_stream("m"))).await;
    let (_silent, ..) = upstream.request().await;
    client.head().await;
    let (mut play, ..) = upstream.request().await;
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    play.begin_sse().await;
    play.chunk(stream_of("well").concat()).await;
    play.finish().await;
    let (text, end) = client.rest_of_stream().await;
    assert!(text.ends_with(&stream_of("well").concat()), "{text}");
    assert_eq!(end, End::Clean);
}
