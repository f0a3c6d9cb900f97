//! Which upstream a model name leads to, and under which name.

use crate::support::upstream::Received;
use crate::support::*;

/// `n` upstreams that all answer well, and the YAML that calls them `u0`, `u1`, ….
async fn good(n: usize) -> (Vec<Upstream>, String) {
    let mut upstreams = Vec::new();
    let mut yaml = "upstreams:\n".to_owned();
    for i in 0..n {
        let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
        yaml.push_str(&format!("  u{i}: {{ url: \"{}/v1\" }}\n", upstream.url()));
        upstreams.push(upstream);
    }
    (upstreams, yaml)
}

#[tokio::test]
async fn an_exact_name_keeps_its_name() {
    let (upstreams, yaml) = good(1).await;
    let gateway = Gateway::start(format!("{yaml}routes: {{ gpt-4o: [u0] }}")).await;
    let response = gateway.post(CHAT, chat("gpt-4o")).await;
    assert_eq!((response.status(), response.text()), (200, completion("well")));
    assert_eq!(upstreams[0].only_request().text(), chat("gpt-4o"));
    assert_eq!(response.header("x-gateway-upstream"), Some("u0"));
    assert_eq!(response.header("x-gateway-model"), Some("gpt-4o"));
}

#[tokio::test]
async fn a_target_may_name_another_model() {
    let (upstreams, yaml) = good(1).await;
    let routes =
        "routes:\n  a: [u0/openai/gpt-4o]\n  b: [{ upstream: u0, model: other }]\n  \"c-*\": [\"u0/vendor/*:free\"]";
    let gateway = Gateway::start(format!("{yaml}{routes}")).await;
    let served = gateway.post(CHAT, chat("a")).await;
    assert_eq!(served.header("x-gateway-model"), Some("openai/gpt-4o"));
    gateway.post(CHAT, chat("b")).await;
    gateway.post(CHAT, chat("c-1")).await;
    let models: Vec<String> = upstreams[0].requests().iter().map(Received::model).collect();
    assert_eq!(models, ["openai/gpt-4o", "other", "vendor/c-1:free"]);
}

#[tokio::test]
async fn the_most_exact_route_wins() {
    let (upstreams, yaml) = good(4).await;
    let routes = "routes:\n  \"*\": [u0]\n  \"gpt-*\": [u1]\n  \"gpt-*-mini\": [u2]\n  gpt-4o-mini: [u3]";
    let gateway = Gateway::start(format!("{yaml}{routes}")).await;
    for (model, upstream) in [("claude", 0), ("gpt-5", 1), ("gpt-5-mini", 2), ("gpt-4o-mini", 3)] {
        assert_eq!(gateway.post(CHAT, chat(model)).await.status(), 200);
        assert_eq!(upstreams[upstream].only_request().model(), model);
    }
}

#[tokio::test]
async fn equals_share_the_traffic() {
    let (upstreams, yaml) = good(2).await;
    let routes = "routes: { m: [{ spread: [{ target: u0, weight: 1 }, { target: u1/other, weight: 1 }] }] }";
    let gateway = Gateway::start(format!("{yaml}{routes}")).await;
    // That 64 fair draws all fall on one side happens once in 2^63 runs.
    let mut client = gateway.client().await;
    for _ in 0..64 {
        client.send(post(CHAT, chat("m"))).await;
        assert_eq!(client.response().await.status(), 200);
    }
    let counts = [upstreams[0].requests().len(), upstreams[1].requests().len()];
    assert_eq!(counts[0] + counts[1], 64);
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    assert_eq!(upstreams[1].requests()[0].model(), "other");
}

#[tokio::test]
async fn a_failed_equal_is_followed_by_the_others_and_then_the_chain() {
    let ports = [refusing_port().await, refusing_port().await];
    let good = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"http://127.0.0.1:{}/v1\" }}\n  b: {{ url: \"http://127.0.0.1:{}/v1\" }}\n  \
         c: {{ url: \"{}/v1\" }}\n\
         routes: {{ m: [{{ spread: [{{ target: a, weight: 5 }}, {{ target: b, weight: 1 }}] }}, c] }}",
        ports[0],
        ports[1],
        good.url()
    );
    let gateway = Gateway::start(yaml).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.header("x-gateway-upstream"), Some("c"));
    let mut tried: Vec<String> = response.ledger().into_iter().map(|attempt| attempt.target).collect();
    assert_eq!(tried.pop().as_deref(), Some("c/m"));
    tried.sort();
    assert_eq!(tried, ["a/m", "b/m"]);
}

#[tokio::test]
async fn a_chain_may_go_on_in_another_route() {
    let bad = Upstream::always(Answer::json(402, "{}")).await;
    let good = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\n\
         routes: {{ m: [a, {{ route: fallbacks }}], fallbacks: [b/cheap] }}",
        bad.url(),
        good.url()
    );
    let gateway = Gateway::start(yaml).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert_eq!(bad.only_request().model(), "m");
    assert_eq!(good.only_request().model(), "cheap");
}

#[tokio::test]
async fn an_unknown_model_is_told_its_neighbours() {
    let (upstreams, yaml) = good(1).await;
    let gateway = Gateway::start(format!("{yaml}routes: {{ gpt-4o: [u0], claude-sonnet: [u0] }}")).await;
    let response = gateway.post(CHAT, chat("gtp-4o")).await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-gateway-error-origin"), Some("gateway"));
    response.id();
    let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("gtp-4o") && message.contains("gpt-4o"), "{message}");
    let response = gateway.post(MESSAGES, chat("claude-sonet")).await;
    assert_eq!(response.status(), 404);
    let body = response.json();
    assert_eq!(
        (&body["type"], &body["error"]["type"]),
        (&"error".into(), &"not_found_error".into())
    );
    assert!(
        body["error"]["message"].as_str().unwrap().contains("claude-sonnet"),
        "{body}"
    );
    assert_eq!(upstreams[0].connections(), 0);
}

#[tokio::test]
async fn endpoints_that_nobody_knows_yet_are_routed_by_their_model() {
    let (upstreams, yaml) = good(1).await;
    let gateway = Gateway::start(format!("{yaml}routes: {{ m: [u0] }}")).await;
    for path in [
        "/v1/embeddings",
        "/v1/responses",
        "/v1/rerank",
        "/v1/audio/speech",
        "/v1/not/yet/invented",
    ] {
        assert_eq!(gateway.post(path, chat("m")).await.status(), 200, "{path}");
        assert_eq!(upstreams[0].requests().last().unwrap().target(), path);
    }
}
