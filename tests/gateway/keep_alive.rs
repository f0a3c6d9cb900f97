//! One client connection, many requests.

use crate::support::*;

#[tokio::test]
async fn a_client_may_be_quick_with_its_next_request() {
    for answer in [
        Answer::json(200, completion("well")),
        Answer::json(200, completion("well")).chunked(),
        Answer::sse(stream_of("well")),
    ] {
        let upstream = Upstream::always(answer).await;
        let gateway = Gateway::start(chain(&[upstream.url()])).await;
        let mut client = gateway.client().await;
        // The next request is sent within microseconds of the last byte of the answer before it.
        for n in 0..300 {
            client.send(post(CHAT, chat("m"))).await;
            let response = client.response().await;
            assert_eq!((response.status(), response.end), (200, End::Clean), "request {n}");
        }
        let gone = gateway
            .log
            .json()
            .iter()
            .filter(|line| line["outcome"] == "client_gone")
            .count();
        assert_eq!((gone, upstream.requests().len()), (0, 300), "nobody left");
    }
}

#[tokio::test]
async fn a_pipelined_request_waits_its_turn() {
    // RFC 9112, section 9.3.2.
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = upstream.request().await;
    client.send(post(CHAT, chat("m"))).await;
    play.answer(&Answer::json(200, completion("first"))).await;
    let first = client.response().await;
    assert_eq!(
        (first.status(), first.text(), &first.end),
        (200, completion("first"), &End::Clean)
    );
    // It may come over the kept connection, or over another.
    let playing = async {
        tokio::select! {
            _ = play.request() => play,
            (play, ..) = upstream.request() => play,
        }
    };
    let answering = async {
        playing.await.answer(&Answer::json(200, completion("second"))).await;
    };
    let (second, ()) = tokio::join!(client.response(), answering);
    assert_eq!((second.status(), second.text()), (200, completion("second")));
    assert_ne!(second.id(), first.header("x-gateway-request-id").unwrap());
}

#[tokio::test]
async fn an_error_of_the_gateway_does_not_end_the_connection() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    for (body, status) in [("{}".to_owned(), 400), (chat("nope"), 404), (chat("m"), 200)] {
        client.send(post(CHAT, body)).await;
        assert_eq!(client.response().await.status(), status);
    }
}

#[tokio::test]
async fn a_client_that_asks_for_a_close_gets_it() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    client.send(post_with(CHAT, "connection: close\r\n", chat("m"))).await;
    assert_eq!(client.response().await.status(), 200);
    client.closed().await;
    assert_eq!(upstream.only_request().header("connection"), None);
}

#[tokio::test]
async fn a_client_of_http_1_0_is_served() {
    let upstream = Upstream::always(Answer::json(200, completion("well")).chunked()).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    client
        .send(format!(
            "POST {CHAT} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{}",
            chat("m").len(),
            chat("m")
        ))
        .await;
    let response = client.response().await;
    assert_eq!(
        (response.status(), response.text()),
        (200, completion("well")),
        "{:?}",
        response.head
    );
    assert_eq!(response.header("transfer-encoding"), None, "HTTP/1.0 has no chunks");
}

#[tokio::test]
async fn a_request_that_every_target_fails_does_not_end_the_connection() {
    // One target can't be reached, one fails with an answer that is kept, one breaks off.
    let nobody = format!("http://127.0.0.1:{}", refusing_port().await);
    let failing = Upstream::always(Answer::json(500, "{}")).await;
    let breaking = Upstream::always(Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")).await;
    for (urls, status) in [
        (vec![nobody.clone()], 502),
        (vec![failing.url(), nobody.clone()], 500),
        (vec![breaking.url()], 502),
    ] {
        let gateway = Gateway::start(chain(&urls) + "policy: { exhausted: first, cooldown: { after: 0 } }\n").await;
        let mut client = gateway.client().await;
        let chunked = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            chat("m").len(),
            chat("m")
        );
        for request in [post(CHAT, chat("m")), chunked.into(), post(CHAT, chat("m"))] {
            client.send(request).await;
            let response = client.response().await;
            assert_eq!(
                (response.status(), response.end.clone()),
                (status, End::Clean),
                "{urls:?}"
            );
            assert_ne!(response.header("connection"), Some("close"));
        }
        // What is sent ahead waits for its turn behind a failure, too.
        client
            .send([post(CHAT, chat("m")), post(CHAT, chat("nope"))].concat())
            .await;
        assert_eq!(client.response().await.status(), status);
        assert_eq!(client.response().await.status(), 404);
        client.send(post_with(CHAT, "connection: close\r\n", chat("m"))).await;
        assert_eq!(client.response().await.header("connection"), Some("close"));
        client.closed().await;
    }
}

#[tokio::test]
async fn a_failed_request_whose_body_has_not_come_ends_the_connection() {
    let nobody = format!("http://127.0.0.1:{}", refusing_port().await);
    let yaml = format!("{}server: {{ passthrough: a }}\n", chain(&[nobody]));
    let gateway = Gateway::start(yaml).await;
    let mut client = gateway.client().await;
    // An upload is relayed; of its body only the beginning is sent, which could be taken for a request.
    client
        .send("POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-type: text/plain\r\ncontent-length: 90\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        .await;
    let response = client.response().await;
    assert_eq!((response.status(), response.header("connection")), (502, Some("close")));
    client.closed().await;
}
