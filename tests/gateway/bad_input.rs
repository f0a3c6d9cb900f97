//! What bad input gets: a clear 4xx in the protocol's shape, or a closed connection where HTTP itself is broken.
//! Nothing is forwarded, and the gateway stays well.

use crate::support::*;

/// An upstream that must never be reached, and the gateway before it.
async fn guarded(server: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = chain_with(&[upstream.url()], ", protocol: [openai, anthropic]");
    let gateway = Gateway::start(yaml + server).await;
    (upstream, gateway)
}

/// An error in the path's protocol, with everything that an SDK and its user look for.
fn check_shape(path: &str, response: &Response, status: u16) {
    assert_eq!(response.status(), status, "{path}: {}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-gateway-error-origin"), Some("gateway"));
    assert_eq!(response.end, End::Clean);
    response.id();
    let body = response.json();
    let error = &body["error"];
    assert!(
        error["message"].as_str().is_some_and(|message| message.len() > 10),
        "{body}"
    );
    assert!(error["type"].is_string(), "{body}");
    if path.starts_with(MESSAGES) {
        assert_eq!(body["type"], "error", "{body}");
    } else {
        assert!(
            body.get("type").is_none() && error.get("code").is_some() && error.get("param").is_some(),
            "{body}"
        );
    }
}

/// Nothing was forwarded, and a good request is still served.
async fn check_well(upstream: &Upstream, gateway: &Gateway) {
    assert_eq!(upstream.connections(), 0, "nothing is forwarded");
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200, "the gateway is well");
}

#[tokio::test]
async fn bodies_without_a_good_model() {
    let (upstream, gateway) = guarded("").await;
    let deep = "[".repeat(10_000);
    let bodies: Vec<Vec<u8>> = vec![
        b"{}".to_vec(),
        b"".to_vec(),
        b"   ".to_vec(),
        b"[]".to_vec(),
        b"[{\"model\":\"m\"}]".to_vec(),
        b"\"model\"".to_vec(),
        b"null".to_vec(),
        b"model=m".to_vec(),
        b"<xml/>".to_vec(),
        b"{\"messages\":[]}".to_vec(),
        b"{\"nested\":{\"model\":\"m\"}}".to_vec(),
        b"{\"Model\":\"m\"}".to_vec(),
        b"{\"model\":null}".to_vec(),
        b"{\"model\":1}".to_vec(),
        b"{\"model\":[\"m\"]}".to_vec(),
        b"{\"model\":{\"model\":\"m\"}}".to_vec(),
        b"{\"model\":\"m\",\"model\":\"m\"}".to_vec(),
        b"{\"model\":\"m\",\"mode\\u006c\":\"other\"}".to_vec(),
        b"{\"model\":\"m\",\"messages\":[{\"role\":\"us".to_vec(),
        b"{\"model\":\"m\"".to_vec(),
        b"{\"model\":\"m".to_vec(),
        b"{\"model\":\"m\"} trailing".to_vec(),
        b"{\"model\":\"m\"}{\"model\":\"m\"}".to_vec(),
        b"{\"model\":\"\xff\xfe\"}".to_vec(),
        b"{\"model\":\"\\ud800\"}".to_vec(),
        b"{\"model\":\"m\0\"}".to_vec(),
        b"\0\0\0\0".to_vec(),
        format!("{{\"model\":{deep}").into_bytes(),
        deep.clone().into_bytes(),
        format!("{{\"x\":{deep}{}}}", "]".repeat(10_000)).into_bytes(),
    ];
    for path in [CHAT, MESSAGES] {
        for body in &bodies {
            let response = gateway.post(path, body).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_eq!(response.status(), 400, "{path} {shown:?}: {}", response.text());
            check_shape(path, &response, 400);
        }
    }
    check_well(&upstream, &gateway).await;
}

