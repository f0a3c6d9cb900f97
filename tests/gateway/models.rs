//! `GET /v1/models`: what the table offers, as the asking SDK expects it.

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
