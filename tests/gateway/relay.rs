//! Uploads: relayed as they come, each wait with its clock, each on a connection of its own.

use std::time::{Duration, Instant};

use crate::support::h2_client::{H2Client, body_and_end};
use crate::support::h2_upstream::H2Upstream;
use crate::support::manual::Play;
use crate::support::pki::Pki;
use crate::support::*;

const FILES: &str = "/v1/files";
/// Much less than the clocks that must not be the ones to fire.
const SOON: Duration = Duration::from_secs(8);
/// More than loopback's buffers hold.
const LARGE_BYTES: usize = 24 << 20;

/// One upstream, which takes what names no model.
fn passthrough(url: &str, more: &str, timeouts: &str) -> String {
    format!(
        "upstreams: {{ files: {{ url: \"{url}/v1\"{more} }} }}\nroutes: {{ m: [files] }}\n\
         policy: {{ timeouts: {{ {timeouts} }} }}\nserver: {{ passthrough: files, client_timeout: 600ms }}\n"
    )
}

/// The head of an upload of so many bytes.
fn head(bytes: usize) -> String {
    head_with("", &format!("content-length: {bytes}\r\n"))
}

fn head_with(lines: &str, framing: &str) -> String {
    format!("POST {FILES} HTTP/1.1\r\nhost: g\r\ncontent-type: text/plain\r\n{lines}{framing}\r\n")
}

fn upload(body: &str) -> String {
    head(body.len()) + body
}

/// Takes one upload, and plays on.
async fn taken(upstream: &Manual) -> Play {
    upstream.request().await.0
}

#[tokio::test]
async fn a_header_that_drips_is_bounded_as_a_whole() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "answer: 700ms, idle: 20s")).await;
    let dripping = async {
        let mut play = taken(&upstream).await;
        play.send("HTTP/1.1 200 OK\r\nx-drip: ").await;
        let begin = Instant::now();
        // Each byte comes long before any clock of silence would fire.
        while play.http.send(b"x").await.is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(15), "it may drip for ever");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (response, ()) = tokio::join!(gateway.exchange(upload("x")), dripping);
    assert_eq!(response.status(), 504, "{}", response.text());
    let ledger = response.ledger();
    assert_eq!((ledger.len(), ledger[0].class.as_deref()), (1, Some("timeout")));
    gateway.log.says("no response header within the answer clock").await;
}

#[tokio::test]
async fn an_upload_may_last_longer_than_the_headers_clock() {
    let upstream = Upstream::always(Answer::json(200, "{}")).await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "answer: 300ms, idle: 300ms")).await;
    let mut client = gateway.client().await;
    client.send(head(20)).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        client.send("x").await;
    }
    let response = client.response().await;
    assert_eq!((response.status(), response.end), (200, End::Clean));
    assert_eq!(upstream.only_request().text(), "x".repeat(20));
}

#[tokio::test]
async fn a_client_that_falls_silent_frees_its_place() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), ", max_inflight: 1", "connect: 3s")).await;
    let mut silent = gateway.client().await;
    silent.send(head(100) + "half").await;
    let mut play = upstream.accept().await;
    play.head().await;
    let refused = gateway.exchange(upload("x")).await;
    assert_eq!(refused.status(), 503, "{}", refused.text());
    let response = silent.response().await;
    assert_eq!(response.status(), 408, "{}", response.text());
    assert_eq!(response.header("x-gateway-error-origin"), Some("gateway"));
    silent.closed().await;
    play.closed().await;
    let playing = async {
        let mut play = taken(&upstream).await;
        play.answer(&Answer::json(200, "{}")).await;
    };
    let (response, ()) = tokio::join!(gateway.exchange(upload("x")), playing);
    assert_eq!(response.status(), 200, "{}", response.text());
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_is_bounded_too() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "answer: 20s, idle: 500ms")).await;
    let stuck = async {
        let mut play = upstream.accept().await;
        play.head().await;
        play
    };
    let mut client = gateway.client().await;
    let body = head(LARGE_BYTES) + &"x".repeat(LARGE_BYTES);
    let begin = Instant::now();
    let (_, _play) = tokio::join!(client.http.send(body.as_bytes()), stuck);
    let response = client.response().await;
    assert_eq!(response.status(), 504, "{}", response.text());
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    gateway
        .log
        .says("took nothing of the request within the idle clock")
        .await;
}