#[tokio::test]
async fn members_that_readers_disagree_on() {
    let (upstream, gateway) = guarded("").await;
    for (body, member) in [
        ("{\"model\":\"m\",\"Model\":\"dear\"}", "model"),
        ("{\"MODEL\":\"dear\",\"model\":\"m\"}", "model"),
        ("{\"model\":\"m\",\"\\u004dodel\":\"dear\"}", "model"),
        ("{\"model\":\"m\",\"mod\\u0065l\":\"dear\"}", "model"),
        ("{\"model\":\"m\",\"model\":\"m\"}", "model"),
        ("{\"Model\":\"m\"}", "model"),
        ("{\"model\":\"m\",\"Stream\":true}", "stream"),
        ("{\"model\":\"m\",\"\u{17f}tream\":true}", "stream"),
        ("{\"model\":\"m\",\"stream\":false,\"stream\":true}", "stream"),
        ("{\"model\":\"m\",\"n\":1,\"N\":9}", "n"),
        ("{\"model\":\"m\",\"n\":1,\"n\":9}", "n"),
        (
            "{\"model\":\"m\",\"Previous_Response_Id\":\"r\"}",
            "previous_response_id",
        ),
        (
            "{\"model\":\"m\",\"conversation\":null,\"conversation\":\"c\"}",
            "conversation",
        ),
    ] {
        for path in [CHAT, MESSAGES] {
            let response = gateway.post(path, body).await;
            check_shape(path, &response, 400);
            let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(&format!("`{member}`")), "{body}: {message}");
            assert!(!message.contains("dear"), "{message}");
        }
    }
    let begins_with_a_mark = gateway
        .post(CHAT, [b"\xef\xbb\xbf", chat("m").as_bytes()].concat())
        .await;
    check_shape(CHAT, &begins_with_a_mark, 400);
    assert!(begins_with_a_mark.text().contains("byte order mark"));
    let twice = "content-type: multipart/form-data; boundary=b\r\n";
    check_shape(CHAT, &gateway.exchange(post_with(CHAT, twice, chat("m"))).await, 400);
    check_well(&upstream, &gateway).await;
    // Further in, and in other members, names are for the upstream to judge.
    let body = r#"{"model":"m","a":{"Model":1,"model":2,"model":3},"b":1,"B":2,"messages":[],"messages":[]}"#;
    assert_eq!(gateway.post(CHAT, body).await.status(), 200);
}

#[tokio::test]
async fn deep_nesting_is_no_fault_where_the_model_is_good() {
    let (upstream, gateway) = guarded("").await;
    let body = format!("{{\"x\":{}{},\"model\":\"m\"}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(gateway.post(CHAT, &body).await.status(), 200);
    assert_eq!(upstream.only_request().text(), body);
}

#[tokio::test]
async fn a_model_that_nobody_has() {
    let (upstream, gateway) = guarded("").await;
    let long = "m".repeat(100_000);
    for path in [CHAT, MESSAGES] {
        for (model, status) in [
            ("nope", 404),
            ("", 404),
            (" m", 404),
            ("M", 404),
            ("<script>alert(1)</script>", 404),
            // No model is called so, and logs and headers are no place for it.
            ("m\\u0000", 400),
            (long.as_str(), 400),
        ] {
            let response = gateway.post(path, chat(model)).await;
            check_shape(path, &response, status);
            assert!(
                response.body.len() < 4096,
                "an error is short: {} bytes",
                response.body.len()
            );
        }
    }
    check_well(&upstream, &gateway).await;
}

#[tokio::test]
async fn a_body_beyond_max_body() {
    let (upstream, gateway) = guarded("").await;
    for path in [CHAT, MESSAGES] {
        // Refused by what it announces, before it is there.
        let mut client = gateway.client().await;
        client
            .send(format!(
                "POST {path} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{{",
                40 << 20
            ))
            .await;
        check_shape(path, &client.response().await, 413);
        // Refused by what has come, when it announced nothing.
        let mut client = gateway.client().await;
        client
            .send(format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"))
            .await;
        let mebibyte = chunk(&vec![b' '; 1 << 20]);
        for _ in 0..40 {
            if client.http.send(&mebibyte).await.is_err() {
                break;
            }
        }
        check_shape(path, &client.response().await, 413);
    }
    assert!(gateway.memory_bytes("VmRSS") < 200 << 20);
    check_well(&upstream, &gateway).await;
}

#[tokio::test]
async fn max_body_is_a_setting() {
    let (upstream, gateway) = guarded("server: { max_body: 1KiB }").await;
    let body = |bytes: usize| {
        format!(
            "{{\"model\":\"m\",\"p\":\"{}\"}}",
            "x".repeat(bytes - r#"{"model":"m","p":""}"#.len())
        )
    };
    check_shape(CHAT, &gateway.post(CHAT, body(1025)).await, 413);
    assert_eq!(upstream.connections(), 0);
    assert_eq!(gateway.post(CHAT, body(1024)).await.status(), 200);
}

/// HTTP that is itself broken: the connection is closed, after a 4xx at most, and nothing goes on.
async fn refused(name: &str, request: impl AsRef<[u8]>) {
    let (upstream, gateway) = guarded("").await;
    let mut client = gateway.client().await;
    // The gateway may close before it has read all.
    let _ = client.http.send(request.as_ref()).await;
    while let Ok(Some(head)) = soon(name, client.http.head()).await {
        assert!((400..500).contains(&head.status()), "{name}: {head:?}");
        client.rest(head, Vec::new()).await;
    }
    check_well(&upstream, &gateway).await;
}

#[tokio::test]
async fn a_content_length_that_promises_too_much() {
    let (upstream, gateway) = guarded("").await;
    let mut client = gateway.client().await;
    client
        .send(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-length: 1000\r\n\r\n{}",
            chat("m")
        ))
        .await;
    client.http.end_of_sending().await.unwrap();
    if let Ok(Some(head)) = soon("an end", client.http.head()).await {
        assert!((400..500).contains(&head.status()), "{head:?}");
    }
    check_well(&upstream, &gateway).await;
}

#[tokio::test]
async fn a_content_length_that_promises_too_little() {
    refused(
        "content-length: 5",
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-length: 5\r\n\r\n{}",
            chat("m")
        ),
    )
    .await;
}

#[tokio::test]
async fn content_lengths_that_are_none() {
    for value in ["-1", "abc", "1e3", "0x20", "99999999999999999999999", "+5", "5, 6"] {
        let request = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-length: {value}\r\n\r\n{}",
            chat("m")
        );
        refused(value, request).await;
    }
    let twice = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-length: 5\r\ncontent-length: 60\r\n\r\n{}",
        chat("m")
    );
    refused("two lengths", twice).await;
}

