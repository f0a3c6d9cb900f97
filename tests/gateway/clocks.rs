//! The six clocks, and the client's own. Bounds are loose: a busy machine may be late, never early.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

fn policy(timeouts: &str) -> String {
    format!("policy: {{ retry: {{ same_target: 0, backoff: 1ms, max_backoff: 2ms }}, timeouts: {{ {timeouts} }} }}")
}

/// The log's line on the first attempt that failed.
async fn failed_attempt(gateway: &Gateway) -> serde_json::Value {
    let has_clock = |line: &serde_json::Value| line["msg"] == "attempt failed" && line["clock"].is_string();
    gateway.log.line("a clock that ran out", has_clock).await
}

/// Much less than the clocks that must not be the ones to fire.
const SOON: Duration = Duration::from_secs(8);

/// A listener whose backlog is full: the next connection to it is neither taken nor refused.
pub(crate) struct BlackHole {
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
    pub(crate) address: SocketAddr,
}

pub(crate) async fn black_hole() -> BlackHole {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    // Linux takes one more than the backlog; a connection that is not there within this time never will be.
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 100, "the backlog never fills");
    }
    BlackHole {
        _listener: listener,
        _waiting: waiting,
        address,
    }
}

impl BlackHole {
    /// Waits until somebody's SYN is under way to it (state 02 in `proc_net_tcp`, proc(5)).
    pub(crate) async fn knocked_at(&self) {
        let knocking = format!("0100007F:{:04X} 02", self.address.port());
        soon("a connection attempt", async {
            while !std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&knocking) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn connect_bounds_an_address_that_does_not_answer() {
    let hole = black_hole().await;
    let good = Upstream::always(well()).await;
    let urls = [format!("http://{}", hole.address), good.url()];
    let gateway = Gateway::start(chain(&urls) + &policy("connect: 300ms")).await;
    let begin = Instant::now();
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("b"))
    );
    assert!(
        begin.elapsed() >= Duration::from_millis(300) && begin.elapsed() < SOON,
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(response.ledger()[0].class.as_deref(), Some("connect"));
}

#[tokio::test]
async fn connect_includes_the_tls_handshake() {
    // Accepts, and never says a word of TLS.
    let silent = Upstream::always(Answer::hang()).await;
    let good = Upstream::always(well()).await;
    let urls = [silent.url().replace("http:", "https:"), good.url()];
    let gateway = Gateway::start(chain(&urls) + &policy("connect: 300ms")).await;
    let begin = Instant::now();
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("b"))
    );
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert_eq!(response.ledger()[0].class.as_deref(), Some("connect"));
}

#[tokio::test]
async fn headers_bounds_the_wait_for_a_stream_and_answer_any_other() {
    for (clock, request, good) in [
        ("headers", chat_stream("m"), Answer::sse(stream_of("well"))),
        ("answer", chat("m"), well()),
    ] {
        let silent = Upstream::always(Answer::hang()).await;
        let good = Upstream::always(good).await;
        let gateway = Gateway::start(chain(&[silent.url(), good.url()]) + &policy(&format!("{clock}: 300ms"))).await;
        let begin = Instant::now();
        let response = gateway.post(CHAT, request).await;
        assert_eq!(
            (response.status(), response.header("x-gateway-upstream")),
            (200, Some("b"))
        );
        assert!(
            begin.elapsed() >= Duration::from_millis(300) && begin.elapsed() < SOON,
            "{:?}",
            begin.elapsed()
        );
        let ledger = response.ledger();
        assert_eq!(ledger[0].class.as_deref(), Some("timeout"));
        assert!(ledger[0].ms >= 300, "{ledger:?}");
        silent.left().await;
        assert_eq!(failed_attempt(&gateway).await["clock"], clock);
    }
}

#[tokio::test]
async fn the_clocks_of_a_stream_do_not_bound_the_generation_of_another_answer() {
    let upstream = Manual::listen().await;
    let clocks = policy("headers: 200ms, first_token: 200ms");
    let gateway = Gateway::start(chain(&[upstream.url()]) + &clocks).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = upstream.request().await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    play.answer(&Answer::json(200, completion("a long answer"))).await;
    let response = client.response().await;
    assert_eq!((response.status(), response.ledger().len()), (200, 1));
}