#[tokio::test]
async fn no_upload_meets_a_connection_that_is_closed_just_then() {
    // Says nothing of it, and closes after each answer.
    let upstream = Upstream::always(Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")).await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "connect: 3s")).await;
    let mut client = gateway.client().await;
    for n in 0..400 {
        client.send(upload("x")).await;
        let response = client.response().await;
        assert_eq!(response.status(), 200, "upload {n}: {}", response.text());
    }
    assert_eq!(upstream.requests().len(), 400);
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_no_answer() {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello";
    let chat_request = post(CHAT, chat("m"));
    for request in [upload("x").into_bytes(), chat_request] {
        let upstream = Manual::listen().await;
        let policy = "answer: 20s } , retry: { attempts: 1";
        let gateway = Gateway::start(passthrough(&upstream.url(), "", policy)).await;
        let playing = async {
            let mut play = taken(&upstream).await;
            play.send(SWITCH).await;
            play.closed().await;
        };
        let begin = Instant::now();
        let (response, ()) = tokio::join!(gateway.exchange(request), playing);
        assert_eq!(response.status(), 502, "{}", response.text());
        assert!(response.interim.is_empty(), "{:?}", response.interim);
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn interim_responses_are_no_attempts_and_bounded() {
    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n";
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "answer: 20s")).await;
    let playing = async {
        let mut play = taken(&upstream).await;
        play.send([CONTINUE, HINT, DONE].concat()).await;
        play
    };
    let (response, _play) = tokio::join!(gateway.exchange(upload("x")), playing);
    assert_eq!((response.status(), response.ledger().len()), (200, 1));
    let hints: Vec<_> = response
        .interim
        .iter()
        .map(|head| (head.status(), head.header("x-hop")))
        .collect();
    assert_eq!(hints, [(103, None)], "the gateway asks for the body itself");
    assert_eq!(response.interim[0].header("link"), Some("</a>; rel=preload"));

    let playing = async {
        let mut play = taken(&upstream).await;
        let flood = HINT.repeat(1000);
        while play.http.send(flood.as_bytes()).await.is_ok() {}
    };
    let (response, ()) = tokio::join!(gateway.exchange(upload("x")), playing);
    assert_eq!(
        (response.status(), response.ledger().len()),
        (502, 1),
        "{}",
        response.text()
    );
    assert!(response.interim.len() <= 16, "{}", response.interim.len());
    assert_eq!(gateway.access(&response.id()).await["attempts"], 1);
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "answer: 20s, idle: 20s")).await;
    let refusal = error("larger than 512 MB", "invalid_request_error", None);
    let playing = async {
        let mut play = upstream.accept().await;
        play.head().await;
        play.answer(&Answer::json(413, refusal.clone()).header("connection", "close"))
            .await;
        play
    };
    let body = "x".repeat(LARGE_BYTES);
    let (response, _play) = tokio::join!(gateway.exchange(upload(&body)), playing);
    assert_eq!((response.status(), response.end), (413, End::Clean));
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_upload() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "answer: 20s, idle: 20s")).await;
    let mut client = gateway.client().await;
    client.send(head(100) + "half").await;
    let mut play = upstream.accept().await;
    play.head().await;
    client.leave();
    play.closed().await;
    gateway.client_gone().await;
}

