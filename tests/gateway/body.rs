//! The request's body: every byte as the client sent it, but for `model` where the target names another.

use crate::support::*;

async fn one(routes: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = format!(
        "upstreams: {{ u: {{ url: \"{}/v1\" }} }}\nroutes: {{ {routes} }}",
        upstream.url()
    );
    let gateway = Gateway::start(yaml).await;
    (upstream, gateway)
}

/// Odd, and valid: spacing, key order, numbers, escapes, UTF-8, duplicate keys, `model` elsewhere.
fn odd(model: &str) -> String {
    format!(
        "\u{20}{{\n\t\"z\" : 1e400 , \"a\":-0.0,\"a\":12345678901234567890123,\r\n\"messages\":[{{\"model\":\"inner\",\
         \"content\":\"\\u0000\\ud83d\\ude00 ü\\/\\\"model\\\":\\\"no\\\"\"}}],\"nested\":{{\"model\":null}},\
         \"model\" :  {model} ,\"stream\":false,\"\":[[],{{}},true,null]}}\n\n"
    )
}

#[tokio::test]
async fn a_body_passes_byte_for_byte() {
    let (upstream, gateway) = one("gpt-4o: [u]").await;
    assert_eq!(gateway.post(CHAT, odd("\"gpt-4o\"")).await.status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.text(), odd("\"gpt-4o\""));
    assert_eq!(
        request.header("content-length"),
        Some(odd("\"gpt-4o\"").len().to_string().as_str())
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn only_the_models_value_is_replaced() {
    let (upstream, gateway) = one("gpt-4o: [u/vendor/other]").await;
    assert_eq!(gateway.post(CHAT, odd("\"gpt-4o\"")).await.status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.text(), odd("\"vendor/other\""));
    assert_eq!(
        request.header("content-length"),
        Some(request.body.len().to_string().as_str())
    );
}

#[tokio::test]
async fn a_models_escapes_are_understood() {
    let (upstream, gateway) = one("gpt-4o: [u], other: [u/x]").await;
    assert_eq!(gateway.post(CHAT, odd(r#""gpt\u002d4\u006F""#)).await.status(), 200);
    assert_eq!(
        upstream.requests()[0].text(),
        odd(r#""gpt\u002d4\u006F""#),
        "the same name stays as it was written"
    );
    assert_eq!(gateway.post(CHAT, r#"{"\u006dodel":"\u006fther"}"#).await.status(), 200);
    assert_eq!(
        upstream.requests()[1].text(),
        r#"{"\u006dodel":"x"}"#,
        "so may the key be escaped"
    );
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let (upstream, gateway) = one("m: [u]").await;
    let mut request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for piece in chat("m").as_bytes().chunks(7) {
        request.extend(chunk(piece));
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(gateway.exchange(request).await.status(), 200);
    assert_eq!(upstream.only_request().text(), chat("m"));
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it() {
    let (upstream, gateway) = one("m: [u]").await;
    let mut client = gateway.client().await;
    let request = post_with(CHAT, "expect: 100-continue\r\n", chat("m"));
    let (head, body) = request.split_at(request.len() - chat("m").len());
    client.send(head).await;
    assert_eq!(client.head().await.status(), 100);
    client.send(body).await;
    assert_eq!(client.response().await.status(), 200);
    let request = upstream.only_request();
    assert_eq!((request.text(), request.header("expect")), (chat("m"), None));
}

#[tokio::test]
async fn a_body_that_dribbles_in_arrives_whole() {
    let (upstream, gateway) = one("m: [u]").await;
    let mut client = gateway.client().await;
    for byte in post(CHAT, chat("m")) {
        client.send([byte]).await;
    }
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(upstream.only_request().text(), chat("m"));
}

#[tokio::test]
async fn the_largest_body_is_replayed_to_the_third_upstream() {
    const MAX_BYTES: usize = 32 * 1024 * 1024;
    let first = Upstream::always(Answer::json(500, "{}").then(Ending::Close)).await;
    let second = Upstream::always(Answer::reset()).await;
    let third = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\n  c: {{ url: \"{}/v1\" }}\n\
         routes: {{ m: [a, b, c/third] }}\npolicy: {{ retry: {{ same_target: 0 }} }}",
        first.url(),
        second.url(),
        third.url()
    );
    let gateway = Gateway::start(yaml).await;
    let (before, after) = (r#"{"model":"m","pad":""#, r#""}"#);
    let body = format!("{before}{}{after}", "x".repeat(MAX_BYTES - before.len() - after.len()));
    assert_eq!(body.len(), MAX_BYTES);
    let response = gateway.post(CHAT, &body).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    for upstream in [&first, &second] {
        assert!(upstream.only_request().text() == body, "the whole body, unchanged");
    }
    assert!(
        third.only_request().text() == body.replacen("\"m\"", "\"third\"", 1),
        "the whole body, another model"
    );
}