#[tokio::test]
async fn what_follows_the_header_of_an_answer_has_the_idle_clock() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    let silent = Upstream::always(Answer::raw(begun).then(Ending::Stall)).await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[silent.url(), good.url()]) + &policy("idle: 300ms, first_token: 60s")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("b"))
    );
    assert_eq!(failed_attempt(&gateway).await["clock"], "idle");
}

#[tokio::test]
async fn a_client_that_says_how_long_it_waits_is_answered_before() {
    let silent = Upstream::always(Answer::hang()).await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[silent.url(), good.url()])).await;
    for name in ["x-stainless-read-timeout", "x-stainless-timeout"] {
        let begin = Instant::now();
        let response = gateway
            .exchange(post_with(CHAT, &format!("{name}: 2\r\n"), chat("m")))
            .await;
        assert_eq!(
            (response.status(), response.header("x-gateway-upstream")),
            (200, Some("b")),
            "{name}"
        );
        // A quarter of its patience is the next target's.
        assert!(begin.elapsed() >= Duration::from_millis(1400), "{:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    }
    assert_eq!(failed_attempt(&gateway).await["clock"], "client");
    // Two more would have made it cool down; that the client was impatient says nothing about it.
    gateway
        .exchange(post_with(CHAT, "x-stainless-timeout: 1\r\n", chat("m")))
        .await;
    assert_eq!(silent.requests().len(), 3);
    assert!(!gateway.log.text().contains("cooling down"));
}

#[tokio::test]
async fn the_last_target_has_what_is_left_of_the_clients_patience() {
    let silent = Upstream::always(Answer::hang()).await;
    let gateway = Gateway::start(chain(&[silent.url()])).await;
    let begin = Instant::now();
    let response = gateway
        .exchange(post_with(CHAT, "x-stainless-timeout: 1\r\n", chat("m")))
        .await;
    assert_eq!(response.status(), 504, "{}", response.text());
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_1xx_does_not_stop_the_headers_clock() {
    let silent = Upstream::always(Answer::raw("HTTP/1.1 102 Processing\r\n\r\n").then(Ending::Stall)).await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[silent.url(), good.url()]) + &policy("answer: 300ms")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("b"))
    );
}

#[tokio::test]
async fn first_token_bounds_a_stream_that_does_not_begin() {
    let thinking = Upstream::always(Answer::sse([role()]).then(Ending::Stall)).await;
    let good = Upstream::always(Answer::sse(stream_of("well"))).await;
    let gateway = Gateway::start(chain(&[thinking.url(), good.url()]) + &policy("first_token: 300ms")).await;
    let begin = Instant::now();
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!((response.status(), response.text()), (200, stream_of("well").concat()));
    assert!(
        begin.elapsed() >= Duration::from_millis(300) && begin.elapsed() < SOON,
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(response.ledger()[0].class.as_deref(), Some("timeout"));
    thinking.left().await;
}

#[tokio::test]
async fn comments_never_rearm_first_token() {
    let upstream = Manual::listen().await;
    let good = Upstream::always(Answer::sse(stream_of("well"))).await;
    let gateway = Gateway::start(chain(&[upstream.url(), good.url()]) + &policy("first_token: 500ms")).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    let begin = Instant::now();
    let commenting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            if play.http.send(&chunk(b": PROCESSING\n\n")).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let response = tokio::select! {
        response = client.response() => response,
        () = commenting => unreachable!("comments go on for ever"),
    };
    assert_eq!(response.text(), stream_of("well").concat());
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn idle_ends_a_stream_that_falls_silent() {
    let upstream = Upstream::always(Answer::sse([role(), delta("half a")]).then(Ending::Stall)).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + &policy("idle: 300ms")).await;
    let begin = Instant::now();
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert!(
        begin.elapsed() >= Duration::from_millis(300) && begin.elapsed() < SOON,
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(response.status(), 200);
    assert_ne!(response.end, End::Clean, "a stream that broke off never ends cleanly");
    let text = response.text();
    assert!(text.starts_with(&(role() + &delta("half a"))), "{text}");
    assert!(text.contains("\"error\"") && text.contains(&response.id()), "{text}");
    upstream.left().await;
}

#[tokio::test]
async fn every_byte_rearms_idle() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + &policy("idle: 1s")).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    let playing = async {
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        for _ in 0..8 {
            tick.tick().await;
            play.chunk(delta("x")).await;
        }
        play.chunk(finish()).await;
        play.finish().await;
    };
    let (response, ()) = tokio::join!(client.response(), playing);
    assert_eq!(
        (response.end, response.body.len()),
        (End::Clean, (delta("x").repeat(8) + &finish()).len())
    );
}

