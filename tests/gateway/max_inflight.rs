//! So many requests at once and no more: the next target is taken at once.

use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// Upstreams of which the first takes one request at a time; the route `m` tries them in order.
fn narrow(first: &str, others: &[&Upstream]) -> String {
    let mut yaml = format!("upstreams:\n  a: {{ url: \"{first}/v1\", max_inflight: 1 }}\n");
    let mut chain = "a".to_owned();
    for (name, upstream) in ["b", "c"].iter().zip(others) {
        yaml.push_str(&format!("  {name}: {{ url: \"{}/v1\" }}\n", upstream.url()));
        chain.push_str(&format!(", {name}"));
    }
    format!("{yaml}routes: {{ m: [{chain}] }}\nserver: {{ passthrough: a }}\n")
}

#[tokio::test]
async fn what_is_too_much_goes_on_and_is_no_attempt() {
    let busy = Manual::listen().await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(narrow(&busy.url(), &[&good])).await;
    let mut first = gateway.client().await;
    first.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = busy.request().await;
    for _ in 0..5 {
        let response = gateway.post(CHAT, chat("m")).await;
        let ledger = response.ledger();
        let short: Vec<_> = ledger
            .iter()
            .map(|entry| (entry.target.as_str(), entry.status, entry.class.as_deref()))
            .collect();
        assert_eq!(short, [("a/m", None, Some("saturated")), ("b/m", Some(200), None)]);
        assert_eq!(gateway.access(&response.id()).await["attempts"], 1);
    }
    // It has room again, and nothing was held against it.
    play.answer(&well()).await;
    assert_eq!(first.response().await.header("x-gateway-upstream"), Some("a"));
    let mut next = gateway.client().await;
    next.send(post(CHAT, chat("m"))).await;
    play.request().await;
    play.answer(&well()).await;
    assert_eq!(next.response().await.header("x-gateway-upstream"), Some("a"));
}

#[tokio::test]
async fn a_place_is_free_as_soon_as_an_answer_has_ended() {
    for answer in [
        well(),
        well().chunked(),
        Answer::sse(stream_of("well")),
        Answer::json(400, error("no", "invalid_request_error", None)),
    ] {
        let only_one = Upstream::always(answer).await;
        let other = Upstream::always(well()).await;
        let gateway = Gateway::start(narrow(&only_one.url(), &[&other])).await;
        let mut client = gateway.client().await;
        for _ in 0..20 {
            client.send(post(CHAT, chat_stream("m"))).await;
            let response = client.response().await;
            assert_eq!(response.header("x-gateway-upstream"), Some("a"));
        }
        assert_eq!(other.connections(), 0);
    }
}

#[tokio::test]
async fn a_place_is_free_when_the_client_leaves() {
    let busy = Manual::listen().await;
    let gateway = Gateway::start(narrow(&busy.url(), &[])).await;
    // Waiting for an answer, and in the middle of one.
    for begun in [false, true] {
        let mut client = gateway.client().await;
        client.send(post(CHAT, chat_stream("m"))).await;
        let (mut play, ..) = busy.request().await;
        if begun {
            play.begin_sse().await;
            play.chunk(delta("one")).await;
            client.head().await;
            client.until("one").await;
        }
        client.leave();
        play.closed().await;
        let left = |line: &serde_json::Value| line["outcome"] == "client_gone" && (line["status"] == 200) == begun;
        gateway.log.line("a client that left", left).await;
    }
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = busy.request().await;
    play.answer(&well()).await;
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn with_nobody_else_to_ask_the_gateway_says_so() {
    let busy = Manual::listen().await;
    let gateway = Gateway::start(narrow(&busy.url(), &[])).await;
    let mut first = gateway.client().await;
    first.send(post(CHAT, chat("m"))).await;
    let (_play, ..) = busy.request().await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-error-origin")),
        (503, Some("gateway"))
    );
    let error = &response.json()["error"];
    assert_eq!(
        (&error["code"], &error["attempts"][0]["class"]),
        (&"upstream_saturated".into(), &"saturated".into())
    );
    assert!(error["message"].as_str().unwrap().contains("max_inflight"), "{error}");
    // A request that is relayed as it comes counts, and is counted.
    assert_eq!(gateway.get("/v1/files").await.status(), 503);
}

#[tokio::test]
async fn a_relayed_request_takes_a_place_until_its_answer_has_ended() {
    let busy = Manual::listen().await;
    let gateway = Gateway::start(narrow(&busy.url(), &[])).await;
    let mut first = gateway.client().await;
    first.send("GET /v1/files HTTP/1.1\r\nhost: gateway\r\n\r\n").await;
    let (mut play, ..) = busy.request().await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 503);
    play.answer(&Answer::json(200, "{}").then(Ending::Close)).await;
    drop(play);
    assert_eq!(first.response().await.status(), 200);
    let mut next = gateway.client().await;
    next.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = busy.request().await;
    play.answer(&well()).await;
    assert_eq!(next.response().await.status(), 200);
}

#[tokio::test]
async fn who_cools_down_is_asked_when_all_others_are_full() {
    let limited = Answer::json(429, "{}").header("retry-after", "60");
    let resting = Upstream::answering([limited, well()]).await;
    let busy = Manual::listen().await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\", max_inflight: 1 }}\nroutes: {{ m: [a, b] }}",
        resting.url(),
        busy.url()
    );
    let gateway = Gateway::start(yaml).await;
    let mut first = gateway.client().await;
    first.send(post(CHAT, chat("m"))).await;
    let (_play, ..) = busy.request().await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("a"))
    );
    let classes: Vec<_> = response.ledger().into_iter().map(|attempt| attempt.class).collect();
    assert_eq!(classes, [Some("saturated".to_owned()), None]);
}
