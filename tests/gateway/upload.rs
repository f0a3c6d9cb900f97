//! Upstreams that don't take the whole request before they speak, or never take it.

use std::time::{Duration, Instant};

use crate::support::manual::Play;
use crate::support::*;

/// More than loopback's buffers hold.
fn large() -> String {
    format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(24 << 20))
}

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// Takes the head, and reads no further.
async fn head_only(upstream: &Manual) -> Play {
    let mut play = upstream.accept().await;
    play.head().await;
    play
}

#[tokio::test]
async fn an_early_answer_is_heard_while_the_body_is_still_being_sent() {
    let upstream = Manual::listen().await;
    let other = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url(), other.url()])).await;
    let playing = async {
        let mut play = head_only(&upstream).await;
        play.answer(&Answer::json(402, error("Insufficient credits", "", None)).header("x-failed", "1"))
            .await;
        play
    };
    let body = large();
    let begin = Instant::now();
    let (response, _play) = tokio::join!(gateway.post(CHAT, &body), playing);
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("b"))
    );
    assert_eq!(response.ledger()[0].class.as_deref(), Some("out_of_credits"));
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    assert!(other.only_request().text() == body);
}

#[tokio::test]
async fn an_early_refusal_reaches_the_client_whole() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let refusal = error("this endpoint takes no such thing", "invalid_request_error", None);
    let playing = async {
        let mut play = head_only(&upstream).await;
        play.answer(&Answer::json(422, refusal.clone())).await;
        play
    };
    let (response, _play) = tokio::join!(gateway.post(CHAT, large()), playing);
    assert_eq!(
        (response.status(), response.text(), response.end),
        (422, refusal, End::Clean)
    );
}

#[tokio::test]
async fn an_upstream_that_closes_within_the_body_is_a_reset() {
    let upstream = Upstream::always(Answer::reset().early()).await;
    let other = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url(), other.url()])).await;
    let response = gateway.post(CHAT, large()).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("b"))
    );
    assert_eq!(response.ledger()[0].class.as_deref(), Some("reset"));
}

#[tokio::test]
async fn an_upstream_that_never_reads_is_bounded_too() {
    let upstream = Manual::listen().await;
    let policy = "policy: { timeouts: { headers: 60s, deadline: 1s } }";
    let gateway = Gateway::start(chain(&[upstream.url()]) + policy).await;
    let begin = Instant::now();
    let (response, mut play) = tokio::join!(gateway.post(CHAT, large()), head_only(&upstream));
    assert_eq!(response.status(), 504, "{}", response.text());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    play.closed().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_an_upload_that_is_stuck() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    let request = post(CHAT, large());
    let ((), mut play) = tokio::join!(client.send(&request), head_only(&upstream));
    client.leave();
    play.closed().await;
    gateway.client_gone().await;
}
