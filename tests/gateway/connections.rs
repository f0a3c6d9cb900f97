//! The connections of clients: how long they may be idle, how many there may be, and what a header may take.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::h2_client::{self, H2Client, body_and_end};
use crate::support::pki::Pki;
use crate::support::recorded::Recording;
use crate::support::*;

/// So short that a test can wait for it; what must not be closed by it is silent for longer.
const IDLE: &str = "server: { idle: 500ms }";
const LONGER_THAN_IDLE: Duration = Duration::from_millis(1500);

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

async fn answered(client: &mut Client) {
    client.send(post(CHAT, chat("m"))).await;
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn an_idle_connection_closes_whatever_came_before_on_it() {
    let upstream = Upstream::always(well()).await;
    for setup in [
        Setup::new(chain(&[upstream.url()]) + IDLE),
        Setup::new(chain(&[upstream.url()]) + IDLE).unix(),
    ] {
        let gateway = setup.start().await;
        for requests in [0, 1, 2] {
            let mut client = gateway.client().await;
            for _ in 0..requests {
                answered(&mut client).await;
            }
            client.closed().await;
        }
    }
}

#[tokio::test]
async fn a_connection_in_use_is_not_idle() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "server: { idle: 2s }").await;
    let mut client = gateway.client().await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        answered(&mut client).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_silent_stream_is_not_idle() {
    let pki = Pki::new();
    let upstream = Manual::listen().await;
    let setup = Setup::new(chain(&[upstream.url()]) + IDLE).tls(&pki);
    let gateway = setup.start().await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    let asking = client.post(CHAT, chat_stream("m"));
    let answering = async {
        let (mut play, ..) = upstream.request().await;
        play.begin_sse().await;
        play.chunk(delta("one")).await;
        play
    };
    let (mut response, mut play) = tokio::join!(asking, answering);
    tokio::time::sleep(LONGER_THAN_IDLE).await;
    play.chunk(delta("two") + &finish() + DONE).await;
    play.finish().await;
    let (body, end) = body_and_end(response.body_mut()).await;
    assert!(
        String::from_utf8_lossy(&body).contains("two") && end.is_none(),
        "{end:?}"
    );
    // And over HTTP/1.
    let plain = Gateway::start(chain(&[upstream.url()]) + IDLE).await;
    let mut client = plain.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    tokio::time::sleep(LONGER_THAN_IDLE).await;
    play.begin_sse().await;
    play.chunk(delta("one") + &finish() + DONE).await;
    play.finish().await;
    assert_eq!(client.response().await.end, End::Clean);
}

#[tokio::test]
async fn an_idle_http_2_connection_is_told_to_go() {
    let pki = Pki::new();
    let upstream = Upstream::always(well()).await;
    for tls in [true, false] {
        let setup = Setup::new(chain(&[upstream.url()]) + IDLE);
        let gateway = if tls { setup.tls(&pki) } else { setup.h2c() }.start().await;
        let recording = Recording::default();
        let mut client = if tls {
            H2Client::over(recording.of(h2_client::tls(&gateway, &pki, &["h2"]).await)).await
        } else {
            H2Client::over(recording.of(h2_client::plain(&gateway).await)).await
        };
        assert_eq!(client.post(CHAT, chat("m")).await.status(), 200);
        // GOAWAY without an error, then the close, which the client's own farewell may come too late for.
        let _ = client.ended().await;
        let goaways = recording.goaways();
        assert!(
            !goaways.is_empty() && goaways.iter().all(|code| *code == 0),
            "{goaways:?}"
        );
    }
}

#[tokio::test]
async fn a_client_of_http_2_that_never_speaks_is_left() {
    let pki = Pki::new();
    let upstream = Upstream::always(well()).await;
    let yaml = chain(&[upstream.url()]) + "server: { idle: 60s, client_timeout: 300ms }";
    let gateway = Setup::new(yaml).tls(&pki).start().await;
    let stream = crate::support::h2_client::tls(&gateway, &pki, &["h2"]).await;
    let mut http = crate::support::http1::Http1::over(stream);
    soon("the gateway to leave", http.closed()).await;
}

