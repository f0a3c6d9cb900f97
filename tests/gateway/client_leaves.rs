//! The client leaves: in every phase the upstream request is cancelled at once, and nobody is blamed for it.

use std::time::{Duration, Instant};

use crate::clocks::black_hole;
use crate::support::*;

/// Much less than any clock that could have ended the request instead.
const PROMPT: Duration = Duration::from_secs(8);
const SLOW: &str = "policy: { timeouts: { connect: 60s, headers: 60s, first_token: 60s, idle: 60s } }";

#[tokio::test]
async fn while_sending_its_body() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    let request = post(CHAT, chat("m"));
    client.send(&request[..request.len() - 5]).await;
    let begin = Instant::now();
    client.leave();
    gateway.client_gone().await;
    assert!(begin.elapsed() < PROMPT);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn while_connecting() {
    let hole = black_hole().await;
    let urls = [format!("http://{}", hole.address)];
    let gateway = Gateway::start(chain(&urls) + SLOW).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    hole.knocked_at().await;
    let begin = Instant::now();
    client.leave();
    gateway.client_gone().await;
    assert!(begin.elapsed() < PROMPT, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn while_the_upstream_says_nothing() {
    let upstream = Upstream::always(Answer::hang()).await;
    let other = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = Gateway::start(chain(&[upstream.url(), other.url()]) + SLOW).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    upstream.request(0).await;
    let begin = Instant::now();
    client.leave();
    assert!(upstream.left().await.duration_since(begin) < PROMPT);
    let line = gateway.client_gone().await;
    assert_eq!(line["attempts"], 1, "{line}");
    assert_eq!(other.connections(), 0, "nobody waits for another answer");
}

#[tokio::test]
async fn while_the_first_token_is_awaited() {
    let upstream = Upstream::always(Answer::sse([role()]).then(Ending::Stall)).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + SLOW).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    upstream.request(0).await;
    let begin = Instant::now();
    client.leave();
    assert!(upstream.left().await.duration_since(begin) < PROMPT);
    gateway.client_gone().await;
}

#[tokio::test]
async fn while_an_error_is_being_judged() {
    let upstream = Upstream::always(Answer::json(500, "{").then(Ending::Stall)).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + SLOW).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    upstream.request(0).await;
    client.leave();
    upstream.left().await;
    gateway.client_gone().await;
}

#[tokio::test]
async fn while_backing_off() {
    let busy = Upstream::always(Answer::json(429, "{}").header("retry-after", "40")).await;
    let policy = "policy: { retry: { max_wait: 60s } }";
    let gateway = Setup::new(chain(&[busy.url()]) + policy).level("debug").start().await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    busy.request(0).await;
    gateway
        .log
        .line("the failed attempt", |line| line["class"] == "rate_limited")
        .await;
    let begin = Instant::now();
    client.leave();
    gateway.client_gone().await;
    assert!(begin.elapsed() < PROMPT, "{:?}", begin.elapsed());
    assert_eq!(busy.requests().len(), 1);
}

#[tokio::test]
async fn while_streaming() {
    let upstream = Upstream::always(Answer::sse([delta("one")]).then(Ending::Stall)).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + SLOW).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let id = client.head().await.header("x-gateway-request-id").unwrap().to_owned();
    client.until("one").await;
    let begin = Instant::now();
    client.leave();
    assert!(upstream.left().await.duration_since(begin) < PROMPT);
    assert_eq!(gateway.access(&id).await["outcome"], "client_gone");
}

#[tokio::test]
async fn while_reading_nothing() {
    // The gateway is blocked in writing to it.
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + SLOW).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    let events = chunk(delta(&"x".repeat(50_000)).as_bytes());
    let blocked = |sent: std::io::Result<()>| sent.expect("the gateway is still there");
    while let Ok(sent) = tokio::time::timeout(Duration::from_millis(500), play.http.send(&events)).await {
        blocked(sent);
    }
    client.leave();
    soon("the upstream's connection to break", async {
        while play.http.send(&events).await.is_ok() {}
    })
    .await;
    gateway.client_gone().await;
}

#[tokio::test]
async fn with_a_reset() {
    let upstream = Upstream::always(Answer::hang()).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + SLOW).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    upstream.request(0).await;
    client.http.reset();
    upstream.left().await;
    gateway.client_gone().await;
}

#[tokio::test]
async fn it_never_counts_against_a_target() {
    let upstream =
        Upstream::answering(std::iter::repeat_n(Answer::hang(), 4).chain([Answer::json(200, completion("well"))]))
            .await;
    let other = Upstream::always(Answer::json(200, completion("other"))).await;
    let policy = "policy: { cooldown: { after: 1, base: 60s, max: 60s } }";
    let gateway = Gateway::start(chain(&[upstream.url(), other.url()]) + policy).await;
    for n in 0..4 {
        let mut client = gateway.client().await;
        client.send(post(CHAT, chat("m"))).await;
        upstream.request(n).await;
        client.leave();
    }
    upstream.left_by(4).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.header("x-gateway-upstream"), other.connections()),
        (Some("a"), 0)
    );
}