#[tokio::test]
async fn chunked_garbage() {
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n");
    for garbage in [
        "garbage\r\n\r\n",
        "-5\r\nhello\r\n",
        "ffffffffffffffffff\r\n",
        "5\r\nhelloXX0\r\n\r\n",
    ] {
        refused(garbage, format!("{head}{garbage}")).await;
    }
}

#[tokio::test]
async fn two_framings_at_once() {
    // A classic of request smuggling (RFC 9112, section 6.1).
    let both = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{}",
        chat("m").len(),
        chat("m")
    );
    refused("both", both).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: g\r\ntransfer-encoding: gzip\r\n\r\n{}",
        chat("m")
    );
    refused("an unknown transfer coding", head).await;
}

#[tokio::test]
async fn heads_that_are_none() {
    refused(
        "64 KiB of headers",
        post_with(CHAT, &format!("x-long: {}\r\n", "h".repeat(64 << 10)), chat("m")),
    )
    .await;
    let many: String = (0..5000).map(|n| format!("x-{n}: 1\r\n")).collect();
    refused("5,000 headers", post_with(CHAT, &many, chat("m"))).await;
    refused("NUL in a header", post_with(CHAT, "x-nul: a\0b\r\n", chat("m"))).await;
    refused("a header without a name", post_with(CHAT, ": nameless\r\n", chat("m"))).await;
    refused("no HTTP", "hello there\r\n\r\n").await;
    refused(
        "NUL bytes",
        [0u8; 64].iter().chain(b"\r\n\r\n").copied().collect::<Vec<u8>>(),
    )
    .await;
    refused("a long path", post(&format!("/{}", "p".repeat(128 << 10)), chat("m"))).await;
}

#[tokio::test]
async fn paths_that_lead_nowhere() {
    let (upstream, gateway) = guarded("").await;
    for path in [
        "/v2",
        "/nope",
        "/v1",
        "/v1/nope",
        "/metrics",
        "/status",
        "/v1/messages/none",
    ] {
        check_shape(path, &gateway.get(path).await, 404);
    }
    check_shape("/../etc/passwd", &gateway.get("/../etc/passwd").await, 400);
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let request = format!("{method} {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\n\r\n");
        let response = gateway.exchange(request).await;
        assert!((400..500).contains(&response.status()), "{method}: {:?}", response.head);
        response.id();
    }
    check_well(&upstream, &gateway).await;
}

#[tokio::test]
async fn pipelined_requests_are_each_answered() {
    let (upstream, gateway) = guarded("").await;
    let mut client = gateway.client().await;
    client.send([post(CHAT, "{}"), post(CHAT, chat("m"))].concat()).await;
    assert_eq!(client.response().await.status(), 400);
    let second = soon("a second answer or a close", client.http.head()).await;
    if let Ok(Some(head)) = second {
        assert_eq!((head.status(), upstream.requests().len()), (200, 1));
    }
}