#[tokio::test]
async fn a_header_that_drips_is_cut_in_time() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "server: { client_timeout: 500ms }").await;
    for first in [true, false] {
        let mut client = gateway.client().await;
        if !first {
            answered(&mut client).await;
        }
        let begin = Instant::now();
        let dripping = async {
            for byte in post_with(CHAT, &format!("x-long: {}\r\n", "h".repeat(4000)), chat("m")).chunks(1) {
                if client.http.send(byte).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                if begin.elapsed() > Duration::from_secs(2) {
                    break;
                }
            }
        };
        dripping.await;
        let response = client.response().await;
        assert_eq!(response.status(), 408, "{}", response.text());
        let line = gateway.access(&response.id()).await;
        assert_eq!(
            (&line["outcome"], &line["status"]),
            (&"gateway_error".into(), &408.into())
        );
        assert!(
            line["ms"].as_u64().is_some_and(|ms| ms >= 400),
            "it counts from the first byte: {line}"
        );
        client.closed().await;
    }
}

#[tokio::test]
async fn a_header_is_bounded_in_bytes() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let large = |name: &str, bytes: usize| post_with(CHAT, &format!("{name}: {}\r\n", "h".repeat(bytes)), chat("m"));
    assert_eq!(gateway.exchange(large("x-long", 30 << 10)).await.status(), 200);
    for (request, status) in [
        (large("x-long", 33 << 10), 431),
        (post(&format!("{CHAT}?q={}", "q".repeat(65 << 10)), chat("m")), 414),
        (
            format!("GET /v1/models HTTP/1.1\r\nhost: g\r\n{}\r\n", "a: b\r\n".repeat(300)).into_bytes(),
            431,
        ),
        // Never ended at all.
        (format!("GET /{}", "p".repeat(1 << 20)).into_bytes(), 414),
    ] {
        let mut client = gateway.client().await;
        let _ = client.http.send(&request).await;
        let response = client.response().await;
        assert_eq!(response.status(), status, "{}", response.text());
        assert_eq!(gateway.access(&response.id()).await["status"], status);
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "server: { connections: 8 }").await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = gateway.client().await;
        answered(&mut client).await;
        clients.push(client);
        // The gateway calls a connection idle a moment after its client has its answer.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut first = clients.remove(0);
    let mut one_more = gateway.client().await;
    answered(&mut one_more).await;
    first.closed().await;
    for client in &mut clients {
        answered(client).await;
    }
}

#[tokio::test]
async fn where_none_is_idle_a_connection_is_refused_in_words() {
    let upstream = Upstream::always(Answer::hang()).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "server: { connections: 4 }").await;
    let mut clients = Vec::new();
    for n in 0..4 {
        let mut client = gateway.client().await;
        client.send(post(CHAT, chat("m"))).await;
        upstream.request(n).await;
        clients.push(client);
    }
    let refused = gateway.post(CHAT, chat("m")).await;
    assert_eq!((refused.status(), &refused.end), (503, &End::Clean));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["error"]["code"], "too_many_connections");
    gateway
        .log
        .line("that there is no room", |line| {
            line["level"] == "warn" && line["connections"] == 4
        })
        .await;
    clients.pop();
    upstream.left().await;
    // There is room again, as soon as the gateway has seen it.
    soon("room", async {
        while gateway.get("/v1/models").await.status() != 200 {}
    })
    .await;
}

/// Resident bytes for each of many idle connections.
async fn bytes_each(gateway: &Gateway, connections: usize) -> usize {
    let mut warm = gateway.client().await;
    answered(&mut warm).await;
    let before = gateway.memory_bytes("VmRSS");
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = gateway.client().await;
        answered(&mut client).await;
        clients.push(client);
    }
    let after = gateway.memory_bytes("VmRSS");
    after.saturating_sub(before) / connections
}

#[tokio::test]
async fn an_idle_connection_costs_little_memory() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let bytes = bytes_each(&gateway, 1500).await;
    assert!(bytes <= 16 * 1024, "{bytes} bytes for each");
}

#[tokio::test]
async fn a_vanished_client_is_asked_whether_it_is_there() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    answered(&mut client).await;
    // `ss -o` is not everywhere; the kernel's own table shows the timer: 2 is keepalive.
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux tells it");
    let Address::Tcp(address) = &gateway.address else {
        unreachable!("it listens on a port")
    };
    let local = format!(":{:04X}", address.port());
    let timers: Vec<&str> = table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (near, _, state) = (fields.next()?, fields.next()?, fields.next()?);
            (near.ends_with(&local) && state == "01").then(|| fields.nth(1))?
        })
        .collect();
    assert!(
        !timers.is_empty() && timers.iter().all(|timer| timer.starts_with("02:")),
        "{timers:?}"
    );
    let upstream_port = format!(":{:04X}", upstream.address.port());
    let to_upstream = table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(2);
        let (far, state) = (fields.next()?, fields.next()?);
        (far.ends_with(&upstream_port) && state == "01").then(|| fields.nth(1))?
    });
    assert!(
        to_upstream.is_some_and(|timer| timer.starts_with("02:")),
        "{to_upstream:?}"
    );
}

