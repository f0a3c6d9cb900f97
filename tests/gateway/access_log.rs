//! The log: one line a request, and no secret in any.

use crate::support::*;

#[tokio::test]
async fn one_line_a_request() {
    let busy = Upstream::always(Answer::json(402, "{}")).await;
    let good = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\nroutes: {{ m: [a, b/vendor/x] }}",
        busy.url(),
        good.url()
    );
    let gateway = Gateway::start(yaml).await;
    let response = gateway.post(&format!("{CHAT}?key=in-the-query"), chat("m")).await;
    let id = response.id();
    let line = gateway.access(&id).await;
    assert_eq!(line["model"], "m");
    assert_eq!(line["target"], "b/vendor/x");
    assert_eq!(line["status"], 200);
    assert_eq!(line["outcome"], "ok");
    assert_eq!(line["attempts"], 2);
    assert_eq!(line["method"], "POST");
    assert_eq!(line["path"], CHAT);
    assert!(line["ms"].is_u64() && line["ts"].is_string(), "{line}");
    assert_eq!(line["ledger"], response.header("x-gateway-attempts").unwrap());
    assert!(
        line["bytes_in"] == chat("m").len() && line["bytes_out"] == response.body.len(),
        "{line}"
    );
    // Another request's line comes after this one's second, if it had one.
    let other = gateway.post(CHAT, "{}").await;
    let line = gateway.access(&other.id()).await;
    assert_eq!(
        (&line["status"], &line["outcome"], &line["attempts"]),
        (&400.into(), &"gateway_error".into(), &0.into())
    );
    let lines = gateway.log.json();
    let count = |id: &str| {
        lines
            .iter()
            .filter(|line| line["msg"] == "access" && line["id"] == id)
            .count()
    };
    assert_eq!((count(&id), count(&other.id())), (1, 1));
}

#[tokio::test]
async fn outcomes_have_names() {
    let broken = Upstream::always(Answer::json(500, "{}")).await;
    let gateway =
        Gateway::start(chain(&[broken.url()]) + "policy: { retry: { backoff: 1ms, max_backoff: 2ms } }").await;
    let response = gateway.post(CHAT, chat("m")).await;
    let line = gateway.access(&response.id()).await;
    assert_eq!(
        (&line["outcome"], &line["status"], &line["attempts"]),
        (&"exhausted".into(), &500.into(), &2.into())
    );
}

#[tokio::test]
async fn no_key_and_no_prompt_at_any_level() {
    let secret = error(
        "the prompt was prompt-secret, the key sk-client-secret",
        "server_error",
        None,
    );
    let cases = [
        Answer::json(500, secret.clone()),
        Answer::json(401, secret),
        Answer::raw("HTTP/9 prompt-secret\r\n\r\n"),
        Answer::json(200, completion("answer-secret")).header("set-cookie", "cookie-secret"),
    ];
    for answer in cases {
        let upstream = Upstream::always(answer).await;
        let yaml = format!(
            "upstreams: {{ u: {{ url: \"{}/v1\", key: \"${{UPSTREAM_KEY}}\", headers: {{ x-own: header-secret }}, \
             query: {{ q: query-secret }} }} }}\nroutes: {{ m: [u] }}\npolicy: {{ retry: {{ backoff: 1ms, max_backoff: 2ms }} }}",
            upstream.url()
        );
        let gateway = Setup::new(yaml)
            .env("UPSTREAM_KEY", "sk-upstream-secret")
            .level("trace")
            .start()
            .await;
        let lines =
            "authorization: Bearer sk-client-secret\r\nx-api-key: sk-client-secret\r\ncookie: cookie-secret\r\n";
        let body = r#"{"model":"m","messages":[{"role":"user","content":"prompt-secret"}]}"#;
        let response = gateway
            .exchange(post_with(&format!("{CHAT}?key=query-secret"), lines, body))
            .await;
        gateway.access(&response.id()).await;
        gateway.exchange(post_with(CHAT, lines, r#"{"prompt-secret"#)).await;
        let text = gateway.log.text();
        let leaks: Vec<&str> = text.lines().filter(|line| line.contains("secret")).collect();
        assert!(leaks.is_empty(), "{} lines leak: {leaks:#?}", leaks.len());
    }
}

#[tokio::test]
async fn a_name_cannot_forge_a_line() {
    let upstream = Upstream::always(Answer::json(200, "{}")).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let response = gateway
        .post(CHAT, chat("x\\n{\\\"msg\\\":\\\"access\\\",\\\"id\\\":\\\"forged\\\"}"))
        .await;
    assert_eq!(response.status(), 400, "control characters are in no model's name");
    gateway.access(&response.id()).await;
    assert!(gateway.log.json().iter().all(|line| line["id"] != "forged"));
}