#[tokio::test]
async fn a_chunked_upload_stays_one() {
    let upstream = Upstream::always(Answer::json(200, "{}").chunked()).await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "answer: 20s")).await;
    let mut client = gateway.client().await;
    client.send(head_with("", "transfer-encoding: chunked\r\n")).await;
    client.send("3\r\nabc\r\n").await;
    client.send("4\r\ndefg\r\n0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(
        (response.status(), response.text().as_str(), response.end),
        (200, "{}", End::Clean)
    );
    let got = upstream.only_request();
    assert_eq!(
        (got.text().as_str(), got.header("transfer-encoding")),
        ("abcdefg", Some("chunked"))
    );
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_is_asked() {
    let upstream = Upstream::always(Answer::json(200, "{}")).await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "answer: 20s")).await;
    let mut client = gateway.client().await;
    client
        .send(head_with("expect: 100-continue\r\n", "content-length: 4\r\n"))
        .await;
    assert_eq!(client.head().await.status(), 100);
    client.send("body").await;
    assert_eq!(client.response().await.status(), 200);
    let got = upstream.only_request();
    assert_eq!((got.text().as_str(), got.header("expect")), ("body", None));
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    let upstream = Upstream::always(Answer::json(200, "{").then(Ending::Cut)).await;
    let gateway = Gateway::start(passthrough(&upstream.url(), "", "answer: 20s")).await;
    let response = gateway.exchange(upload("x")).await;
    assert_eq!(response.status(), 200);
    assert!(matches!(response.end, End::Aborted(_)), "{:?}", response.end);
    assert_eq!(gateway.access(&response.id()).await["outcome"], "broken");
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_told_of_in_an_answer() {
    let url = format!("http://127.0.0.1:{}", refusing_port().await);
    let gateway = Gateway::start(passthrough(&url, "", "connect: 3s")).await;
    let body = "x".repeat(LARGE_BYTES);
    let response = gateway.exchange(upload(&body)).await;
    assert_eq!(
        (response.status(), response.end.clone()),
        (502, End::Clean),
        "{}",
        response.text()
    );
    assert_eq!(response.ledger()[0].class.as_deref(), Some("connect"));
    gateway.log.says("connection refused").await;
}

#[tokio::test]
async fn an_upload_takes_the_second_address_where_the_first_refuses() {
    let Some(names) = Nameserver::silent().await else {
        return;
    };
    let port = refusing_port().await;
    let upstream = Upstream::always_at(([127, 0, 0, 2], port).into(), Answer::json(200, "{}")).await;
    names.say("up.test", &["127.0.0.1", "127.0.0.2"]);
    let yaml = passthrough(&format!("http://up.test:{port}"), "", "connect: 15s");
    let gateway = Setup::new(yaml)
        .names(Nameserver::conf(&[&names], "timeout:5"))
        .start()
        .await;
    let response = gateway.exchange(upload("x")).await;
    assert_eq!(
        (response.status(), response.ledger().len()),
        (200, 1),
        "{}",
        response.text()
    );
    assert_eq!(upstream.only_request().text(), "x");
}

#[tokio::test]
async fn an_upload_passes_over_http_2_on_both_sides() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let tls = format!(", tls: {{ ca: \"{}\" }}", pki.ca_file().display());
    let yaml = passthrough(&upstream.url(), &tls, "answer: 20s, idle: 20s");
    let gateway = Setup::new(yaml).tls(&pki).start().await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    // More than the windows of either side hold.
    let body = "x".repeat(3 << 20);
    for _ in 0..2 {
        let serving = async {
            let mut exchange = upstream.exchange().await;
            let got = exchange.body().await;
            let framing = exchange.request.headers().get("transfer-encoding").cloned();
            exchange.json(200, "{}");
            (got, framing)
        };
        let (mut response, (got, framing)) =
            tokio::join!(client.post_as(FILES, "text/plain", &[], body.clone()), serving);
        assert_eq!((response.status().as_u16(), framing), (200, None));
        assert!(got == body.as_bytes(), "{} bytes", got.len());
        assert_eq!(body_and_end(response.body_mut()).await, (b"{}".to_vec(), None));
    }
}
