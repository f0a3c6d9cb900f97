//! Whose key goes where: an upstream's own to that upstream, the client's to nobody who was not meant to have it.

use crate::support::*;

/// Every way in which a client may identify itself.
const CLIENT_KEYS: &str = "authorization: Bearer sk-client\r\nx-api-key: sk-client\r\napi-key: sk-client\r\n\
                           cookie: session=sk-client\r\nproxy-authorization: Basic sk-client\r\n";

async fn one(upstream: &str, protocol: &str, path: &str) -> (crate::support::upstream::Received, Gateway) {
    let scripted = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = format!(
        "upstreams: {{ u: {{ url: \"{}\", protocol: {protocol}, {upstream} }} }}\nroutes: {{ m: [u] }}",
        scripted.url()
    );
    let gateway = Setup::new(yaml).env("UPSTREAM_KEY", "sk-upstream").start().await;
    let response = gateway.exchange(post_with(path, CLIENT_KEYS, chat("m"))).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    (scripted.only_request(), gateway)
}

#[tokio::test]
async fn an_upstream_gets_its_own_key_and_no_client_key() {
    let (request, _gateway) = one("key: \"${UPSTREAM_KEY}\"", "openai", CHAT).await;
    assert_eq!(request.head.all("authorization"), ["Bearer sk-upstream"]);
    assert!(
        !String::from_utf8_lossy(&request.head.raw).contains("sk-client"),
        "{:?}",
        request.head
    );
}

#[tokio::test]
async fn anthropics_key_has_its_own_header() {
    let (request, _gateway) = one("key: { env: UPSTREAM_KEY }", "anthropic", MESSAGES).await;
    assert_eq!(request.head.all("x-api-key"), ["sk-upstream"]);
    assert_eq!(request.header("authorization"), None);
    assert!(
        !String::from_utf8_lossy(&request.head.raw).contains("sk-client"),
        "{:?}",
        request.head
    );
}

#[tokio::test]
async fn a_key_may_go_in_another_header() {
    let (request, _gateway) = one("key: \"${UPSTREAM_KEY}\", key_header: api-key", "openai", CHAT).await;
    assert_eq!(request.head.all("api-key"), ["sk-upstream"]);
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn without_a_key_nothing_is_sent() {
    let (request, _gateway) = one("key: none", "openai", CHAT).await;
    for name in ["authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn passthrough_is_the_clients_own_credential() {
    let (request, _gateway) = one("key: passthrough", "openai", CHAT).await;
    assert_eq!(request.head.all("authorization"), ["Bearer sk-client"]);
    assert_eq!(
        request.header("proxy-authorization"),
        None,
        "that one is for the gateway itself (RFC 9110, 11.7.1)"
    );
}

#[tokio::test]
async fn a_key_may_come_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "sk-file\n").unwrap();
    let file = format!("key: {{ file: \"{}\" }}", dir.path().join("key").display());
    let (request, _gateway) = one(&file, "openai", CHAT).await;
    assert_eq!(request.head.all("authorization"), ["Bearer sk-file"]);
}

#[tokio::test]
async fn a_key_may_be_a_systemd_credential() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("openai"), "sk-credential\n").unwrap();
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = format!(
        "upstreams: {{ u: {{ url: \"{}/v1\", key: {{ credential: openai }} }} }}\nroutes: {{ m: [u] }}",
        upstream.url()
    );
    let gateway = Setup::new(yaml)
        .env("CREDENTIALS_DIRECTORY", &dir.path().display().to_string())
        .start()
        .await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert_eq!(
        upstream.only_request().head.all("authorization"),
        ["Bearer sk-credential"]
    );
}

#[tokio::test]
async fn a_fallback_gets_the_next_upstreams_key_and_nothing_of_the_last() {
    let first = Upstream::always(Answer::json(402, "{}")).await;
    let second = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\", key: \"${{KEY_A}}\", headers: {{ x-only-a: \"1\" }}, query: {{ a: \"1\" }} }}\n  \
         b: {{ url: \"{}/v1\", key: \"${{KEY_B}}\", key_header: x-b }}\nroutes: {{ m: [a, b] }}",
        first.url(),
        second.url()
    );
    let gateway = Setup::new(yaml).env("KEY_A", "sk-a").env("KEY_B", "sk-b").start().await;
    assert_eq!(
        gateway.exchange(post_with(CHAT, CLIENT_KEYS, chat("m"))).await.status(),
        200
    );
    let request = first.only_request();
    assert_eq!(
        (request.header("authorization"), request.header("x-only-a")),
        (Some("Bearer sk-a"), Some("1"))
    );
    assert_eq!(request.target(), "/v1/chat/completions?a=1");
    let request = second.only_request();
    assert_eq!(
        (request.header("authorization"), request.header("x-b")),
        (None, Some("sk-b"))
    );
    assert_eq!((request.header("x-only-a"), request.target()), (None, CHAT));
    assert!(!String::from_utf8_lossy(&request.head.raw).contains("sk-a"));
}
