//! What the gateway says for itself: whether it is there, why a request goes nowhere, and by which id to ask about it.

use crate::support::*;

const TABLE: &str =
    "upstreams: { u: { url: \"http://127.0.0.1:9/v1\", protocol: [openai, anthropic] } }\nroutes: { m: [u] }";

/// The word for programs.
fn code(response: &Response) -> String {
    response.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

async fn ask(gateway: &Gateway, line: &str, headers: &str, body: &str) -> Response {
    let length = body.len();
    let request = format!("{line} HTTP/1.1\r\nhost: g\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    gateway.exchange(request).await
}

#[tokio::test]
async fn the_root_says_what_is_here() {
    let gateway = Gateway::start(TABLE).await;
    let response = gateway.get("/").await;
    assert_eq!(response.status(), 200);
    assert!(response.text().contains("/v1/models"), "{}", response.text());
    let mut client = gateway.client().await;
    client.send("HEAD / HTTP/1.1\r\nhost: g\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!(head.status(), 200);
    assert!(
        head.header("content-length").is_some_and(|length| length != "0"),
        "{head:?}"
    );
}

#[tokio::test]
async fn what_a_client_reports_of_itself_goes_nowhere_and_warns_nobody() {
    let upstream = Upstream::always(Answer::json(200, "{}")).await;
    let yaml = format!("{}server: {{ passthrough: a }}\n", chain(&[upstream.url()]));
    let gateway = Gateway::start(yaml).await;
    for path in [
        "/api/event_logging/batch",
        "/v1/api/event_logging/v2/batch",
        "/api/claude_code/metrics",
    ] {
        let response = ask(
            &gateway,
            &format!("POST {path}"),
            "content-type: application/json\r\n",
            "{}",
        )
        .await;
        assert_eq!(
            (response.status(), code(&response).as_str()),
            (404, "not_collected"),
            "{path}"
        );
        let access = gateway.access(&response.id()).await;
        assert_eq!(
            (&access["level"], &access["refused"]),
            (&"info".into(), &"not_collected".into()),
            "{access}"
        );
    }
    assert_eq!(upstream.connections(), 0);
    // It is read to its end, so the connection stays.
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client.send(post("/api/event_logging/batch", "x".repeat(100_000))).await;
        assert_eq!(client.response().await.status(), 404);
    }
}

#[tokio::test]
async fn a_request_that_goes_nowhere_is_told_why() {
    const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";
    const JSON: &str = "content-type: application/json\r\n";
    const SOCKET: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n";
    let gateway = Gateway::start(TABLE).await;
    for (line, headers, body, why) in [
        ("GET /v1/chat", "", "", "is no endpoint of this gateway"),
        (
            "POST /v1/brand-new",
            FORM,
            "{}",
            "came as `application/x-www-form-urlencoded`",
        ),
        ("POST /v1/brand-new", "", "{}", "came without a `content-type`"),
        ("POST /v1/brand-new", JSON, "{}", "has no `model` in its body"),
        ("POST /v1beta/models/g:generateContent", JSON, "{}", "Gemini's own API"),
        ("GET /v1/chat/completions", "", "", "is asked by `POST`"),
        ("GET /v1/responses/resp_1", "", "", "what an account keeps"),
        ("GET /v1/live", SOCKET, "", "/v1/realtime?model=NAME"),
    ] {
        let response = ask(&gateway, line, headers, body).await;
        assert_eq!(
            (response.status(), code(&response).as_str()),
            (404, "no_route"),
            "{line}"
        );
        let text = response.text();
        assert!(
            text.contains(why) && text.contains("server.passthrough"),
            "{line}: {text}"
        );
    }
}

#[tokio::test]
async fn the_gateways_id_has_the_name_that_each_sdk_looks_for() {
    let gateway = Gateway::start(TABLE).await;
    for (path, body, name, other, status) in [
        (CHAT, chat("nope"), "x-request-id", "request-id", 404),
        (MESSAGES, chat("nope"), "request-id", "x-request-id", 404),
        // Nobody answers: the gateway's account of it.
        (CHAT, chat("m"), "x-request-id", "request-id", 502),
    ] {
        let response = gateway.post(path, body).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.header(name), response.header("x-gateway-request-id"), "{path}");
        assert_eq!(response.header(other), None, "{path}");
    }
    // A provider's own stays, and none is made up.
    let upstream = Upstream::always(Answer::json(400, error("no", "invalid_request_error", None))).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.header("x-request-id"), None);
}

#[tokio::test]
async fn the_account_says_why_there_was_no_connection() {
    let refusing = format!("http://127.0.0.1:{}", refusing_port().await);
    let unnamed = "http://nobody.invalid".to_owned();
    for (url, why) in [
        (refusing, "a/m: connect (connection refused) after"),
        (unnamed, "a/m: connect (no address) after"),
    ] {
        let gateway = Gateway::start(chain(&[url])).await;
        let response = gateway.post(CHAT, chat("m")).await;
        let text = response.text();
        assert!(response.status() == 502 && text.contains(why), "{text}");
    }
    let (pki, stranger) = (pki::Pki::new(), pki::Pki::new());
    let upstream = Upstream::always_over_tls(Answer::json(200, "{}"), pki.acceptor(&["http/1.1"])).await;
    for (tls, why) in [
        (
            format!("ca: \"{}\"", stranger.ca_file().display()),
            "certificate not trusted",
        ),
        (
            format!("ca: \"{}\", server_name: other.test", pki.ca_file().display()),
            "certificate of another name",
        ),
    ] {
        let url = upstream.url();
        let yaml = format!("upstreams: {{ u: {{ url: \"{url}/v1\", tls: {{ {tls} }} }} }}\nroutes: {{ m: [u] }}");
        let response = Gateway::start(yaml).await.post(CHAT, chat("m")).await;
        assert!(
            response.text().contains(&format!("u/m: connect ({why}) after")),
            "{}",
            response.text()
        );
    }
}
