//! The same target again: how long to wait, how often, and when not at all.

use std::time::{Duration, Instant};

use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

fn limited(header: &str, value: &str) -> Answer {
    Answer::json(429, error("slow down", "requests", Some("rate_limit_exceeded"))).header(header, value)
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for() {
    for (header, value, least_ms) in [("retry-after", "1", 1000), ("retry-after-ms", "300", 300)] {
        let upstream = Upstream::answering([limited(header, value), well()]).await;
        let other = Upstream::always(well()).await;
        let gateway = Gateway::start(chain(&[upstream.url(), other.url()])).await;
        let begin = Instant::now();
        let response = gateway.post(CHAT, chat("m")).await;
        assert!(
            begin.elapsed() >= Duration::from_millis(least_ms),
            "{header}: {value} was waited for"
        );
        assert_eq!(response.header("x-gateway-upstream"), Some("a"), "{header}");
        assert_eq!((upstream.requests().len(), other.connections()), (2, 0));
    }
}

#[tokio::test]
async fn a_long_retry_after_is_not() {
    for value in ["30", "Thu, 31 Dec 2099 23:59:59 GMT"] {
        let upstream = Upstream::always(limited("retry-after", value)).await;
        let other = Upstream::always(well()).await;
        let gateway = Gateway::start(chain(&[upstream.url(), other.url()])).await;
        let begin = Instant::now();
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(response.header("x-gateway-upstream"), Some("b"), "retry-after: {value}");
        assert!(begin.elapsed() < Duration::from_secs(3), "max_wait was not waited for");
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn all_attempts_share_one_budget() {
    let mut upstreams = Vec::new();
    for _ in 0..4 {
        upstreams.push(Upstream::always(Answer::json(500, "{}")).await);
    }
    let urls: Vec<String> = upstreams.iter().map(Upstream::url).collect();
    let policy = "policy: { retry: { attempts: 5, backoff: 1ms, max_backoff: 2ms } }";
    let gateway = Gateway::start(chain(&urls) + policy).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!((response.status(), response.ledger().len()), (500, 5));
    let asked: Vec<usize> = upstreams.iter().map(|upstream| upstream.requests().len()).collect();
    assert_eq!(asked, [2, 2, 1, 0]);
}

#[tokio::test]
async fn a_client_that_retries_by_itself_is_not_multiplied() {
    let broken = Upstream::always(Answer::json(500, "{}")).await;
    let good = Upstream::always(well()).await;
    let policy = "policy: { retry: { backoff: 1ms, max_backoff: 2ms } }";
    let gateway = Gateway::start(chain(&[broken.url(), good.url()]) + policy).await;
    let response = gateway
        .exchange(post_with(CHAT, "x-stainless-retry-count: 1\r\n", chat("m")))
        .await;
    assert_eq!(
        (response.status(), broken.requests().len(), good.requests().len()),
        (200, 1, 1)
    );
}

#[tokio::test]
async fn a_request_that_has_just_failed_everywhere_is_not_tried_twice_at_each_target() {
    let broken = Upstream::always(Answer::json(500, error("boom", "server_error", None))).await;
    let policy = "policy: { retry: { same_target: 1, backoff: 1ms, max_backoff: 2ms }, cooldown: { after: 0 } }";
    let gateway = Gateway::start(chain(&[broken.url()]) + policy).await;
    let mut attempts = Vec::new();
    for body in [chat("m"), chat("m"), chat_stream("m"), chat("m")] {
        let response = gateway.post(CHAT, body).await;
        assert_eq!(response.status(), 500);
        attempts.push(response.ledger().len());
    }
    assert_eq!(attempts, [2, 1, 2, 1]);
}