#[tokio::test]
async fn the_deadline_cuts_the_running_attempt_and_begins_no_other() {
    let silent = Upstream::always(Answer::hang()).await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[silent.url(), good.url()]) + &policy("answer: 400ms, deadline: 500ms")).await;
    // Its own clock runs out first here …
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    drop(gateway);
    // … and here the deadline does.
    let silent = Upstream::always(Answer::hang()).await;
    let gateway = Gateway::start(chain(&[silent.url(), good.url()]) + &policy("answer: 60s, deadline: 500ms")).await;
    let begin = Instant::now();
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 504, "{}", response.text());
    assert!(
        begin.elapsed() >= Duration::from_millis(500) && begin.elapsed() < SOON,
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(response.ledger().len(), 1);
    assert_eq!(good.requests().len(), 1, "only the first gateway asked it");
    silent.left().await;
}

#[tokio::test]
async fn the_deadline_bounds_the_backoff_too() {
    let busy = Upstream::always(Answer::json(429, "{}").header("retry-after", "20")).await;
    let policy = "policy: { retry: { max_wait: 60s }, timeouts: { deadline: 500ms } }";
    let gateway = Gateway::start(chain(&[busy.url()]) + policy).await;
    let begin = Instant::now();
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!((response.status(), busy.requests().len()), (429, 1));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_deadline_never_cuts_what_has_begun() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + &policy("deadline: 500ms")).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    play.chunk(delta("one")).await;
    client.head().await;
    client.until("one").await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    play.chunk(delta("two") + &finish()).await;
    play.finish().await;
    assert_eq!(client.rest_of_stream().await, (delta("two") + &finish(), End::Clean));
}

#[tokio::test]
async fn a_kept_connection_that_closes_after_a_long_silence_is_no_stale_one() {
    for (silence_ms, is_stale) in [(0, true), (1500, false)] {
        let upstream = Manual::listen().await;
        let other = Upstream::always(well()).await;
        let gateway = Gateway::start(chain(&[upstream.url(), other.url()]) + &policy("answer: 30s")).await;
        let first = tokio::join!(gateway.post(CHAT, chat("m")), async {
            let (mut play, ..) = upstream.request().await;
            play.answer(&well()).await;
            play
        });
        let mut play = first.1;
        assert_eq!(first.0.status(), 200);
        let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), async {
            play.request().await;
            tokio::time::sleep(Duration::from_millis(silence_ms)).await;
            drop(play);
            if is_stale {
                let (mut again, ..) = upstream.request().await;
                again.answer(&well()).await;
            }
        });
        let served = if is_stale { "a" } else { "b" };
        assert_eq!(
            (response.status(), response.header("x-gateway-upstream")),
            (200, Some(served)),
            "{silence_ms} ms"
        );
        let ledger = response.ledger();
        assert_eq!(
            (ledger.len(), ledger[0].class.as_deref()),
            (2, Some("reset")),
            "{ledger:?}"
        );
    }
}

#[tokio::test]
async fn narrower_scopes_have_their_own_clocks() {
    let silent = Upstream::always(Answer::hang()).await;
    let good = Upstream::always(well()).await;
    let quick = "timeouts: { answer: 200ms }";
    for (upstream, route) in [
        (format!(", {quick}"), "[a, b]".to_owned()),
        (String::new(), format!("[{{ upstream: a, {quick} }}, b]")),
        (String::new(), format!("{{ targets: [a, b], {quick} }}")),
    ] {
        let yaml = format!(
            "upstreams:\n  a: {{ url: \"{}/v1\"{upstream} }}\n  b: {{ url: \"{}/v1\" }}\nroutes: {{ m: {route} }}",
            silent.url(),
            good.url()
        );
        let gateway = Gateway::start(yaml).await;
        let begin = Instant::now();
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200, "{upstream} {route}");
        assert!(begin.elapsed() < SOON, "{upstream} {route}: {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn client_timeout_bounds_receiving_the_request() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "server: { client_timeout: 300ms }").await;
    let mut client = gateway.client().await;
    let request = post(CHAT, chat("m"));
    client.send(&request[..request.len() - 10]).await;
    let begin = Instant::now();
    let response = client.response().await;
    assert_eq!(response.status(), 408);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    response.id();
    assert_eq!(upstream.connections(), 0);
}
