//! Clients that take their answer slowly, or not at all.

use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

use crate::support::gateway::Address;
use crate::support::h2_client::{H2Client, body_and_end};
use crate::support::manual::Play;
use crate::support::pki::Pki;
use crate::support::*;

/// More than the kernel holds for both ends of a connection, so that the gateway has to wait for the client.
const TOTAL_BYTES: usize = 24 * 1024 * 1024;
/// Receiving a request may take no longer; the pauses below are longer.
const QUICK: &str = "server: { client_timeout: 300ms }\npolicy: { timeouts: { idle: 60s } }";
const PAUSE: Duration = Duration::from_millis(700);

#[tokio::test]
async fn a_client_that_pauses_gets_all_of_its_answer() {
    let answer = completion(&"x".repeat(TOTAL_BYTES));
    let upstream = Upstream::always(Answer::json(200, answer.clone())).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + QUICK).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let head = client.head().await;
    sleep(PAUSE).await;
    let mut body = Vec::new();
    while body.len() < TOTAL_BYTES / 2 {
        body.extend(client.http.some().await.expect("the gateway is still there"));
    }
    sleep(PAUSE).await;
    while body.len() < answer.len() {
        let some = soon("more of the answer", client.http.some()).await.expect("no reset");
        assert!(!some.is_empty(), "cut after {} bytes", body.len());
        body.extend(some);
    }
    assert!(body == answer.into_bytes(), "not a byte differs");
    let id = head.header("x-gateway-request-id").unwrap();
    assert_eq!(gateway.access(id).await["outcome"], "ok");
}

#[tokio::test]
async fn an_http_2_client_that_pauses_gets_all_of_its_answer() {
    let pki = Pki::new();
    let upstream = Upstream::always(Answer::json(200, completion(&"x".repeat(1 << 20)))).await;
    let gateway = Setup::new(chain(&[upstream.url()]) + QUICK).tls(&pki).start().await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    let mut response = client.post(CHAT, chat("m")).await;
    // The stream's window is full, and stays so.
    sleep(PAUSE).await;
    let (body, end) = body_and_end(response.body_mut()).await;
    assert_eq!((body.len(), end), (completion(&"x".repeat(1 << 20)).len(), None));
}

/// Sends an endless answer until the gateway leaves.
async fn send_without_end(mut play: Play) {
    play.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999999999\r\n\r\n")
        .await;
    let events = delta(&"x".repeat(60_000));
    soon("the gateway to leave the upstream", async {
        while play.http.send(events.as_bytes()).await.is_ok() {}
    })
    .await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "server: { send_timeout: 300ms }").await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    send_without_end(upstream.request().await.0).await;
    gateway.client_gone().await;
    let read = client.response().await;
    assert_ne!(read.end, End::Clean, "{} bytes", read.body.len());
}

#[tokio::test]
async fn an_http_2_client_that_takes_nothing_is_left() {
    let pki = Pki::new();
    let upstream = Manual::listen().await;
    let yaml = chain(&[upstream.url()]) + "server: { send_timeout: 300ms }";
    let gateway = Setup::new(yaml).tls(&pki).start().await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    let asking = client.post(CHAT, chat_stream("m"));
    let (response, ()) = tokio::join!(asking, async { send_without_end(upstream.request().await.0).await });
    let id = response.headers()["x-gateway-request-id"].to_str().unwrap().to_owned();
    assert_eq!(gateway.access(&id).await["outcome"], "client_gone");
    // Its other streams are not affected.
    assert_eq!(client.post(CHAT, "{}").await.status(), 400);
}

/// How long a client may take nothing, below.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
const SIP: &str = "server: { send_timeout: 1s }\npolicy: { timeouts: { idle: 60s } }";
/// Of what the kernel holds for a client that sips, so that the gateway's end hears of each few KiB that it takes.
const SIP_BUFFER_BYTES: u32 = 8 * 1024;

/// Asks on a connection for which the kernel holds little, and then takes a few bytes every few milliseconds, for much
/// longer than `SEND_TIMEOUT`. What came so far.
async fn sip(gateway: &Gateway) -> (TcpStream, Vec<u8>) {
    let Address::Tcp(address) = &gateway.address else {
        panic!("only TCP has such a buffer")
    };
    let socket = TcpSocket::new_v4().expect("the machine has sockets");
    socket
        .set_recv_buffer_size(SIP_BUFFER_BYTES)
        .expect("a socket takes SO_RCVBUF");
    let mut stream = socket.connect(*address).await.expect("the gateway listens");
    let request = post_with(CHAT, "connection: close\r\n", chat("m"));
    stream.write_all(&request).await.expect("the gateway reads");
    let mut got = Vec::new();
    let mut few = [0; 256];
    let until = Instant::now() + 4 * SEND_TIMEOUT;
    while Instant::now() < until {
        let read = soon("another sip", stream.read(&mut few)).await.expect("no reset");
        assert!(read > 0, "cut after {} bytes", got.len());
        got.extend_from_slice(&few[..read]);
        sleep(Duration::from_millis(10)).await;
    }
    assert!(got.len() < TOTAL_BYTES / 16, "{} bytes are no sips", got.len());
    (stream, got)
}

#[tokio::test]
async fn a_client_that_sips_gets_all_of_its_answer() {
    let answer = completion(&"x".repeat(TOTAL_BYTES));
    let upstream = Upstream::always(Answer::json(200, answer.clone())).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + SIP).await;
    let (mut stream, mut got) = sip(&gateway).await;
    set_socket_recv_buffer_size(&stream, TOTAL_BYTES).expect("a socket takes SO_RCVBUF");
    soon("the rest of the answer", stream.read_to_end(&mut got))
        .await
        .expect("no reset");
    assert!(got.ends_with(answer.as_bytes()), "{} bytes", got.len());
}

#[tokio::test]
async fn a_client_that_sips_and_then_stops_is_left() {
    let upstream = Upstream::always(Answer::json(200, completion(&"x".repeat(TOTAL_BYTES)))).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + SIP).await;
    let _sipped = sip(&gateway).await;
    gateway.client_gone().await;
}
