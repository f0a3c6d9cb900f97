//! Header fields on their way in and out.

use crate::support::*;

async fn one(answer: Answer, upstream: &str, server: &str) -> (Upstream, Gateway) {
    let scripted = Upstream::always(answer).await;
    let yaml = format!(
        "upstreams: {{ u: {{ url: \"{}/v1\"{upstream} }} }}\nroutes: {{ m: [u] }}\n{server}",
        scripted.url()
    );
    let gateway = Gateway::start(yaml).await;
    (scripted, gateway)
}

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

#[tokio::test]
async fn end_to_end_fields_reach_the_upstream_and_hop_by_hop_ones_do_not() {
    let (upstream, gateway) = one(well(), "", "").await;
    let lines = "user-agent: OpenAI/Python 3\r\nOpenAI-Beta: assistants=v2\r\nx-stainless-retry-count: 0\r\n\
                 anthropic-beta: a\r\nanthropic-beta: b\r\naccept: application/json\r\naccept-encoding: gzip, br\r\n\
                 connection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\
                 proxy-connection: keep-alive\r\nupgrade: h2c\r\ntrailer: x-t\r\n";
    assert_eq!(gateway.exchange(post_with(CHAT, lines, chat("m"))).await.status(), 200);
    let request = upstream.only_request();
    for (name, values) in [
        ("user-agent", vec!["OpenAI/Python 3"]),
        ("openai-beta", vec!["assistants=v2"]),
        ("x-stainless-retry-count", vec!["0"]),
        ("anthropic-beta", vec!["a", "b"]),
        ("accept", vec!["application/json"]),
        ("accept-encoding", vec!["gzip, br"]),
        ("host", vec![upstream.address.to_string().as_str()]),
        ("content-length", vec![chat("m").len().to_string().as_str()]),
    ] {
        assert_eq!(request.head.all(name), values, "{name}");
    }
    for name in [
        "x-hop",
        "keep-alive",
        "te",
        "proxy-connection",
        "upgrade",
        "trailer",
        "transfer-encoding",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_stream_is_asked_for_uncompressed() {
    let (upstream, gateway) = one(Answer::sse(stream_of("hi")), "", "").await;
    let request = post_with(CHAT, "accept-encoding: gzip, br\r\n", chat_stream("m"));
    assert_eq!(gateway.exchange(request).await.status(), 200);
    assert_eq!(upstream.only_request().head.all("accept-encoding"), ["identity"]);
}

#[tokio::test]
async fn the_clients_gateway_fields_are_dropped() {
    let (upstream, gateway) = one(well(), "", "").await;
    let lines = "x-gateway-request-id: forged\r\nX-Gateway-Attempts: forged\r\nx-gateway-anything: forged\r\n";
    let response = gateway.exchange(post_with(CHAT, lines, chat("m"))).await;
    let request = upstream.only_request();
    assert_eq!(request.head.all("x-gateway-request-id"), [response.id()]);
    assert!(
        !String::from_utf8_lossy(&request.head.raw).contains("forged"),
        "{:?}",
        request.head
    );
    assert!(
        !String::from_utf8_lossy(&response.head.raw).contains("forged"),
        "{:?}",
        response.head
    );
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own() {
    let (_upstream, gateway) = one(well(), "", "").await;
    let mut client = gateway.client().await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..5 {
        client.send(post(CHAT, chat("m"))).await;
        ids.insert(client.response().await.id());
    }
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn an_upstreams_own_additions_and_removals() {
    let more = ", headers: { http-referer: \"https://example.test\", x-title: Switchback }, \
                remove_headers: [User-Agent, x-secret], query: { api-version: \"2024-10-21\" }";
    let (upstream, gateway) = one(well(), more, "").await;
    let lines = "user-agent: u\r\nx-secret: s\r\nx-kept: k\r\n";
    assert_eq!(
        gateway
            .exchange(post_with("/v1/embeddings?a=b", lines, chat("m")))
            .await
            .status(),
        200
    );
    let request = upstream.only_request();
    assert_eq!(request.header("http-referer"), Some("https://example.test"));
    assert_eq!(
        (request.header("x-title"), request.header("x-kept")),
        (Some("Switchback"), Some("k"))
    );
    assert_eq!((request.header("user-agent"), request.header("x-secret")), (None, None));
    assert_eq!(request.target(), "/v1/embeddings?a=b&api-version=2024-10-21");
}

#[tokio::test]
async fn a_responses_end_to_end_fields_reach_the_client() {
    let answer = well()
        .header("x-request-id", "req_upstream")
        .header("x-ratelimit-remaining-requests", "59")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .header("server", "scripted")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("x-gateway-request-id", "another gateway's")
        .header("x-gateway-attempts", "\"another/gateway\";ms=1");
    let (_upstream, gateway) = one(answer, "", "").await;
    let response = gateway.post(CHAT, chat("m")).await;
    for (name, values) in [
        ("x-request-id", vec!["req_upstream"]),
        ("x-ratelimit-remaining-requests", vec!["59"]),
        ("set-cookie", vec!["a=1", "b=2"]),
        ("server", vec!["scripted"]),
        ("content-type", vec!["application/json"]),
        ("content-length", vec![completion("well").len().to_string().as_str()]),
        ("x-hop", vec![]),
    ] {
        assert_eq!(response.head.all(name), values, "{name}");
    }
    response.id();
    assert_eq!(response.ledger().len(), 1);
    assert_eq!(
        (response.ledger()[0].target.as_str(), response.ledger()[0].status),
        ("u/m", Some(200))
    );
}

#[tokio::test]
async fn who_served_is_said_and_errors_say_where_they_come_from() {
    let (_upstream, gateway) = one(well(), "", "").await;
    let served = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (served.header("x-gateway-upstream"), served.header("x-gateway-model")),
        (Some("u"), Some("m"))
    );
    assert_eq!(served.header("x-gateway-error-origin"), None);
    let own = gateway.post(CHAT, "{}").await;
    assert_eq!(
        (own.status(), own.header("x-gateway-error-origin")),
        (400, Some("gateway"))
    );
    let (_upstream, gateway) = one(Answer::json(422, "{}"), "", "").await;
    let theirs = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (theirs.status(), theirs.header("x-gateway-error-origin")),
        (422, Some("upstream"))
    );
}

#[tokio::test]
async fn the_ledger_can_be_left_out() {
    let (_upstream, gateway) = one(Answer::json(422, "{}"), "", "server: { attempt_header: false }").await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 422);
    response.id();
    for name in [
        "x-gateway-upstream",
        "x-gateway-model",
        "x-gateway-attempts",
        "x-gateway-error-origin",
    ] {
        assert_eq!(response.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_1xx_of_the_upstream_is_not_taken_for_its_answer() {
    let (_upstream, gateway) = one(well().informational(103, "link: </style.css>; rel=preload"), "", "").await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!((response.status(), response.text()), (200, completion("well")));
}
