//! `GET /v1/models`: what the table offers, as the asking SDK expects it.

use std::time::Duration;

use crate::support::*;

const TABLE: &str = "upstreams: { u: { url: \"http://127.0.0.1:9/v1\" } }\n\
                     routes: { gpt-4o: [u], vendor/deep-model: [u], \"claude-*\": [u] }";

async fn ask(gateway: &Gateway, path: &str, lines: &str) -> Response {
    gateway
        .exchange(format!("GET {path} HTTP/1.1\r\nhost: g\r\n{lines}\r\n"))
        .await
}

const ANTHROPIC: &str = "anthropic-version: 2023-06-01\r\n";

#[tokio::test]
async fn the_list_has_openais_shape() {
    let gateway = Gateway::start(TABLE).await;
    for path in ["/v1/models", "/models"] {
        let response = ask(&gateway, path, "").await;
        assert_eq!(
            (response.status(), response.header("content-type")),
            (200, Some("application/json")),
            "{path}"
        );
        response.id();
        let body = response.json();
        assert_eq!(body["object"], "list");
        let models = body["data"].as_array().unwrap();
        for model in models {
            assert_eq!(model["object"], "model");
            assert!(model["created"].is_u64() && model["owned_by"].is_string(), "{model}");
        }
        let ids: Vec<&str> = models.iter().filter_map(|model| model["id"].as_str()).collect();
        assert!(ids.contains(&"gpt-4o") && ids.contains(&"vendor/deep-model"), "{ids:?}");
    }
}

#[tokio::test]
async fn the_list_has_anthropics_shape_for_its_sdk() {
    let gateway = Gateway::start(TABLE).await;
    let response = ask(&gateway, "/v1/models?limit=20", ANTHROPIC).await;
    assert_eq!(response.status(), 200);
    let body = response.json();
    assert_eq!(body["has_more"], false);
    let models = body["data"].as_array().unwrap();
    for model in models {
        assert!(
            model["type"] == "model" && model["display_name"].is_string() && model["created_at"].is_string(),
            "{model}"
        );
    }
    assert_eq!(
        (&body["first_id"], &body["last_id"]),
        (&models[0]["id"], &models[models.len() - 1]["id"])
    );
}

#[tokio::test]
async fn one_model_by_its_name() {
    let gateway = Gateway::start(TABLE).await;
    for (path, id) in [
        ("/v1/models/gpt-4o", "gpt-4o"),
        ("/models/gpt-4o", "gpt-4o"),
        ("/v1/models/vendor/deep-model", "vendor/deep-model"),
        ("/v1/models/vendor%2Fdeep-model", "vendor/deep-model"),
        ("/v1/models/claude-x", "claude-x"),
    ] {
        let response = ask(&gateway, path, "").await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(
            (&response.json()["id"], &response.json()["object"]),
            (&id.into(), &"model".into()),
            "{path}"
        );
    }
    let response = ask(&gateway, "/v1/models/gpt-4o", ANTHROPIC).await;
    assert_eq!(
        (&response.json()["id"], &response.json()["type"]),
        (&"gpt-4o".into(), &"model".into())
    );
}

#[tokio::test]
async fn a_model_that_nobody_has() {
    let gateway = Gateway::start(TABLE).await;
    let response = ask(&gateway, "/v1/models/gtp-4o", "").await;
    assert_eq!(response.status(), 404);
    let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("gpt-4o"), "{message}");
    let response = ask(&gateway, "/v1/models/gtp-4o", ANTHROPIC).await;
    assert_eq!(
        (response.status(), &response.json()["error"]["type"]),
        (404, &"not_found_error".into())
    );
}

