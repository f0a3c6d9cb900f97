//! Websockets: after the switch both ways stay open for as long as somebody wants them.

use std::time::Duration;

use crate::support::manual::Play;
use crate::support::pki::Pki;
use crate::support::*;

const ASK: &str = "GET /v1/realtime HTTP/1.1\r\nhost: g\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn passthrough(url: &str, timeouts: &str) -> String {
    format!(
        "upstreams: {{ a: {{ url: \"{url}/v1\", max_inflight: 1 }} }}\nroutes: {{ m: [a] }}\n\
         policy: {{ timeouts: {{ {timeouts} }} }}\nserver: {{ passthrough: a, client_timeout: 300ms }}\n"
    )
}

/// A client and an upstream that have switched protocols, with these bytes right behind the header.
async fn switched(gateway: &Gateway, upstream: &Manual, behind: &str) -> (Client, Play) {
    let mut client = gateway.client().await;
    client.send(ASK).await;
    let mut play = upstream.accept().await;
    let head = play.head().await;
    assert_eq!(
        (
            head.header("upgrade"),
            head.header("connection"),
            head.header("sec-websocket-version")
        ),
        (Some("websocket"), Some("upgrade"), Some("13"))
    );
    play.send(format!("{SWITCH}{behind}")).await;
    let head = client.head().await;
    assert_eq!(
        (head.status(), head.header("upgrade")),
        (101, Some("WebSocket")),
        "{head:?}"
    );
    assert!(head.header("sec-websocket-accept").is_some(), "{head:?}");
    (client, play)
}

/// What `http` gives next, which is to be these bytes.
async fn says(http: &mut http1::Http1, expected: &str) {
    let bytes = soon("the other side's words", http.exactly(expected.len())).await;
    assert_eq!(String::from_utf8_lossy(&bytes.unwrap()), expected);
}

#[tokio::test]
async fn silence_longer_than_every_clock_ends_nothing() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(
        &upstream.url(),
        "headers: 200ms, idle: 200ms, deadline: 1s",
    ))
    .await;
    let (mut client, mut play) = switched(&gateway, &upstream, "hello").await;
    says(&mut client.http, "hello").await;
    for round in 0..2 {
        // Longer than the clocks, which must not fire.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        client.send(format!("ping {round}")).await;
        says(&mut play.http, &format!("ping {round}")).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        play.send(format!("pong {round}")).await;
        says(&mut client.http, &format!("pong {round}")).await;
    }
}

#[tokio::test]
async fn whoever_closes_closes_both() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "headers: 20s")).await;
    let (mut client, mut play) = switched(&gateway, &upstream, "").await;
    play.send("bye").await;
    drop(play);
    says(&mut client.http, "bye").await;
    client.closed().await;

    // The place is free again: the upstream takes one at a time.
    let (mut client, mut play) = switched(&gateway, &upstream, "").await;
    client.send("bye").await;
    client.leave();
    says(&mut play.http, "bye").await;
    play.closed().await;
    drop(play);
    let sent = |line: &serde_json::Value| line["msg"] == "access" && line["bytes_in"] == 3;
    gateway.log.line("the access of the one who left", sent).await;
    switched(&gateway, &upstream, "").await;
    let access = gateway.log.json();
    let outcomes: Vec<_> = access
        .iter()
        .filter(|line| line["msg"] == "access")
        .map(|line| &line["outcome"])
        .collect();
    assert!(outcomes.iter().all(|outcome| *outcome == "ok"), "{outcomes:?}");
}

#[tokio::test]
async fn much_passes_both_ways_at_once() {
    const BYTES: usize = 8 << 20;
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "headers: 20s, idle: 20s")).await;
    let (mut client, mut play) = switched(&gateway, &upstream, "").await;
    let (up, down) = ("u".repeat(BYTES), "d".repeat(BYTES));
    let (mut from_client, mut from_upstream) = (up.as_bytes(), down.as_bytes());
    let (mut at_client, mut at_upstream) = (0, 0);
    // Either end sends and reads as it can.
    let client_side = async {
        while at_client < BYTES || !from_client.is_empty() {
            exchange(&mut client.http, &mut from_client, &mut at_client).await;
        }
    };
    let upstream_side = async {
        while at_upstream < BYTES || !from_upstream.is_empty() {
            exchange(&mut play.http, &mut from_upstream, &mut at_upstream).await;
        }
    };
    soon("all of it", async { tokio::join!(client_side, upstream_side) }).await;
    assert_eq!((at_client, at_upstream), (BYTES, BYTES));
}

/// One write or one read, whichever is possible.
async fn exchange(http: &mut http1::Http1, to_send: &mut &[u8], read: &mut usize) {
    const PIECE: usize = 64 * 1024;
    let piece = &to_send[..to_send.len().min(PIECE)];
    if piece.is_empty() {
        *read += http.some().await.unwrap().len();
        return;
    }
    match tokio::time::timeout(Duration::from_millis(5), http.send_some(piece)).await {
        Ok(sent) => *to_send = &to_send[sent.unwrap()..],
        Err(_) => *read += http.some().await.unwrap().len(),
    }
}

#[tokio::test]
async fn a_handshake_that_is_refused_is_an_answer() {
    let upstream = Upstream::always(Answer::json(401, error("no such key", "invalid_request_error", None))).await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "headers: 20s")).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client.send(ASK).await;
        let response = client.response().await;
        assert_eq!(
            (response.status(), response.header("x-gateway-upstream")),
            (401, Some("a"))
        );
    }
}

#[tokio::test]
async fn a_handshake_speaks_http_1_where_http_2_is_offered_too() {
    let pki = Pki::new();
    let refusal = Answer::json(401, error("no such key", "invalid_request_error", None));
    let upstream = Upstream::always_over_tls(refusal, pki.acceptor(&["h2", "http/1.1"])).await;
    let yaml = passthrough(&upstream.url(), "headers: 20s").replace(
        "max_inflight: 1",
        &format!("tls: {{ ca: \"{}\" }}", pki.ca_file().display()),
    );
    let gateway = Gateway::start(yaml).await;
    assert_eq!(gateway.exchange(ASK).await.status(), 401);
    assert_eq!(upstream.only_request().head.start_line, "GET /v1/realtime HTTP/1.1");
}

#[tokio::test]
async fn a_switch_to_something_else_is_no_answer() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "headers: 20s")).await;
    let playing = async {
        let mut play = upstream.accept().await;
        play.head().await;
        play.send(SWITCH.replace("WebSocket", "h2c")).await;
        play.closed().await;
    };
    let (response, ()) = tokio::join!(gateway.exchange(ASK), playing);
    assert_eq!(response.status(), 502, "{}", response.text());
    assert_eq!(response.header("upgrade"), None);
}

#[tokio::test]
async fn silence_before_the_switch_is_bounded() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "headers: 300ms")).await;
    let playing = async {
        let mut play = upstream.accept().await;
        play.head().await;
        play.closed().await;
    };
    let (response, ()) = tokio::join!(gateway.exchange(ASK), playing);
    assert_eq!(response.status(), 504, "{}", response.text());
    assert_eq!(response.ledger()[0].class.as_deref(), Some("timeout"));
}
