//! The client's path and the upstream's base URL, put together as an SDK's user would expect.

use crate::support::*;

/// What arrives when `path` is asked for with an upstream at `base` that speaks `protocol`.
async fn arrives(base: &str, protocol: &str, path: &str) -> String {
    let upstream = Upstream::always(Answer::json(200, "{\"ok\":true}")).await;
    let gateway = Gateway::start(format!(
        "upstreams: {{ u: {{ url: \"{}{base}\", protocol: {protocol} }} }}\nroutes: {{ m: [u] }}",
        upstream.url()
    ))
    .await;
    let response = gateway.post(path, chat("m")).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    upstream.only_request().target().to_owned()
}

#[tokio::test]
async fn openai_paths_follow_the_base_url() {
    for (base, path, expected) in [
        ("/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("/v1", "/chat/completions", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions", "/v1/chat/completions"),
        (
            "/api/v1",
            "/v1/chat/completions?x=1&y",
            "/api/v1/chat/completions?x=1&y",
        ),
        ("", "/v1/chat/completions", "/chat/completions"),
        ("/api/paas/v4", "/v1/chat/completions", "/api/paas/v4/chat/completions"),
        (
            "/openai/deployments/d",
            "/v1/embeddings",
            "/openai/deployments/d/embeddings",
        ),
    ] {
        assert_eq!(arrives(base, "openai", path).await, expected, "{path} at {base}");
    }
}