/// The access line of a refusal, by its id.
async fn refused(gateway: &Gateway, request: impl AsRef<[u8]>, status: u16) -> Value {
    let mut client = gateway.client().await;
    client.send(request).await;
    let response = client.response().await;
    assert_eq!(response.status(), status, "{}", response.text());
    assert_eq!(
        response.json()["error"]["code"].as_str().map(str::is_empty),
        Some(false)
    );
    client.closed().await;
    gateway.access(&response.id()).await
}

#[tokio::test]
async fn broken_http_is_refused_with_an_id_and_logged() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let body = chat("m");
    let with = |fields: &str| format!("POST {CHAT} HTTP/1.1\r\n{fields}\r\n\r\n{body}");
    let length = body.len();
    for fields in [
        format!("content-length: {length}"),
        format!("host: a\r\nhost: a\r\ncontent-length: {length}"),
        format!("host: a b\r\ncontent-length: {length}"),
        format!("host: a\r\ncontent-length: {length}, {length}"),
        format!("host: a\r\ncontent-length: {length}\r\ncontent-length: {length}"),
        format!("host: a\r\ncontent-length: +{length}"),
        format!("host: a\r\ncontent-length : {length}"),
        format!("host: a\r\nx: a\0b\r\ncontent-length: {length}"),
        format!("host: a\r\nx: a\r\n b\r\ncontent-length: {length}"),
        format!("host: a\ncontent-length: {length}"),
        "host: a\r\ntransfer-encoding: chunked, identity".to_owned(),
        "host: a\r\ntransfer-encoding: xchunked".to_owned(),
        format!("host: a\r\ntransfer-encoding: chunked\r\ncontent-length: {length}"),
    ] {
        let line = refused(&gateway, with(&fields), 400).await;
        assert_eq!(
            (&line["outcome"], &line["path"]),
            (&"gateway_error".into(), &CHAT.into()),
            "{fields:?}"
        );
    }
    let old = format!("POST {CHAT} HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    refused(&gateway, old, 400).await;
    refused(&gateway, "hello there\r\n\r\n", 400).await;
    refused(&gateway, b"\x16\x03\x01\x02\x00\x01\x00", 400).await;
    refused(&gateway, "GET / HTTP/3.0\r\nhost: a\r\n\r\n", 505).await;
    refused(&gateway, "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 405).await;
    assert_eq!(upstream.connections(), 0, "nothing is forwarded");
}

#[tokio::test]
async fn chunks_are_read_strictly() {
    let upstream = Upstream::always(well()).await;
    let yaml = chain(&[upstream.url()]) + "server: { passthrough: a }";
    let gateway = Gateway::start(yaml).await;
    let body = chat("m");
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
    };
    let size = body.len();
    for chunks in [
        format!("\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("{size:x}\n{body}\r\n0\r\n\r\n"),
        format!("{size:x}\r\n{body}\n0\r\n\r\n"),
        format!("0x{size:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("{size:x}\r\n{body}\r\n0\r\nno trailer\r\n\r\n"),
        format!("{size:x}\r\n{body}\r\n0\r\na: b\n\r\n"),
    ] {
        let response = gateway.exchange(head(CHAT) + &chunks).await;
        assert_eq!(response.status(), 400, "{chunks:?}: {}", response.text());
        assert_eq!(response.json()["error"]["code"], "malformed_request", "{chunks:?}");
    }
    assert_eq!(upstream.connections(), 0, "nothing is forwarded");
    // An upload is passed on as it comes, and is refused where it turns out to be none.
    let upload = "POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    let response = gateway
        .exchange(upload + &format!("{size:x}\r\n{body}\r\nxyz\r\n"))
        .await;
    assert_eq!(response.status(), 400, "{}", response.text());
    assert_eq!(gateway.access(&response.id()).await["outcome"], "gateway_error");
    // As it should be: with an extension, a trailer, and the next request right behind it.
    let served = upstream.requests().len();
    let good = head(CHAT) + &format!("{size:X};a=b\r\n{body}\r\n0\r\nx-sum: 1\r\n\r\n");
    let mut client = gateway.client().await;
    client.send([good.as_bytes(), &post(CHAT, chat("m"))].concat()).await;
    for _ in 0..2 {
        assert_eq!(client.response().await.status(), 200);
    }
    assert_eq!(upstream.requests()[served].text(), body);
}