/// The names that the gateway lists.
async fn listed(gateway: &Gateway) -> Vec<String> {
    let body = gateway.get("/v1/models").await.json();
    let models = body["data"].as_array().unwrap().iter();
    models.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until it lists these.
async fn lists(gateway: &Gateway, expected: &[&str]) {
    let waiting = async {
        while listed(gateway).await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(&format!("the models {expected:?}"), waiting).await;
}

#[tokio::test]
async fn a_glob_lists_what_the_file_says() {
    let yaml = "upstreams: { u: { url: \"http://127.0.0.1:9/v1\" } }\n\
                routes: { gpt-4o: [u], \"claude-*\": { models: [claude-opus-5, claude-haiku-5, claude-opus-5], targets: [u] }, \"x-*\": [u] }";
    let gateway = Gateway::start(yaml).await;
    assert_eq!(listed(&gateway).await, ["gpt-4o", "claude-opus-5", "claude-haiku-5"]);
    let response = gateway.post(CHAT, chat("claud-opus-5")).await;
    let text = response.text();
    assert!(
        response.status() == 404 && text.contains("the closest are: claude-opus-5, claude-*, claude-haiku-5"),
        "{text}"
    );
}

#[tokio::test]
async fn a_glob_lists_what_its_upstreams_list() {
    let list = |names: &[&str]| {
        let data: Vec<_> = names
            .iter()
            .map(|name| serde_json::json!({ "id": name, "object": "model" }))
            .collect();
        Answer::json(200, serde_json::json!({ "object": "list", "data": data }).to_string())
    };
    let (first, second) = (
        Upstream::always(Answer::json(404, "{}")).await,
        Upstream::always(Answer::json(404, "{}")).await,
    );
    first.answer_at("/v1/models", list(&["gpt-5", "gpt-4o", "dall-e", "gpt-5-mini"]));
    second.answer_at(
        "/api/v1/models?limit=1000&team=blue",
        list(&[
            "vendor/gpt-9:free",
            "vendor/gpt-5:free",
            "other/gpt-1:free",
            "vendor/:free",
        ]),
    );
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\", key: sk-a }}\n  b: {{ url: \"{}/api\", key: sk-b, protocol: anthropic, query: {{ team: blue }} }}\n\
         routes:\n  \"gpt-*\": {{ models: ask, targets: [a, \"b/vendor/*:free\", b/fixed] }}\n  gpt-4o: [a]\n  \"gpt-5-*\": [a]\n",
        first.url(),
        second.url()
    );
    let gateway = Gateway::start(yaml).await;
    // What another route takes is listed by that, or not at all.
    lists(&gateway, &["gpt-5", "gpt-9", "gpt-4o"]).await;
    let asked = second.requests_at("/api/v1/models?limit=1000&team=blue");
    assert_eq!(asked.len(), 1, "it is not asked for again soon");
    assert_eq!(
        (
            asked[0].method(),
            asked[0].header("x-api-key"),
            asked[0].header("anthropic-version")
        ),
        ("GET", Some("sk-b"), Some("2023-06-01"))
    );
    assert_eq!(
        first.requests_at("/v1/models")[0].header("authorization"),
        Some("Bearer sk-a")
    );
    // Known lists outlive a reload.
    let text = std::fs::read_to_string(&gateway.file).unwrap();
    std::fs::write(&gateway.file, text.replace("\"gpt-5-*\": [a]", "other: [a]")).unwrap();
    lists(&gateway, &["gpt-5", "gpt-5-mini", "gpt-9", "gpt-4o", "other"]).await;
    assert_eq!(first.requests_at("/v1/models").len(), 1);
}

#[tokio::test]
async fn a_list_that_cant_be_had_is_a_line_in_the_log() {
    let upstream = Upstream::always(Answer::json(401, error("no such key", "invalid_request_error", None))).await;
    let yaml = format!(
        "upstreams: {{ u: {{ url: \"{}/v1\", key: sk-secret-word }} }}\nroutes: {{ \"*\": {{ models: ask, targets: [u] }} }}\n",
        upstream.url()
    );
    let gateway = Gateway::start(yaml).await;
    gateway.log.says("the upstream's models can't be listed").await;
    gateway.log.says("status 401").await;
    assert!(listed(&gateway).await.is_empty());
    assert!(!gateway.log.text().contains("secret-word"));
}