#[tokio::test]
async fn anthropic_paths_are_kept_whole_and_no_version_is_doubled() {
    for (base, path, expected) in [
        ("", "/v1/messages", "/v1/messages"),
        ("", "/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("", "/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/api/anthropic", "/v1/messages", "/api/anthropic/v1/messages"),
        ("/v1", "/v1/messages", "/v1/messages"),
        ("/api/v1", "/v1/messages", "/api/v1/messages"),
        // The SDK with `http://HOST:8080/v1` as its base URL.
        ("", "/v1/v1/messages", "/v1/messages"),
    ] {
        assert_eq!(arrives(base, "anthropic", path).await, expected, "{path} at {base}");
    }
}

#[tokio::test]
async fn one_upstream_may_speak_both() {
    assert_eq!(
        arrives("/api/v1", "[openai, anthropic]", "/v1/messages").await,
        "/api/v1/messages"
    );
    assert_eq!(
        arrives("/api/v1", "[openai, anthropic]", CHAT).await,
        "/api/v1/chat/completions"
    );
}

/// An upstream, and a gateway that sends it everything that no model routes.
async fn with_passthrough() -> (Upstream, Gateway) {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = chain_with(&[upstream.url()], ", key: sk-operators, protocol: [openai, anthropic]");
    let gateway = Gateway::start(yaml + "server: { passthrough: a }").await;
    (upstream, gateway)
}

#[tokio::test]
async fn what_leads_out_of_the_base_url_is_refused() {
    let (upstream, gateway) = with_passthrough().await;
    let paths = [
        "/v1/../admin",
        "/../admin",
        "/v1/./files",
        "/v1/files/..",
        "/v1/%2e%2e/admin",
        "/v1/.%2E/admin",
        "/v1/..%2fadmin",
        "/v1/x%2f..%2f..%2f..%2fadmin",
        "/v1/..%5cadmin",
        "/v1/..\\..\\admin",
        "/v1\\files",
        "/v1/%252e%252e/admin",
        "/v1/..%252fadmin",
        "/v1/%2525252525252e/admin",
        "/v1/..;/admin",
        "/v1/..;a=b/admin",
        "/v1/..%3ba=b/admin",
        "/v1/%c0%ae%c0%ae/admin",
        "/v1/files%00",
        "/v1/a%0d%0aHost:%20x",
        "/v1/files/%+A",
        "/v1/files/%4",
        "/v1/files/100%",
    ];
    for path in paths {
        for request in [
            format!("GET {path} HTTP/1.1\r\nhost: g\r\n\r\n").into_bytes(),
            post(path, chat("m")),
        ] {
            let response = gateway.exchange(&request).await;
            assert_eq!(response.status(), 400, "{path}: {}", response.text());
            let error = &response.json()["error"];
            assert_eq!(error["code"], "invalid_path", "{path}: {error}");
            response.id();
        }
    }
    let anthropic = gateway.post("/v1/messages/..%2f..%2fadmin", chat("m")).await;
    assert_eq!(
        (anthropic.status(), anthropic.json()["type"].as_str()),
        (400, Some("error"))
    );
    let raw = [b"GET /v1/\xff\xfe HTTP/1.1\r\nhost: g\r\n\r\n".as_slice()].concat();
    assert_eq!(gateway.exchange(raw).await.status(), 400);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn over_http_2_as_well() {
    use crate::support::h2_client::H2Client;
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = Setup::new(chain(&[upstream.url()])).h2c().start().await;
    let mut client = H2Client::connect_plain(&gateway).await;
    for path in ["/v1/../admin", "/v1/..%2fadmin", "/v1/%252e%252e/admin"] {
        assert_eq!(client.post(path, chat("m")).await.status(), 400, "{path}");
    }
    assert_eq!(client.post("//v1//chat/completions/", chat("m")).await.status(), 200);
    assert_eq!(upstream.only_request().target(), CHAT);
}

#[tokio::test]
async fn slashes_too_many_are_served_as_they_were_meant() {
    for (protocol, path, expected) in [
        ("openai", "//v1/chat/completions", "/api/v1/chat/completions"),
        ("openai", "/v1//chat/completions", "/api/v1/chat/completions"),
        ("openai", "/v1/chat/completions/", "/api/v1/chat/completions"),
        (
            "openai",
            "//chat///completions//?a=//b/",
            "/api/v1/chat/completions?a=//b/",
        ),
        ("openai", "/v1/v1/chat/completions", "/api/v1/chat/completions"),
        ("openai", "/v1/%63hat/completions", "/api/v1/chat/completions"),
        (
            "openai",
            "http://gateway/v1/chat/completions?x=1",
            "/api/v1/chat/completions?x=1",
        ),
        ("openai", "/v1/brand-new/a%2Fb%3Ac", "/api/v1/brand-new/a%2Fb:c"),
        ("anthropic", "//v1/messages", "/api/v1/messages"),
        ("anthropic", "/v1/messages/?beta=true", "/api/v1/messages?beta=true"),
    ] {
        assert_eq!(arrives("/api/v1", protocol, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn the_list_of_models_is_found_as_well() {
    let gateway = Gateway::start(
        "upstreams: { u: { url: \"http://127.0.0.1:1/v1\" } }\n\
         routes: { \"anthropic/claude-3.7:thinking\": [u], \"50%off\": [u] }",
    )
    .await;
    for path in [
        "/v1/models",
        "//v1/models",
        "/v1//models/",
        "/models/",
        "http://gateway/v1/models",
    ] {
        let response = gateway.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.json()["data"].as_array().map(Vec::len), Some(2), "{path}");
    }
    for (path, id) in [
        (
            "/v1/models/anthropic%2Fclaude-3.7%3Athinking",
            "anthropic/claude-3.7:thinking",
        ),
        (
            "/v1/models/anthropic/claude-3.7:thinking",
            "anthropic/claude-3.7:thinking",
        ),
        (
            "//v1/models//anthropic%2fclaude-3.7:thinking/",
            "anthropic/claude-3.7:thinking",
        ),
        ("/v1/models/50%25off", "50%off"),
    ] {
        let response = gateway.get(path).await;
        assert_eq!(response.status(), 200, "{path}: {}", response.text());
        assert_eq!(response.json()["id"], id, "{path}");
    }
    for path in ["/v1/models/50%off", "/v1/models/%+A", "/v1/models/..%2f..%2fx"] {
        assert_eq!(gateway.get(path).await.status(), 400, "{path}");
    }
}

#[tokio::test]
async fn methods_that_are_not_served_say_which_are() {
    let (upstream, gateway) = with_passthrough().await;
    for (method, target, status) in [
        ("TRACE", "/v1/files", 405),
        ("CONNECT", "g:80", 405),
        ("BREW", "/v1/files", 501),
        ("PROPFIND", "/v1/files", 501),
        ("get", "/v1/files", 501),
    ] {
        let response = gateway
            .exchange(format!("{method} {target} HTTP/1.1\r\nhost: g:80\r\n\r\n"))
            .await;
        assert_eq!(response.status(), status, "{method}: {}", response.text());
        let allow = (status == 405).then_some("GET, HEAD, POST, PUT, PATCH, DELETE");
        assert_eq!(response.header("allow"), allow, "{method}");
        response.id();
    }
    assert_eq!(
        gateway.exchange("GET * HTTP/1.1\r\nhost: g\r\n\r\n").await.status(),
        400
    );
    assert_eq!(upstream.connections(), 0);
}
