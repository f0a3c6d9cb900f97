//! A slow client slows the upstream down; nothing piles up in between.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::*;

const TOTAL_BYTES: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn a_client_that_does_not_read_blocks_the_upstream() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "policy: { timeouts: { idle: 60s } }").await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    let before = gateway.memory_bytes("VmRSS");
    let mut sent = delta("first");
    play.send(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {TOTAL_BYTES}\r\n\r\n{sent}"
    ))
    .await;
    sent.clear();
    let piece = delta(&"x".repeat(60_000));
    let tail = finish() + DONE;
    let mut left = TOTAL_BYTES - delta("first").len();
    // Comments fill what no whole event fits into.
    let mut script = Vec::with_capacity(left);
    while left > piece.len() + tail.len() + 3 {
        script.extend_from_slice(piece.as_bytes());
        left -= piece.len();
    }
    script.extend_from_slice(format!(":{}\n\n", "c".repeat(left - tail.len() - 3)).as_bytes());
    script.extend_from_slice(tail.as_bytes());
    // Blocked: nothing more is taken for a while.
    let mut accepted = 0;
    while let Ok(taken) = timeout(Duration::from_millis(700), play.http.send_some(&script[accepted..])).await {
        accepted += taken.expect("the gateway is still there");
        assert!(
            accepted < script.len(),
            "the gateway took all of {TOTAL_BYTES} bytes for a client that reads none"
        );
    }
    let peak = gateway.memory_bytes("VmHWM");
    assert!(
        peak.saturating_sub(before) < 24 * 1024 * 1024,
        "from {before} to {peak} bytes of memory"
    );
    // And nothing is lost once the client reads.
    let (response, ()) = tokio::join!(client.response(), play.send(&script[accepted..]));
    assert_eq!((response.end, response.body.len()), (End::Clean, TOTAL_BYTES));
    assert!(response.body.ends_with(tail.as_bytes()) && response.body[delta("first").len()..] == script[..]);
    let peak = gateway.memory_bytes("VmHWM");
    assert!(
        peak.saturating_sub(before) < 24 * 1024 * 1024,
        "from {before} to {peak} bytes of memory"
    );
}
