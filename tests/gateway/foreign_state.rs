//! What another account made, and this one can't read: the request goes on to who may have made it, nobody cools down for
//! it, and it hides no other error.

use serde_json::json;

use crate::support::*;

const RESPONSES: &str = "/v1/responses";
const QUICK: &str = "policy: { retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms } }\n";

fn well() -> Answer {
    Answer::json(
        200,
        r#"{"id":"resp_2","object":"response","output":[{"type":"message"}]}"#,
    )
}

fn foreign() -> Answer {
    let message = "The encrypted content gAAA...Za4= could not be verified.";
    Answer::json(
        400,
        error(message, "invalid_request_error", Some("invalid_encrypted_content")),
    )
}

fn limited() -> Answer {
    Answer::json(429, error("slow down", "requests", None)).header("retry-after", "20")
}

/// As Codex sends each turn: the reasoning so far, encrypted for the account that made it.
const REASONED: &str = r#"{"model":"m","store":false,"include":["reasoning.encrypted_content"],"input":[
    {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAfromb"},{"role":"user","content":"go on"}]}"#;
/// As Claude Code sends each turn: the thinking so far, signed.
const THOUGHT: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":
    [{"type":"thinking","thinking":"so","signature":"EqQBCg"},{"type":"text","text":"hello"}]},{"role":"user","content":"go on"}]}"#;
const BOUND: &str = r#"{"model":"m","input":"go on","previous_response_id":"resp_1"}"#;

#[tokio::test]
async fn a_conversation_goes_back_to_who_made_it_and_nobody_cools_down() {
    let refused = |status, message: &str, code| Answer::json(status, error(message, "invalid_request_error", code));
    let anthropic = |status, kind, message| {
        let error = json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1" });
        Answer::json(status, error.to_string())
    };
    for (path, body, answer) in [
        (RESPONSES, REASONED, foreign()),
        (
            RESPONSES,
            REASONED,
            refused(
                404,
                "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.",
                None,
            ),
        ),
        (
            RESPONSES,
            r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"file-abc"}]}]}"#,
            refused(404, "No such File object: file-abc", None),
        ),
        (
            RESPONSES,
            BOUND,
            refused(
                400,
                "Previous response with id 'resp_1' not found.",
                Some("previous_response_not_found"),
            ),
        ),
        (
            MESSAGES,
            THOUGHT,
            anthropic(
                400,
                "invalid_request_error",
                "messages.1.content.0: Invalid `signature` in `thinking` block",
            ),
        ),
        (
            MESSAGES,
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file_011C"}}]}]}"#,
            anthropic(404, "not_found_error", "File not found: file_011C"),
        ),
    ] {
        let first = Upstream::always(answer).await;
        let second = Upstream::always(well()).await;
        let yaml = chain_with(&[first.url(), second.url()], ", protocol: [openai, anthropic]");
        let gateway = Gateway::start(yaml + QUICK).await;
        for _ in 0..3 {
            let response = gateway.post(path, body).await;
            assert_eq!(
                (response.status(), response.header("x-gateway-upstream")),
                (200, Some("b")),
                "{body}"
            );
            assert_eq!(response.ledger()[0].class.as_deref(), Some("foreign_state"), "{body}");
        }
        assert_eq!((first.requests().len(), second.requests().len()), (3, 3), "{body}");
    }
}

#[tokio::test]
async fn the_client_is_told_to_wait_for_who_made_it() {
    let first = Upstream::always(limited()).await;
    let second = Upstream::always(foreign()).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url()]) + QUICK).await;
    for attempts in [["a/m", "b/m"], ["b/m", "a/m"]] {
        // The second time the first one cools down; it is asked all the same, for it may have made this.
        let response = gateway.post(RESPONSES, REASONED).await;
        assert_eq!((response.status(), response.header("retry-after")), (429, Some("20")));
        let ledger = response.ledger();
        let targets: Vec<_> = ledger.iter().map(|attempt| attempt.target.as_str()).collect();
        assert_eq!(targets, attempts);
    }
}

#[tokio::test]
async fn an_attempt_without_an_answer_is_told_of_rather_than_state_that_nobody_knows() {
    let dead = format!("http://127.0.0.1:{}", refusing_port().await);
    let other = Upstream::always(foreign()).await;
    for urls in [[dead.clone(), other.url()], [other.url(), dead]] {
        let gateway = Gateway::start(chain(&urls) + QUICK).await;
        let response = gateway.post(RESPONSES, REASONED).await;
        assert_eq!(response.status(), 502, "{}", response.text());
        assert_eq!(response.header("x-gateway-error-origin"), Some("gateway"));
        assert!(response.text().contains("foreign_state"), "{}", response.text());
    }
}

#[tokio::test]
async fn where_nobody_made_it_the_client_is_told_so() {
    let first = Upstream::always(foreign().header("x-from", "a")).await;
    let second = Upstream::always(foreign().header("x-from", "b")).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url()]) + QUICK).await;
    let response = gateway.post(RESPONSES, REASONED).await;
    assert_eq!((response.status(), response.header("x-from")), (400, Some("b")));
    assert_eq!(response.json()["error"]["code"], "invalid_encrypted_content");
    // With one target it is an answer to what was asked.
    let gateway = Gateway::start(chain(&[first.url()]) + QUICK).await;
    let response = gateway.post(RESPONSES, REASONED).await;
    assert_eq!(response.status(), 400);
    assert_eq!(gateway.access(&response.id()).await["outcome"], "ok");
}

#[tokio::test]
async fn a_pinned_request_asks_one_after_the_other_until_one_knows_it() {
    let lost = || {
        let message = "Previous response with id 'resp_1' not found.";
        Answer::json(
            400,
            error(message, "invalid_request_error", Some("previous_response_not_found")),
        )
    };
    let (first, second) = (Upstream::always(lost()).await, Upstream::always(lost()).await);
    let third = Upstream::always(well()).await;
    let urls = [first.url(), second.url(), third.url()];
    let gateway = Gateway::start(chain(&urls) + QUICK).await;
    let response = gateway.post(RESPONSES, BOUND).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("c"))
    );
    // Any other failure may be that of the account that made it: nobody else is asked to guess.
    let second = Upstream::always(limited()).await;
    let third = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url(), third.url()]) + QUICK).await;
    let response = gateway.post(RESPONSES, BOUND).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (429, Some("b"))
    );
    assert_eq!(third.connections(), 0);
}

#[tokio::test]
async fn what_an_account_keeps_is_missing_there_and_nowhere_else() {
    let files = Upstream::always(Answer::json(
        404,
        error("No such File object: file-abc", "invalid_request_error", None),
    ))
    .await;
    let plain = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  files: {{ url: \"{}/v1\" }}\n\
         routes: {{ m: [a] }}\nserver: {{ passthrough: files }}\n{QUICK}",
        plain.url(),
        files.url()
    );
    let gateway = Gateway::start(yaml).await;
    let response = gateway.get("/v1/files/file-abc").await;
    assert_eq!((response.status(), response.ledger().len()), (404, 1));
    assert_eq!(gateway.access(&response.id()).await["outcome"], "ok");
    assert_eq!(plain.connections(), 0);
}
