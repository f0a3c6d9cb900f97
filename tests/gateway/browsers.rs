//! Pages in browsers: those of other sites spend nothing here, those of an allowed origin get what browsers ask for.

use crate::support::gateway::free_address;
use crate::support::h2_client::H2Client;
use crate::support::pki::SERVER_NAME;
use crate::support::reload::UNWATCHED;
use crate::support::*;

const ORIGIN: &str = "https://chat.example.org";
const CORS: &str = "cors: [\"https://chat.example.org\"]";

fn from(origin: &str) -> String {
    format!("origin: {origin}\r\n")
}

/// A POST whose header lines name the content's type themselves.
fn submit(path: &str, lines: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\n{lines}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn preflight(path: &str, origin: &str, more: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nhost: gateway\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n{more}\r\n"
    )
}

async fn well() -> Upstream {
    let answer = Answer::json(200, completion("well"))
        .header("access-control-allow-origin", "*")
        .header("access-control-expose-headers", "x-theirs")
        .header("access-control-allow-credentials", "true")
        .header("x-request-id", "req-1")
        .header("x-ratelimit-remaining-requests", "9");
    Upstream::always(answer).await
}

fn refused(response: &Response, code: &str) {
    assert_eq!(response.json()["error"]["code"], code, "{}", response.text());
    assert_eq!(response.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_page_of_another_site_spends_nothing() {
    let upstream = well().await;
    let yaml = chain(&[upstream.url()]) + "server: { passthrough: a }";
    let gateway = Gateway::start(yaml).await;
    // What a page may send without asking first: a form's content types.
    let lines = "origin: https://evil.example\r\nsec-fetch-site: cross-site\r\ncontent-type: text/plain\r\n";
    let response = gateway.exchange(submit(CHAT, lines, &chat("m"))).await;
    assert_eq!(response.status(), 403);
    refused(&response, "foreign_origin");
    let text = response.text();
    assert!(text.contains("cors: [\\\"https://evil.example\\\"]"), "{text}");
    assert_eq!(gateway.access(&response.id()).await["outcome"], "gateway_error");

    let response = gateway.exchange(submit(MESSAGES, lines, &chat("m"))).await;
    assert_eq!((response.status(), &response.json()["type"]), (403, &"error".into()));
    for lines in [
        "origin: https://evil.example\r\n",
        "origin: null\r\n",
        "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n",
        "sec-fetch-site: same-site\r\nsec-fetch-mode: navigate\r\n",
        "origin: https://evil.example\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ] {
        let request = format!("GET /v1/files HTTP/1.1\r\nhost: gateway\r\n{lines}\r\n");
        assert_eq!(gateway.exchange(request).await.status(), 403, "{lines}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn programs_and_ones_own_pages_are_served() {
    let upstream = well().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    for lines in [
        "",
        "sec-fetch-site: none\r\n",
        "sec-fetch-site: same-origin\r\norigin: https://ai.example.org\r\n",
        "origin: http://localhost:3000\r\nsec-fetch-site: cross-site\r\n",
        "origin: http://127.0.0.1:5173\r\n",
        "origin: app://obsidian.md\r\nsec-fetch-site: cross-site\r\n",
        "origin: chrome-extension://abcdef\r\n",
    ] {
        let response = gateway.exchange(post_with(CHAT, lines, chat("m"))).await;
        assert_eq!(response.status(), 200, "{lines}");
        // No page may read it: not by what the upstream says of its own pages either.
        let named: Vec<_> = response
            .head
            .fields
            .iter()
            .filter(|(name, _)| name.starts_with("access-control"))
            .collect();
        assert!(named.is_empty(), "{named:?}");
        assert_eq!(response.header("vary"), None);
    }
}

#[tokio::test]
async fn without_cors_a_preflight_is_told_what_to_do() {
    let upstream = well().await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "server: { passthrough: a }").await;
    for origin in [ORIGIN, "http://localhost:3000"] {
        let response = gateway.exchange(preflight(CHAT, origin, "")).await;
        assert_eq!(response.status(), 403);
        refused(&response, "foreign_origin");
        assert!(
            response.text().contains(&format!("cors: [\\\"{origin}\\\"]")),
            "{}",
            response.text()
        );
    }
    assert_eq!(
        upstream.requests().len(),
        0,
        "an upstream is not asked what its own pages may"
    );
}

#[tokio::test]
async fn a_preflight_of_an_allowed_origin_is_answered() {
    let gateway = Setup::new(chain(&["http://127.0.0.1:9"])).listener(CORS).start().await;
    let asks = "access-control-request-headers: authorization,content-type,x-stainless-os\r\naccess-control-request-private-network: true\r\n";
    for path in [CHAT, "/v1/models", "/anything"] {
        let response = gateway.exchange(preflight(path, ORIGIN, asks)).await;
        assert_eq!((response.status(), response.body.len()), (204, 0));
        assert_eq!(response.header("content-length"), None);
        assert_eq!(response.header("access-control-allow-origin"), Some(ORIGIN));
        let methods = response.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("POST") && methods.contains("DELETE"), "{methods}");
        assert_eq!(
            response.header("access-control-allow-headers"),
            Some("authorization,content-type,x-stainless-os")
        );
        assert_eq!(response.header("access-control-allow-private-network"), Some("true"));
        assert_eq!(response.header("access-control-max-age"), Some("7200"));
        assert!(response.head.all("vary").contains(&"origin"), "{:?}", response.head);
        response.id();
    }
    let plain = gateway.exchange(preflight(CHAT, ORIGIN, "")).await;
    assert_eq!(plain.header("access-control-allow-private-network"), None);
    for origin in [
        "https://evil.example",
        "http://chat.example.org",
        "https://chat.example.org:8443",
        "null",
    ] {
        let response = gateway.exchange(preflight(CHAT, origin, asks)).await;
        assert_eq!(response.status(), 403, "{origin}");
        refused(&response, "foreign_origin");
    }
}

#[tokio::test]
async fn answers_carry_what_the_page_needs_in_place_of_the_upstreams_own() {
    let upstream = well().await;
    let gateway = Setup::new(chain(&[upstream.url()])).listener(CORS).start().await;
    let response = gateway.exchange(post_with(CHAT, &from(ORIGIN), chat("m"))).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.head.all("access-control-allow-origin"), [ORIGIN]);
    assert_eq!(response.header("access-control-allow-credentials"), None);
    let exposed = response.head.all("access-control-expose-headers");
    assert_eq!(exposed.len(), 1, "{exposed:?}");
    let exposed: Vec<&str> = exposed[0].split(", ").collect();
    for name in [
        "x-gateway-request-id",
        "x-gateway-attempts",
        "x-gateway-upstream",
        "x-request-id",
        "x-ratelimit-remaining-requests",
    ] {
        assert!(exposed.contains(&name), "{name} in {exposed:?}");
    }
    // Others get no such word, and a cache is told.
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.header("access-control-allow-origin"), None);
    assert_eq!(response.header("vary"), Some("origin"));
}

