//! Requests that carry no model: files, batches, and what else belongs to one account.

use crate::support::*;

async fn with_passthrough() -> (Upstream, Upstream, Gateway) {
    let plain = Upstream::always(Answer::json(200, completion("well"))).await;
    let files =
        Upstream::always(Answer::json(200, "{\"object\":\"list\",\"data\":[]}").header("x-request-id", "req_1")).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  files: {{ url: \"{}/v1\", key: \"${{FILES_KEY}}\" }}\n\
         routes: {{ m: [a] }}\nserver: {{ passthrough: files }}",
        plain.url(),
        files.url()
    );
    let gateway = Setup::new(yaml).env("FILES_KEY", "sk-files").start().await;
    (plain, files, gateway)
}

#[tokio::test]
async fn files_and_batches_go_to_the_passthrough_upstream() {
    let (plain, files, gateway) = with_passthrough().await;
    let line = "authorization: Bearer sk-client\r\n";
    for (method, path, body) in [
        ("GET", "/v1/files?limit=2", ""),
        ("DELETE", "/v1/files/file-1", ""),
        ("GET", "/v1/files/file-1/content", ""),
        (
            "POST",
            "/v1/batches",
            r#"{"input_file_id":"file-1","endpoint":"/v1/chat/completions"}"#,
        ),
        ("POST", "/v1/batches/b/cancel", ""),
        ("GET", "/v1/responses/resp_1", ""),
        ("DELETE", "/v1/responses/resp_1", ""),
    ] {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: g\r\n{line}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = gateway.exchange(request).await;
        assert_eq!(
            (response.status(), response.header("x-request-id")),
            (200, Some("req_1")),
            "{method} {path}"
        );
        response.id();
        let got = files.requests().pop().unwrap();
        assert_eq!(
            (got.method(), got.target(), got.text()),
            (method, path, body.to_owned())
        );
        assert_eq!(got.head.all("authorization"), ["Bearer sk-files"]);
    }
    assert_eq!(plain.connections(), 0);
    assert_eq!(
        gateway.post(CHAT, chat("m")).await.header("x-gateway-upstream"),
        Some("a"),
        "models are routed still"
    );
}

#[tokio::test]
async fn an_upload_passes_byte_for_byte() {
    let (_plain, files, gateway) = with_passthrough().await;
    let body = "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\n\
                content-disposition: form-data; name=\"file\"; filename=\"f.jsonl\"\r\n\r\n{\"model\":\"m\"}\r\n--b--\r\n";
    let request = format!(
        "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(gateway.exchange(request).await.status(), 200);
    let got = files.only_request();
    assert_eq!(
        (got.text().as_str(), got.header("content-type")),
        (body, Some("multipart/form-data; boundary=b"))
    );
}

#[tokio::test]
async fn without_one_they_are_told_so() {
    let upstream = Upstream::always(Answer::json(200, "{}")).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    for request in [
        "GET /v1/files HTTP/1.1\r\nhost: g\r\n\r\n",
        "DELETE /v1/responses/r HTTP/1.1\r\nhost: g\r\n\r\n",
    ] {
        let response = gateway.exchange(request).await;
        assert_eq!(response.status(), 404);
        let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("passthrough"), "{message}");
    }
    assert_eq!(upstream.connections(), 0);
}

/// A model `m`, and nothing for requests that no model routes.
async fn models_only() -> (Upstream, Gateway) {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = chain_with(&[upstream.url()], ", key: sk-operators, protocol: [openai, anthropic]");
    (upstream, Gateway::start(yaml).await)
}

fn with_method(method: &str, path: &str) -> String {
    let body = chat("m");
    format!(
        "{method} {path} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What an account keeps, and how it is run.
const GUARDED: [&str; 22] = [
    "/v1/files",
    "/files",
    "/v1/files/f1",
    "/v1/v1/files",
    "/V1/Files",
    "/v1/%66iles",
    "/v1/%2566iles",
    "/v1%2ffiles",
    "/v1/files/",
    "//v1//files",
    "/v1/files;x=1",
    "/openai/deployments/d/files",
    "/v1/batches",
    "/v1/responses/resp_1/cancel",
    "/v1/threads/t/runs",
    "/v1/assistants",
    "/v1/organization/admin_api_keys",
    "/v1/organization/projects/p/api_keys",
    "/v1/organizations/workspaces",
    "/v1/keys",
    "/v1/credits",
    "/v1/fine_tuning/jobs",
];

#[tokio::test]
async fn a_model_in_the_body_leads_to_nothing_of_the_account() {
    let (upstream, gateway) = models_only().await;
    for path in GUARDED {
        let response = gateway.exchange(with_method("POST", path)).await;
        assert_eq!(response.status(), 404, "{path}: {}", response.text());
        let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("passthrough"), "{path}: {message}");
    }
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        for path in ["/v1/files/f1", "/v1/brand-new", CHAT] {
            let response = gateway.exchange(with_method(method, path)).await;
            assert_eq!(response.status(), 404, "{method} {path}: {}", response.text());
        }
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_model_in_the_body_leads_to_every_other_endpoint() {
    let (upstream, gateway) = models_only().await;
    for path in [
        "/v1/responses",
        "/v1/responses/compact",
        "/v1/responses/input_tokens",
        "/v1/responses/brand_new",
        "/v1/messages/count_tokens",
        "/v1/videos",
        "/v1/brand-new",
        "/v1/audio/brand-new",
        "/v2/brand-new/thing",
        "/openai/deployments/d/chat/completions",
    ] {
        let response = gateway.post(path, chat("m")).await;
        assert_eq!(response.status(), 200, "{path}: {}", response.text());
    }
    assert_eq!(upstream.requests().len(), 10);
}

#[tokio::test]
async fn with_a_passthrough_what_runs_the_account_stays_closed() {
    let (plain, files, gateway) = with_passthrough().await;
    for path in GUARDED {
        for method in ["GET", "POST", "DELETE"] {
            let before = files.requests().len();
            let response = gateway.exchange(with_method(method, path)).await;
            let administers = ["organization", "keys", "credits", "fine_tuning"]
                .iter()
                .any(|word| path.contains(word));
            let status = if administers { 403 } else { 200 };
            assert_eq!(response.status(), status, "{method} {path}: {}", response.text());
            assert_eq!(
                files.requests().len() - before,
                usize::from(!administers),
                "{method} {path}"
            );
            if administers {
                let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
                let help = format!("passthrough: {{ upstream: files, paths: [{path}] }}");
                assert!(message.contains(&help), "{message}");
            }
        }
    }
    // Neither do uploads and websockets get there.
    let upload =
        "POST /v1/organization/x HTTP/1.1\r\nhost: g\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi";
    let websocket = "GET /v1/organization/x HTTP/1.1\r\nhost: g\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    for request in [upload, websocket] {
        assert_eq!(gateway.exchange(request).await.status(), 403);
    }
    assert_eq!(plain.connections(), 0);
}

#[tokio::test]
async fn paths_of_the_account_can_be_opened_by_name() {
    let files = Upstream::always(Answer::json(200, "{}")).await;
    let gateway = Gateway::start(
        chain(&[files.url()])
            + "server: { passthrough: { upstream: a, paths: [/v1/organization/usage/*, /v1/fine_tuning/jobs] } }",
    )
    .await;
    for (path, status) in [
        ("/v1/files", 200),
        ("/v1/organization/usage/completions", 200),
        ("/organization/usage/completions", 200),
        ("/V1/ORGANIZATION/usage/costs", 200),
        ("/v1/fine_tuning/jobs", 200),
        ("/v1/organization/usage", 403),
        ("/v1/organization/admin_api_keys", 403),
        ("/v1/organization/usage%2f..%2fadmin_api_keys", 400),
        ("/v1/fine_tuning/jobs/j", 403),
        ("/v1/keys", 403),
    ] {
        let response = gateway.get(path).await;
        assert_eq!(response.status(), status, "{path}: {}", response.text());
    }
    let targets: Vec<String> = files
        .requests()
        .iter()
        .map(|request| request.target().to_owned())
        .collect();
    assert_eq!(
        targets[3], "/v1/V1/ORGANIZATION/usage/costs",
        "what is sent is what was asked for"
    );
}
