//! `server.memory` bounds what all requests keep together.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::gateway::free_address;
use crate::support::h2_client::H2Client;
use crate::support::reload::applied;
use crate::support::*;

const MIB: usize = 1 << 20;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// A chat body for `model`, `bytes` long, that shrinks to about a third.
fn body(model: &str, bytes: usize) -> String {
    let before = format!(r#"{{"model":"{model}","pad":""#);
    let mut body = before;
    let mut n: u64 = 1;
    while body.len() < bytes - 2 {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        body.push_str(&format!("{:x} ", n >> 40));
    }
    body.truncate(bytes - 2);
    body.push_str("\"}");
    body
}

/// `m` is answered by `well`, `held` by `held`, which need not answer.
fn yaml(well: &Upstream, held: &Upstream, memory: &str) -> String {
    format!(
        "upstreams:\n  well: {{ url: \"{}/v1\" }}\n  held: {{ url: \"{}/v1\" }}\n\
         routes: {{ m: [well], held: [held], renamed: [held/other] }}\nserver: {{ memory: {memory} }}",
        well.url(),
        held.url()
    )
}

/// The value of a metric without labels.
async fn metric(watched: &Watched, name: &str) -> usize {
    let text = watched.ask("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value: f64 = line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap();
    value as usize
}

async fn used(watched: &Watched) -> usize {
    metric(watched, "switchback_memory_used_bytes").await
}

async fn until_used(watched: &Watched, what: &str, is_so: impl Fn(usize) -> bool) {
    soon(what, async {
        while !is_so(used(watched).await) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Sends as much as the gateway takes, and reads what it says.
async fn insist(gateway: &Gateway, request: &[u8]) -> Response {
    let mut client = gateway.client().await;
    // Whoever is refused may not be listened to any longer.
    let _ = soon("the gateway to read or to close", client.http.send(request)).await;
    client.response().await
}

fn assert_busy(response: &Response) {
    assert_eq!(response.status(), 503, "{}", response.text());
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("x-gateway-error-origin"), Some("gateway"));
    let error = &response.json()["error"];
    assert_eq!(error["code"], "gateway_busy");
    assert!(
        error["message"].as_str().unwrap().contains("`server.memory`"),
        "{error}"
    );
}

/// A request whose body stays in the gateway, for its upstream never answers.
async fn hold(watched: &Watched, held: &Upstream, request: Vec<u8>) -> Client {
    let before = held.requests().len();
    let mut client = watched.gateway.client().await;
    client.send(request).await;
    held.request(before).await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_bodies_stay_within_the_bound() {
    const BOUND: usize = 32 * MIB;
    const CLIENTS: usize = 60;
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(yaml(&upstream, &upstream, "32MiB")).await;
    let gateway = &watched.gateway;
    gateway.post(CHAT, chat("m")).await;
    let base = gateway.memory_bytes("VmRSS");
    let request = post(CHAT, body("m", 12 * MIB));
    let is_over = AtomicBool::new(false);
    let small = async {
        let mut served = 0;
        while !is_over.load(Ordering::Relaxed) {
            let response = gateway.post(CHAT, chat("m")).await;
            assert_eq!(response.status(), 200, "{}", response.text());
            served += 1;
        }
        served
    };
    let large = async {
        let all = futures_util::future::join_all((0..CLIENTS).map(|_| insist(gateway, &request)));
        let responses = all.await;
        is_over.store(true, Ordering::Relaxed);
        responses
    };
    let (served, responses) = tokio::join!(small, large);
    assert!(served > 0, "small requests never wait for large ones");
    let (well, busy): (Vec<_>, Vec<_>) = responses.iter().partition(|response| response.status() == 200);
    assert!(!well.is_empty());
    busy.iter().for_each(|response| assert_busy(response));
    let grown = gateway.memory_bytes("VmHWM").saturating_sub(base);
    // Beside bodies, each connection has buffers; unbounded, bodies alone would be 720 MiB.
    assert!(grown < BOUND + 128 * MIB, "grown by {} MiB", grown / MIB);
    until_used(&watched, "all room to come back", |used| used == 0).await;
    let refusals = metric(&watched, "switchback_memory_refusals_total").await;
    assert_eq!(refusals, busy.len());
    assert_eq!(metric(&watched, "switchback_memory_bound_bytes").await, BOUND);
    if let Some(one) = busy.first() {
        let access = gateway.access(&one.id()).await;
        assert_eq!(
            (&access["outcome"], &access["refused"], &access["level"]),
            (&"gateway_error".into(), &"gateway_busy".into(), &"warn".into())
        );
    }
}

#[tokio::test]
async fn a_word_alone_holds_no_room() {
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(yaml(&upstream, &upstream, "8MiB")).await;
    let request = post(CHAT, body("m", 6 * MIB));
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut client = watched.gateway.client().await;
        client.send(&request[..1000]).await;
        silent.push(client);
    }
    assert!(used(&watched).await < MIB, "nothing but what has come");
    // This one begins, and is taken at its word.
    let mut stalled = watched.gateway.client().await;
    stalled.send(&request[..100_000]).await;
    until_used(&watched, "the body to get its room", |used| used > 5 * MIB).await;
    let response = watched.gateway.exchange(&request).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    // It may go on, by steps.
    stalled.send(&request[100_000..]).await;
    assert_eq!(stalled.response().await.status(), 200);
    drop(silent);
    until_used(&watched, "all room to come back", |used| used == 0).await;
}

#[tokio::test]
async fn who_leaves_while_waiting_is_gone() {
    let (upstream, held) = (Upstream::always(well()).await, Upstream::always(Answer::hang()).await);
    let watched = Watched::start(yaml(&upstream, &held, "8MiB")).await;
    let _holding = hold(&watched, &held, post(CHAT, body("held", 6 * MIB))).await;
    let mut client = watched.gateway.client().await;
    client.send(&post(CHAT, body("m", 6 * MIB))[..100_000]).await;
    client.leave();
    let access = watched.gateway.client_gone().await;
    assert_eq!(access["path"], CHAT);
    assert_eq!(metric(&watched, "switchback_memory_refusals_total").await, 0);
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn who_leaves_over_http2_while_waiting_is_gone() {
    let (upstream, held) = (Upstream::always(well()).await, Upstream::always(Answer::hang()).await);
    let admin = free_address();
    let yaml = format!("{}\nadmin: \"{admin}\"", yaml(&upstream, &held, "8MiB"));
    let watched = Watched::of(Setup::new(yaml).h2c().start().await, Address::Tcp(admin)).await;
    let holding = 6 * MIB;
    let _holding = hold(&watched, &held, post(CHAT, body("held", holding))).await;
    let mut client = H2Client::connect_plain(&watched.gateway).await;
    {
        let waits = client.post(CHAT, body("m", 6 * MIB));
        tokio::select! {
            response = waits => panic!("it was to wait: {response:?}"),
            () = until_used(&watched, "the body to begin", |used| used > holding) => {}
        }
    }
    let access = watched.gateway.client_gone().await;
    assert_eq!(access["http"], "HTTP/2");
    assert_eq!(metric(&watched, "switchback_memory_refusals_total").await, 0);
    // The connection goes on.
    assert_eq!(client.post(CHAT, chat("m")).await.status(), 200);
}

#[tokio::test]
async fn what_could_not_fit_alone_is_too_large() {
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(yaml(&upstream, &upstream, "8MiB")).await;
    let text = body("m", 7 * MIB + 1);
    let mut chunked = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    text.as_bytes()
        .chunks(50_000)
        .for_each(|piece| chunked.extend(chunk(piece)));
    chunked.extend_from_slice(b"0\r\n\r\n");
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (what, request) in [
        ("of a known length", post(CHAT, &text)),
        ("chunked", chunked),
        ("compressed", post_with(CHAT, "content-encoding: zstd\r\n", zstd)),
    ] {
        let response = insist(&watched.gateway, &request).await;
        assert_eq!(response.status(), 413, "{what}: {}", response.text());
        let error = &response.json()["error"];
        assert_eq!(error["code"], "request_too_large");
        assert!(
            error["message"].as_str().unwrap().contains("`server.memory`"),
            "{error}"
        );
    }
    let fits = watched.gateway.post(CHAT, body("m", 6 * MIB)).await;
    assert_eq!(fits.status(), 200);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_reload_changes_the_bound_at_once() {
    let (upstream, held) = (Upstream::always(well()).await, Upstream::always(Answer::hang()).await);
    let watched = Watched::start(yaml(&upstream, &held, "8MiB")).await;
    let _holding = hold(&watched, &held, post(CHAT, body("held", 6 * MIB))).await;
    let request = post(CHAT, body("m", 6 * MIB));
    assert_busy(&insist(&watched.gateway, &request).await);
    let line = watched.gateway.reload(&yaml(&upstream, &held, "32MiB")).await;
    assert!(applied(&line), "{line}");
    let response = watched.gateway.exchange(&request).await;
    assert_eq!(response.status(), 200, "{}", response.text());
}

#[tokio::test]
async fn a_compressed_body_is_kept_in_the_forms_that_are_needed() {
    let (upstream, held) = (Upstream::always(well()).await, Upstream::always(Answer::hang()).await);
    let watched = Watched::start(yaml(&upstream, &held, "32MiB")).await;
    let encoded = |model: &str| {
        let text = body(model, 6 * MIB);
        let encoded = zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert!((MIB / 2..5 * MIB).contains(&encoded.len()), "{}", encoded.len());
        (encoded.len(), post_with(CHAT, "content-encoding: zstd\r\n", encoded))
    };
    let (raw_bytes, as_it_came) = encoded("held");
    let client = hold(&watched, &held, as_it_came).await;
    let beginning = MIB + 1;
    until_used(&watched, "the raw body and no other", |used| {
        used == raw_bytes + beginning
    })
    .await;
    drop(client);
    until_used(&watched, "all room to come back", |used| used == 0).await;
    let (_, renamed) = encoded("renamed");
    let _client = hold(&watched, &held, renamed).await;
    until_used(&watched, "the decoded body and no other", |used| {
        (6 * MIB..6 * MIB + 100).contains(&used)
    })
    .await;
}

/// Leaves less than 1 KiB of a bound of 1 MiB.
async fn fill(watched: &Watched, held: &Upstream) -> Vec<Client> {
    let mut clients = Vec::new();
    loop {
        let left = MIB - used(watched).await;
        if left < 1024 {
            return clients;
        }
        let request = post(CHAT, body("held", (left - 100).min(60_000)));
        clients.push(hold(watched, held, request).await);
    }
}

/// A break of a stream whose text so far could not be kept is a break, whoever could go on.
#[tokio::test]
async fn a_stream_that_there_is_no_room_to_remember_is_not_resumed() {
    let cut = || Answer::sse([role(), delta("one ")]).then(Ending::Cut);
    let rest = || Answer::sse([role(), delta("two"), finish(), DONE.to_owned()]);
    let upstream = Upstream::answering([cut(), rest(), cut(), rest()]).await;
    let held = Upstream::always(Answer::hang()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\", prefill: true }}\n  held: {{ url: \"{}/v1\" }}\n\
         routes: {{ m: [a], held: [held] }}\nserver: {{ memory: 1MiB }}",
        upstream.url(),
        held.url()
    );
    let watched = Watched::start(yaml).await;
    let resumed = watched.gateway.post(CHAT, chat_stream("m")).await;
    assert!(resumed.text().contains("two"), "{}", resumed.text());
    assert_eq!(resumed.end, End::Clean);
    until_used(&watched, "the transcript to come back", |used| used == 0).await;
    let clients = fill(&watched, &held).await;
    let broken = watched.gateway.post(CHAT, chat_stream("m")).await;
    assert!(broken.text().contains("one "), "{}", broken.text());
    assert!(broken.text().contains("upstream_broken"), "{}", broken.text());
    assert!(matches!(broken.end, End::Aborted(_)));
    assert_eq!(upstream.requests().len(), 3);
    drop(clients);
    until_used(&watched, "all room to come back", |used| used == 0).await;
}

/// An answer that can't be held is judged by what has come of it.
#[tokio::test]
async fn answers_are_judged_without_room_to_hold_them() {
    let failing = Upstream::always(Answer::json(
        503,
        error(&"busy ".repeat(6000), "overloaded_error", None),
    ))
    .await;
    let well = Upstream::always(Answer::sse(stream_of("well"))).await;
    let held = Upstream::always(Answer::hang()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\n  held: {{ url: \"{}/v1\" }}\n\
         routes: {{ m: [a, b], only: [a], held: [held] }}\nserver: {{ memory: 1MiB }}\n\
         policy: {{ retry: {{ same_target: 0 }} }}",
        failing.url(),
        well.url(),
        held.url()
    );
    let watched = Watched::start(yaml).await;
    let _clients = fill(&watched, &held).await;
    let response = watched.gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(
        (response.status(), response.end.clone()),
        (200, End::Clean),
        "{}",
        response.text()
    );
    assert_eq!(response.ledger()[0].class.as_deref(), Some("overloaded"));
    assert!(response.text().contains("well"));
    let delivered = watched.gateway.post(CHAT, chat("only")).await;
    assert_eq!((delivered.status(), delivered.end.clone()), (503, End::Clean));
    assert!(
        delivered.text().len() > 30_000,
        "whole, for the rest was read as it went out"
    );
}

/// What a burst took is the system's again soon after.
#[tokio::test]
async fn freed_memory_goes_back() {
    const CLIENTS: usize = 10;
    let (upstream, held) = (Upstream::always(well()).await, Upstream::always(Answer::hang()).await);
    let watched = Watched::start(yaml(&upstream, &held, "1GiB")).await;
    watched.gateway.post(CHAT, chat("m")).await;
    let base = watched.gateway.memory_bytes("VmRSS");
    let request = post(CHAT, body("held", 31 * MIB));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(hold(&watched, &held, request.clone()).await);
    }
    let grown = watched.gateway.memory_bytes("VmRSS") - base;
    assert!(grown > CLIENTS * 30 * MIB, "it holds them: {} MiB", grown / MIB);
    drop(clients);
    soon("the memory to go back", async {
        while watched.gateway.memory_bytes("VmRSS") > base + 64 * MIB {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}