#[tokio::test]
async fn errors_streams_and_relays_carry_it_too() {
    let upstream = Upstream::answering([
        Answer::sse(stream_of("well")),
        Answer::json(400, error("no such thing", "invalid_request_error", None)).header("retry-after", "1"),
        Answer::json(200, "{}").header("access-control-allow-origin", "https://theirs.example"),
    ])
    .await;
    let yaml = chain(&[upstream.url()]) + "server: { passthrough: a }";
    let gateway = Setup::new(yaml).listener(CORS).start().await;
    let stream = post_with(CHAT, &from(ORIGIN), chat_stream("m"));
    let failure = post_with(CHAT, &from(ORIGIN), chat("m"));
    let form = format!("{}content-type: multipart/form-data; boundary=b\r\n", from(ORIGIN));
    let upload = submit("/v1/files", &form, "--b--").into_bytes();
    let unknown = post_with(CHAT, &from(ORIGIN), chat("unknown"));
    let models = format!("GET /v1/models HTTP/1.1\r\nhost: gateway\r\n{}\r\n", from(ORIGIN));
    let nowhere = format!("GET /v1/../.. HTTP/1.1\r\nhost: gateway\r\n{}\r\n", from(ORIGIN));
    for (request, status) in [
        (stream, 200),
        (failure, 400),
        (upload, 200),
        (unknown, 404),
        (models.into_bytes(), 200),
        (nowhere.into_bytes(), 400),
    ] {
        let response = gateway.exchange(request).await;
        assert_eq!(response.status(), status, "{}", response.text());
        assert_eq!(
            response.head.all("access-control-allow-origin"),
            [ORIGIN],
            "{:?}",
            response.head
        );
        let exposed = response.header("access-control-expose-headers").unwrap_or_default();
        assert!(exposed.contains("x-gateway-request-id"), "{exposed}");
        assert!(status != 400 || response.header("retry-after").is_none() || exposed.contains("retry-after"));
    }
}

