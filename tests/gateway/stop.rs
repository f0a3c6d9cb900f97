//! SIGTERM: what runs may finish, nothing new begins, and the process ends as soon as it can.

use std::time::{Duration, Instant};

use crate::support::*;

/// Much less than the default `drain` of ten minutes.
const PROMPT: Duration = Duration::from_secs(8);

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let mut gateway = Gateway::start(chain(&[upstream.url()])).await;
    // A kept connection with nothing on it, on either side, holds nobody up.
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    client.response().await;
    let begin = Instant::now();
    gateway.terminate();
    assert_eq!(gateway.end().await.code(), Some(0), "{}", gateway.log.text());
    assert!(begin.elapsed() < PROMPT, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_running_stream_finishes_and_nothing_new_begins() {
    let upstream = Manual::listen().await;
    let mut gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    play.chunk(delta("one")).await;
    client.head().await;
    client.until("one").await;
    gateway.terminate();
    soon("new connections to be refused", async {
        while Client::try_connect(&gateway.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    play.chunk(delta("two")).await;
    client.until("two").await;
    assert!(gateway.exited().is_none(), "a stream still runs");
    play.chunk(finish() + DONE).await;
    play.finish().await;
    assert_eq!(client.rest_of_stream().await, (finish() + DONE, End::Clean));
    let begin = Instant::now();
    assert_eq!(gateway.end().await.code(), Some(0), "{}", gateway.log.text());
    assert!(
        begin.elapsed() < PROMPT,
        "it ends as soon as nothing is in flight: {:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_request_without_an_answer_yet_finishes_too() {
    let upstream = Manual::listen().await;
    let mut gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = upstream.request().await;
    gateway.terminate();
    soon("new connections to be refused", async {
        while Client::try_connect(&gateway.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    play.answer(&Answer::json(200, completion("well"))).await;
    let response = client.response().await;
    assert_eq!(
        (response.status(), response.text(), response.end),
        (200, completion("well"), End::Clean)
    );
    assert_eq!(gateway.end().await.code(), Some(0));
}

#[tokio::test]
async fn drain_is_the_longest_it_waits() {
    let upstream = Upstream::always(Answer::sse([delta("one")]).then(Ending::Stall)).await;
    let mut gateway = Gateway::start(chain(&[upstream.url()]) + "server: { drain: 1s }").await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    client.head().await;
    client.until("one").await;
    let begin = Instant::now();
    gateway.terminate();
    let status = gateway.end().await;
    assert!(
        begin.elapsed() >= Duration::from_millis(900) && begin.elapsed() < PROMPT,
        "{status} after {:?}:\n{}",
        begin.elapsed(),
        gateway.log.text()
    );
    let (_, end) = client.rest_of_stream().await;
    assert_ne!(end, End::Clean, "a stream that was cut never looks complete");
    upstream.left().await;
}

#[tokio::test]
async fn a_stop_right_after_the_start_is_a_stop_like_any_other() {
    for _ in 0..10 {
        let mut gateway = Gateway::start(chain(&["http://127.0.0.1:9"])).await;
        gateway.terminate();
        let status = gateway.end().await;
        assert_eq!(status.code(), Some(0), "{status}\n{}", gateway.log.text());
    }
}
