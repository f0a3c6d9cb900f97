//! Requests that are bound to one account's state: one upstream, always the same, retried there.

use crate::support::*;

const RESPONSES: &str = "/v1/responses";
const BOUND: &str = r#"{"model":"m","input":"hi","previous_response_id":"resp_1"}"#;
const QUICK: &str = "policy: { retry: { backoff: 1ms, max_backoff: 2ms } }\n";

fn well() -> Answer {
    Answer::json(
        200,
        r#"{"id":"resp_2","object":"response","output":[{"type":"message"}]}"#,
    )
}

#[tokio::test]
async fn a_reset_is_made_good_there() {
    for failed in [Answer::reset(), Answer::close(), Answer::json(500, "{}")] {
        let first = Upstream::answering([failed, well()]).await;
        let second = Upstream::always(well()).await;
        let gateway = Gateway::start(chain(&[first.url(), second.url()]) + QUICK).await;
        let response = gateway.post(RESPONSES, BOUND).await;
        assert_eq!(
            (response.status(), response.header("x-gateway-upstream")),
            (200, Some("a"))
        );
        assert_eq!((first.requests().len(), second.connections()), (2, 0));
        assert!(first.requests().iter().all(|request| request.text() == BOUND));
    }
}

#[tokio::test]
async fn nothing_leads_elsewhere() {
    let dead = format!("http://127.0.0.1:{}", refusing_port().await);
    let second = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[dead, second.url()]) + QUICK).await;
    let response = gateway.post(RESPONSES, BOUND).await;
    assert_eq!(response.status(), 502, "{}", response.text());
    assert!(response.ledger().iter().all(|attempt| attempt.target == "a/m"));
    for answer in [
        Answer::json(402, "{}"),
        Answer::json(401, "{}"),
        Answer::json(429, error("slow down", "requests", None)).header("retry-after", "60"),
        Answer::json(404, error("no such model", "", Some("model_not_found"))),
    ] {
        let status = String::from_utf8_lossy(&answer.writes()[0])[9..12].to_owned();
        let first = Upstream::always(answer).await;
        let gateway = Gateway::start(chain(&[first.url(), second.url()]) + QUICK).await;
        let response = gateway.post(RESPONSES, BOUND).await;
        assert_eq!(
            (response.status().to_string(), response.header("x-gateway-upstream")),
            (status, Some("a"))
        );
        assert_eq!(first.requests().len(), 1);
    }
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn null_binds_to_nobody() {
    let first = Upstream::always(Answer::json(402, "{}")).await;
    let second = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url()])).await;
    let body = r#"{"model":"m","input":"hi","previous_response_id":null,"conversation":null}"#;
    let response = gateway.post(RESPONSES, body).await;
    assert_eq!(response.header("x-gateway-upstream"), Some("b"));
}

