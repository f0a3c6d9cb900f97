//! Websockets that a model routes: `GET /v1/realtime?model=NAME`.

use crate::support::manual::Play;
use crate::support::*;

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn ask(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nhost: g\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nauthorization: Bearer client\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// The upstreams at `urls`, and the routes.
fn yaml(urls: &[String], rest: &str) -> String {
    let mut yaml = "upstreams:\n".to_owned();
    for (name, url) in ('a'..='z').zip(urls) {
        yaml.push_str(&format!("  {name}: {{ url: \"{url}/v1\", key: sk-{name} }}\n"));
    }
    format!("{yaml}{rest}\n")
}

async fn says(http: &mut http1::Http1, expected: &str) {
    let bytes = soon("the other side's words", http.exactly(expected.len())).await;
    assert_eq!(String::from_utf8_lossy(&bytes.unwrap()), expected);
}

/// The upstream takes the handshake, and both sides speak.
async fn conversation(client: &mut Client, upstream: &Manual) -> (Play, String) {
    let mut play = upstream.accept().await;
    let asked = play.head().await;
    let authorization = asked.header("authorization").map(str::to_owned);
    play.send(format!("{SWITCH}hello")).await;
    let head = client.head().await;
    assert_eq!(
        (head.status(), head.header("upgrade")),
        (101, Some("websocket")),
        "{head:?}"
    );
    says(&mut client.http, "hello").await;
    client.send("hi there").await;
    says(&mut play.http, "hi there").await;
    (
        play,
        format!("{} {}", asked.start_line, authorization.unwrap_or_default()),
    )
}

#[tokio::test]
async fn the_query_routes_and_is_renamed() {
    let (first, second) = (Manual::listen().await, Manual::listen().await);
    let routes = "routes:\n  voice: [b/vendor/gpt realtime]\n  other: [a]\n  \"live-*\": [\"b/*:beta\"]";
    let gateway = Gateway::start(yaml(&[first.url(), second.url()], routes)).await;
    for (asked, upstream, sent) in [
        (
            "?intent=x&model=voice&a=%20",
            &second,
            "?intent=x&model=vendor%2Fgpt%20realtime&a=%20 HTTP/1.1 Bearer sk-b",
        ),
        ("?model=live%2D1", &second, "?model=live-1%3Abeta HTTP/1.1 Bearer sk-b"),
        ("?model=other", &first, "?model=other HTTP/1.1 Bearer sk-a"),
    ] {
        let mut client = gateway.client().await;
        client.send(ask(&format!("/v1/realtime{asked}"))).await;
        let (play, line) = conversation(&mut client, upstream).await;
        assert_eq!(line, format!("GET /v1/realtime{sent}"));
        drop(play);
        client.closed().await;
    }
    let done = |line: &serde_json::Value| line["msg"] == "access" && line["model"] == "other";
    let access = gateway.log.line("the access", done).await;
    assert_eq!(
        (&access["outcome"], &access["target"]),
        (&"ok".into(), &"a/other".into()),
        "{access}"
    );
}

#[tokio::test]
async fn a_refused_handshake_goes_to_the_next_target() {
    let refusals = [
        Answer::json(503, error("full", "server_error", None)),
        Answer::json(400, error("no realtime here", "invalid_request_error", None)),
        Answer::json(404, "{}"),
        Answer::json(200, completion("not a websocket")),
        Answer::raw(""),
    ];
    for refusal in refusals {
        let (refusing, taking) = (Upstream::always(refusal).await, Manual::listen().await);
        let nobody = format!("http://127.0.0.1:{}", refusing_port().await);
        let urls = [nobody, refusing.url(), taking.url()];
        let gateway = Gateway::start(yaml(
            &urls,
            "routes: { voice: [a, b, c/gpt] }\npolicy: { retry: { same_target: 0 } }",
        ))
        .await;
        let mut client = gateway.client().await;
        client.send(ask("/v1/realtime?model=voice")).await;
        let (_play, line) = conversation(&mut client, &taking).await;
        assert!(line.contains("model=gpt "), "{line}");
        assert_eq!(refusing.requests()[0].target(), "/v1/realtime?model=voice");
    }
}

#[tokio::test]
async fn the_last_refusal_is_the_answer_and_the_connection_stays() {
    let refusing = Upstream::always(Answer::json(401, error("no such key", "invalid_request_error", None))).await;
    let gateway = Gateway::start(yaml(&[refusing.url()], "routes: { voice: [a] }")).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client.send(ask("/v1/realtime?model=voice")).await;
        let response = client.response().await;
        assert_eq!(
            (response.status(), response.header("x-gateway-upstream")),
            (401, Some("a")),
            "{}",
            response.text()
        );
        assert!(response.text().contains("no such key"));
        assert_eq!(response.ledger()[0].status, Some(401));
    }
    let nobody = format!("http://127.0.0.1:{}", refusing_port().await);
    let gateway = Gateway::start(yaml(&[nobody], "routes: { voice: [a] }")).await;
    let response = gateway.exchange(ask("/v1/realtime?model=voice")).await;
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn only_realtime_is_routed_by_its_query() {
    let (routed, passed) = (Manual::listen().await, Manual::listen().await);
    let urls = [routed.url(), passed.url()];
    let gateway = Gateway::start(yaml(&urls, "routes: { voice: [a] }\nserver: { passthrough: b }")).await;
    for target in [
        "/v1/live?model=voice",
        "/v1/realtime",
        "/v1/realtime?model=unknown",
        "/v1/realtime/x?model=voice",
    ] {
        let mut client = gateway.client().await;
        client.send(ask(target)).await;
        let (_play, line) = conversation(&mut client, &passed).await;
        assert_eq!(line, format!("GET {target} HTTP/1.1 Bearer sk-b"));
    }
    let gateway = Gateway::start(yaml(&urls, "routes: { voice: [a] }")).await;
    for (request, status, code) in [
        (ask("/v1/realtime?model=vice"), 404, "model_not_found"),
        (ask("/v1/realtime?model=voice&model=other"), 400, "invalid_path"),
        (ask("/v1/realtime?model=voice%0A"), 400, "invalid_path"),
        (ask("/v1/live?model=voice"), 404, "no_route"),
        (
            "GET /v1/realtime?model=voice HTTP/1.1\r\nhost: g\r\n\r\n".to_owned(),
            404,
            "no_route",
        ),
    ] {
        let response = gateway.exchange(&request).await;
        assert_eq!(
            (response.status(), &response.json()["error"]["code"]),
            (status, &code.into()),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_handshake_cancels_it() {
    let upstream = Manual::listen().await;
    let rest = "routes: { voice: [a] }";
    let gateway = Gateway::start(yaml(&[upstream.url()], rest)).await;
    let mut client = gateway.client().await;
    client.send(ask("/v1/realtime?model=voice")).await;
    let mut play = upstream.accept().await;
    play.head().await;
    drop(client);
    play.closed().await;
    gateway.client_gone().await;
}
