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