#[tokio::test]
async fn among_equals_it_is_always_the_first() {
    let first = Upstream::always(well()).await;
    let second = Upstream::always(well()).await;
    let foreign = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  other: {{ url: \"{}\", protocol: anthropic }}\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\n\
         routes: {{ m: [other, {{ spread: [{{ target: a, weight: 1 }}, {{ target: b, weight: 1000 }}] }}] }}",
        foreign.url(),
        first.url(),
        second.url()
    );
    let gateway = Gateway::start(yaml).await;
    for _ in 0..20 {
        assert_eq!(gateway.post(RESPONSES, BOUND).await.status(), 200);
    }
    assert_eq!(
        (first.requests().len(), second.connections(), foreign.connections()),
        (20, 0, 0)
    );
}

/// An upstream for models, one for what an account keeps, and the gateway before them.
async fn with_files(answers: impl IntoIterator<Item = Answer>) -> (Upstream, Upstream, Gateway) {
    let plain = Upstream::always(well()).await;
    let files = Upstream::answering(answers).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  files: {{ url: \"{}/v1\" }}\n\
         routes: {{ m: [a] }}\nserver: {{ passthrough: files }}\n{QUICK}",
        plain.url(),
        files.url()
    );
    let gateway = Gateway::start(yaml).await;
    (plain, files, gateway)
}

#[tokio::test]
async fn a_request_without_a_body_is_tried_again() {
    for method in ["GET", "DELETE", "POST"] {
        let (plain, files, gateway) =
            with_files([Answer::reset(), Answer::json(503, "{}"), Answer::json(200, "[1]")]).await;
        for (status, attempts) in [(503, 2), (200, 1)] {
            // As some SDKs do, it names the type of a body that is not there.
            let request = format!(
                "{method} /v1/responses/resp_1/x?y=1 HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n\r\n"
            );
            let response = gateway.exchange(request).await;
            assert_eq!(
                (response.status(), response.ledger().len()),
                (status, attempts),
                "{method}"
            );
            assert_eq!(response.header("x-gateway-upstream"), Some("files"));
        }
        let requests = files.requests();
        assert_eq!(requests.len(), 3);
        for got in requests {
            assert_eq!(
                (got.method(), got.target(), got.body.len()),
                (method, "/v1/responses/resp_1/x?y=1", 0)
            );
            let length = (method == "POST").then_some("0");
            assert_eq!(got.header("content-length"), length, "{method}");
        }
        assert_eq!(plain.connections(), 0);
    }
}

#[tokio::test]
async fn an_account_that_does_not_answer_is_told_in_the_ledger() {
    let (_plain, files, gateway) = with_files([Answer::reset(), Answer::reset()]).await;
    let response = gateway.get("/v1/files").await;
    assert_eq!(response.status(), 502);
    let ledger = response.ledger();
    assert_eq!(ledger.len(), 2);
    assert!(
        ledger
            .iter()
            .all(|attempt| attempt.target == "files" && attempt.class.as_deref() == Some("reset"))
    );
    assert_eq!(files.requests().len(), 2);
}

#[tokio::test]
async fn a_large_file_comes_whole() {
    let file: Vec<u8> = (0..=255).cycle().take(5 << 20).collect();
    let answer = Answer::status(200, file.clone()).header("content-type", "application/octet-stream");
    let (_plain, _files, gateway) = with_files([answer.clone(), answer.chunked()]).await;
    for _ in 0..2 {
        let response = gateway.get("/v1/files/f/content").await;
        assert_eq!((response.status(), response.end), (200, End::Clean));
        assert!(response.body == file);
    }
}

#[tokio::test]
async fn a_list_that_is_empty_is_an_answer() {
    let empty = r#"{"object":"list","data":[],"first_id":null,"has_more":false}"#;
    let (_plain, files, gateway) = with_files([Answer::json(200, empty), Answer::json(200, "")]).await;
    for body in [empty, ""] {
        let response = gateway.get(CHAT).await;
        assert_eq!((response.status(), response.text().as_str()), (200, body));
    }
    assert_eq!(files.requests().len(), 2);
}

#[tokio::test]
async fn head_has_a_header_and_no_body() {
    let answer = Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nx-kept: 1\r\n\r\n").then(Ending::Whole);
    let failed = Answer::raw("HTTP/1.1 500 No\r\ncontent-length: 1000\r\n\r\n").then(Ending::Whole);
    let (_plain, files, gateway) = with_files([answer.clone(), failed, answer]).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client.send("HEAD /v1/files/f HTTP/1.1\r\nhost: g\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!(
            (head.status(), head.header("content-length"), head.header("x-kept")),
            (200, Some("1000"), Some("1"))
        );
    }
    assert_eq!(files.requests().len(), 3, "tried again after the 500");
    client.send("HEAD /v1/models HTTP/1.1\r\nhost: g\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 200, "the gateway's own list");
    // Nothing was sent that would be taken for the start of this answer.
    client.send(post(RESPONSES, BOUND)).await;
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn a_stored_conversation_may_know_the_model() {
    let body = r#"{"input":"hi","conversation":"conv_1"}"#;
    let (plain, files, gateway) = with_files([well()]).await;
    assert_eq!(
        gateway.post(RESPONSES, body).await.header("x-gateway-upstream"),
        Some("files")
    );
    assert_eq!((files.only_request().text().as_str(), plain.connections()), (body, 0));
    let unbound = gateway.post(RESPONSES, r#"{"input":"hi"}"#).await;
    assert_eq!(unbound.status(), 400, "nothing knows it");

    let gateway = Gateway::start(chain(&[plain.url()])).await;
    let response = gateway.post(RESPONSES, body).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.json()["error"]["param"], "model");
}

#[tokio::test]
async fn json_without_a_model_passes_as_it_is() {
    let (_plain, files, gateway) = with_files([well(), well(), well()]).await;
    for body in ["[{\"op\":\"add\"}]", "{\"name\":\"store\"}", ""] {
        let response = gateway.post("/v1/vector_stores", body).await;
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(files.requests().pop().unwrap().text(), body);
    }
    assert_eq!(gateway.post("/v1/vector_stores", "{\"name\":").await.status(), 400);
}