#[tokio::test]
async fn each_listener_has_its_own_and_a_reload_changes_them() {
    let upstream = well().await;
    let other = free_address();
    let setup = Setup::new(chain(&[upstream.url()]) + UNWATCHED);
    let gateway = setup
        .listener(&format!(
            "{CORS} }}, {{ address: \"{other}\", cors: [\"http://webui:3000\"]"
        ))
        .start()
        .await;
    let allowed = async |address: &Address, origin: &str| {
        let mut client = Client::connect(address).await;
        client.send(preflight(CHAT, origin, "")).await;
        client.response().await.status() == 204
    };
    let other = Address::Tcp(other);
    assert!(allowed(&gateway.address, ORIGIN).await && !allowed(&gateway.address, "http://webui:3000").await);
    assert!(allowed(&other, "http://webui:3000").await && !allowed(&other, ORIGIN).await);
    let yaml = chain(&[upstream.url()]) + UNWATCHED;
    let text = gateway.whole(&yaml).replace("https://chat.example.org", "app://x");
    std::fs::write(&gateway.file, text).unwrap();
    gateway.hang_up();
    let line = gateway.attempt(0).await;
    assert_eq!(line["settings_changed"], "listen", "{line}");
    assert!(allowed(&gateway.address, "app://x").await && !allowed(&gateway.address, ORIGIN).await);
    assert!(allowed(&other, "http://webui:3000").await);
    assert!(
        !gateway.log.text().contains("take effect with the next start"),
        "{}",
        gateway.log.text()
    );
}

#[tokio::test]
async fn a_unix_socket_is_no_loopback_and_has_its_own_origins() {
    let upstream = well().await;
    let gateway = Setup::new(chain(&[upstream.url()])).unix().listener(CORS).start().await;
    let status = async |origin: &str| {
        gateway
            .exchange(post_with(CHAT, &from(origin), chat("m")))
            .await
            .status()
    };
    assert_eq!(status(ORIGIN).await, 200);
    assert_eq!(status("http://localhost:3000").await, 403);
    assert_eq!(status("app://obsidian.md").await, 200);
    assert_eq!(gateway.exchange(preflight(CHAT, ORIGIN, "")).await.status(), 204);
}

#[tokio::test]
async fn names_that_are_none_of_the_listeners_are_refused_where_it_has_some() {
    let upstream = well().await;
    let gateway = Setup::new(chain(&[upstream.url()]))
        .listener("hosts: [gateway.example]")
        .start()
        .await;
    let status = async |host: &str| {
        let request = format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\n\r\n");
        gateway.exchange(request).await.status()
    };
    for host in ["gateway.example", "gateway.example:8080", "localhost", "127.0.0.1:8080"] {
        assert_eq!(status(host).await, 200, "{host}");
    }
    assert_eq!(status("evil.example").await, 421);
}

#[tokio::test]
async fn over_http2_it_is_the_same() {
    let upstream = well().await;
    let more = format!("h2c: true, {CORS}, hosts: [{SERVER_NAME}]");
    let gateway = Setup::new(chain(&[upstream.url()])).listener(&more).start().await;
    let mut client = H2Client::connect_plain(&gateway).await;
    let mut ask = async |headers: &[(&str, &str)]| {
        let response = client.post_with(CHAT, headers, chat("m")).await;
        let allowed = response.headers().get("access-control-allow-origin").cloned();
        (
            response.status().as_u16(),
            allowed.map(|value| value.to_str().unwrap().to_owned()),
        )
    };
    assert_eq!(ask(&[]).await, (200, None));
    assert_eq!(ask(&[("origin", ORIGIN)]).await, (200, Some(ORIGIN.to_owned())));
    assert_eq!(ask(&[("origin", "https://evil.example")]).await, (403, None));
}
