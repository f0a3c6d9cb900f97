//! The tools themselves: an upstream that can't do what its script says would prove nothing.

use std::time::Duration;

use crate::support::answer::{Answer, Ending};
use crate::support::client::{Client, End, post};
use crate::support::gateway::Address;
use crate::support::http1::{Framing, Http1};
use crate::support::manual::Manual;
use crate::support::payload::{CHAT, DONE, chat, delta, stream_of};
use crate::support::soon;
use crate::support::upstream::{Upstream, refusing_port};

async fn to(upstream: &Upstream) -> Client {
    Client::connect(&Address::Tcp(upstream.address)).await
}

#[tokio::test]
async fn a_script_is_answered_in_order_and_written_down() {
    let upstream = Upstream::answering([
        Answer::json(429, "{}").header("retry-after", "1"),
        Answer::sse(stream_of("hi")).informational(103, "link: </x>"),
    ])
    .await;
    let mut client = to(&upstream).await;
    client.send(post(CHAT, chat("one"))).await;
    let first = client.response().await;
    assert_eq!(
        (first.status(), first.header("Retry-After"), &first.end),
        (429, Some("1"), &End::Clean)
    );
    client.send(post(CHAT, chat("two"))).await;
    let second = client.response().await;
    assert_eq!(second.text(), stream_of("hi").concat());
    assert_eq!(second.interim.len(), 1);
    assert_eq!(second.interim[0].status(), 103);
    let requests = upstream.requests();
    assert_eq!(requests[0].model(), "one");
    assert_eq!(requests[1].text(), chat("two"));
    assert_eq!((requests[0].method(), requests[0].target()), ("POST", CHAT));
    assert_eq!((requests[1].connection, upstream.connections()), (0, 1));
}

#[tokio::test]
async fn every_broken_ending_is_seen_as_broken() {
    let stream = Answer::sse([delta("hi")]);
    for (answer, sent) in [
        (stream.clone().then(Ending::Cut), delta("hi")),
        (stream.clone().then(Ending::Reset), delta("hi")),
        (
            Answer::json(200, "half").then(Ending::Cut).dribbled().dribbled(),
            "half".to_owned(),
        ),
        (Answer::json(200, "half").then(Ending::Reset), "half".to_owned()),
    ] {
        let upstream = Upstream::always(answer).await;
        let mut client = to(&upstream).await;
        client.send(post(CHAT, chat("m"))).await;
        let response = client.response().await;
        assert_eq!(response.text(), sent);
        assert_ne!(response.end, End::Clean);
    }
}

#[tokio::test]
async fn a_close_ends_a_body_without_a_length() {
    let upstream = Upstream::always(Answer::status(200, "old").until_close()).await;
    let mut client = to(&upstream).await;
    client.send(post(CHAT, chat("m"))).await;
    let head = client.head().await;
    assert_eq!(head.start_line, "HTTP/1.0 200 Scripted");
    assert_eq!(head.response_framing(), Framing::UntilClose);
    assert_eq!(client.rest(head, Vec::new()).await.text(), "old");
}

#[tokio::test]
async fn resets_closes_and_refusals_before_an_answer() {
    for answer in [Answer::reset(), Answer::close(), Answer::raw("SSH-2.0\r\n")] {
        let upstream = Upstream::always(answer).await;
        let mut client = to(&upstream).await;
        client.send(post(CHAT, chat("m"))).await;
        assert!(soon("an end", client.http.head()).await.ok().flatten().is_none());
    }
    let address = Address::Tcp(([127, 0, 0, 1], refusing_port().await).into());
    assert!(Client::try_connect(&address).await.is_err());
}

#[tokio::test]
async fn a_peer_that_leaves_is_seen() {
    let upstream = Upstream::always(Answer::hang()).await;
    let mut client = to(&upstream).await;
    client.send(post(CHAT, chat("m"))).await;
    let at = upstream.request(0).await.at;
    client.leave();
    assert!(upstream.left().await.duration_since(at) < Duration::from_secs(10));
}

#[tokio::test]
async fn an_early_answer_comes_before_the_body() {
    let upstream = Upstream::always(Answer::json(413, "{}").early().then(Ending::Close)).await;
    let mut client = to(&upstream).await;
    client
        .send("POST /v1/files HTTP/1.1\r\ncontent-length: 1000000\r\n\r\nhalf")
        .await;
    assert_eq!(client.response().await.status(), 413);
}

#[tokio::test]
async fn a_test_may_play_the_upstream_by_hand() {
    let upstream = Manual::listen().await;
    let address = upstream.url().trim_start_matches("http://").to_owned();
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut client = Client {
        http: Http1::over(socket),
    };
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, _, body) = upstream.request().await;
    assert_eq!(body, chat("m").into_bytes());
    play.begin_sse().await;
    play.chunk(delta("one")).await;
    client.head().await;
    assert_eq!(client.until("one").await, delta("one").into_bytes());
    play.chunk(DONE).await;
    play.finish().await;
    assert_eq!(client.rest_of_stream().await, (DONE.to_owned(), End::Clean));
    client.leave();
    play.closed().await;
}
