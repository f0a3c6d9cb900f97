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
