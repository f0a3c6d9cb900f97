//! HTTP/2 on both sides.

use h2::Reason;

use crate::support::h2_client::{H2Client, body_and_end};
use crate::support::h2_upstream::{self, H2Upstream};
use crate::support::pki::Pki;
use crate::support::*;

fn yaml(url: &str, pki: &Pki, more: &str) -> String {
    format!(
        "upstreams: {{ u: {{ url: \"{url}/v1\", tls: {{ ca: \"{}\" }}{more} }} }}\nroutes: {{ m: [u] }}\n\
         policy: {{ retry: {{ backoff: 1ms, max_backoff: 2ms }} }}",
        pki.ca_file().display()
    )
}

/// A gateway with TLS before one plain upstream.
async fn front(answer: Answer) -> (Pki, Upstream, Gateway) {
    let pki = Pki::new();
    let upstream = Upstream::always(answer).await;
    let gateway = Setup::new(chain(&[upstream.url()])).tls(&pki).start().await;
    (pki, upstream, gateway)
}

#[tokio::test]
async fn a_client_may_speak_http_2() {
    let (pki, upstream, gateway) = front(Answer::json(200, completion("well")).chunked()).await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    let large = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(300_000));
    for body in [chat("m"), large] {
        let mut response = client.post(CHAT, body.clone()).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("x-gateway-request-id"));
        assert!(
            !response.headers().contains_key("transfer-encoding") && !response.headers().contains_key("connection")
        );
        assert_eq!(
            body_and_end(response.body_mut()).await,
            (completion("well").into_bytes(), None)
        );
        assert!(upstream.requests().last().unwrap().text() == body);
    }
    let (head, body) = (upstream.requests()[0].head.clone(), upstream.requests()[0].text());
    assert_eq!(
        (head.start_line.as_str(), body),
        ("POST /v1/chat/completions HTTP/1.1", chat("m"))
    );
    assert_eq!(head.all("host"), [upstream.address.to_string()]);
}

#[tokio::test]
async fn errors_of_the_gateway_over_http_2() {
    let (pki, upstream, gateway) = front(Answer::json(200, "{}")).await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    for (body, status) in [("{}", 400), ("not json", 400), (r#"{"model":"nope"}"#, 404)] {
        let mut response = client.post(CHAT, body).await;
        assert_eq!(response.status(), status);
        let (body, end) = body_and_end(response.body_mut()).await;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(end.is_none() && body["error"]["message"].is_string(), "{body}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_stream_over_http_2_comes_as_it_is_sent() {
    let pki = Pki::new();
    let upstream = Manual::listen().await;
    let gateway = Setup::new(chain(&[upstream.url()])).tls(&pki).start().await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    let playing = async {
        let (mut play, ..) = upstream.request().await;
        play.begin_sse().await;
        play.chunk(delta("one")).await;
        play
    };
    let (mut response, mut play) = tokio::join!(client.post(CHAT, chat_stream("m")), playing);
    let first = soon("the first event", response.body_mut().data())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first, delta("one"));
    play.chunk(finish()).await;
    play.finish().await;
    assert_eq!(body_and_end(response.body_mut()).await, (finish().into_bytes(), None));
}

#[tokio::test]
async fn a_broken_stream_ends_with_rst_stream_and_the_connection_lives() {
    let (pki, upstream, gateway) = front(Answer::sse([delta("half")]).then(Ending::Cut)).await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    for _ in 0..2 {
        let mut response = client.post(CHAT, chat_stream("m")).await;
        let id = response.headers()["x-gateway-request-id"].to_str().unwrap().to_owned();
        let (body, end) = body_and_end(response.body_mut()).await;
        let text = String::from_utf8(body).unwrap();
        assert!(
            end.is_some_and(|reason| reason != Reason::NO_ERROR),
            "{end:?} after {text}"
        );
        assert!(text.starts_with(&delta("half")) && text.contains(&id), "{text}");
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_client_that_resets_its_stream_frees_the_upstream() {
    let (pki, upstream, gateway) = front(Answer::sse([delta("one")]).then(Ending::Stall)).await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    let mut response = client.post(CHAT, chat_stream("m")).await;
    soon("the first event", response.body_mut().data())
        .await
        .unwrap()
        .unwrap();
    drop(response);
    upstream.left().await;
    gateway.client_gone().await;
}

#[tokio::test]
async fn an_h2c_listener_takes_both() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = Setup::new(chain(&[upstream.url()])).h2c().start().await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    let mut client = H2Client::connect_plain(&gateway).await;
    assert_eq!(client.post(CHAT, chat("m")).await.status(), 200);
}

#[tokio::test]
async fn an_upstream_may_speak_http_2() {
    let pki = Pki::new();
    for more in ["", ", http: 2"] {
        let mut upstream = H2Upstream::listen(pki.acceptor(&["h2", "http/1.1"])).await;
        let gateway = Gateway::start(yaml(&upstream.url(), &pki, more)).await;
        let playing = async {
            for _ in 0..2 {
                let mut exchange = upstream.exchange().await;
                assert_eq!(exchange.body().await, chat("m").into_bytes());
                assert_eq!(exchange.request.version(), http::Version::HTTP_2);
                assert_eq!(exchange.request.uri().path(), CHAT);
                assert!(exchange.request.headers().contains_key("x-gateway-request-id"));
                assert!(!exchange.request.headers().contains_key("connection"));
                exchange.json(200, completion("well"));
            }
        };
        let asking = async {
            for _ in 0..2 {
                let response = gateway.post(CHAT, chat("m")).await;
                assert_eq!(
                    (response.status(), response.text()),
                    (200, completion("well")),
                    "{more}"
                );
            }
        };
        tokio::join!(playing, asking);
        assert_eq!(upstream.connections(), 1);
    }
}

#[tokio::test]
async fn http_1_can_be_forced() {
    let pki = Pki::new();
    let upstream = Upstream::always_over_tls(Answer::json(200, "{}"), pki.acceptor(&["h2", "http/1.1"])).await;
    let gateway = Gateway::start(yaml(&upstream.url(), &pki, ", http: 1")).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert_eq!(
        upstream.only_request().head.start_line,
        "POST /v1/chat/completions HTTP/1.1"
    );
}

#[tokio::test]
async fn an_answer_of_http_2_that_was_kept_reaches_a_client_of_http_1() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let yaml = yaml(&upstream.url(), &pki, " }, down: { url: \"http://127.0.0.1:9\"").replace("[u]", "[u, down/m]");
    let gateway = Gateway::start(yaml).await;
    let error = r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#;
    let playing = async { upstream.exchange().await.json(429, error) };
    let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), playing);
    assert_eq!((response.status(), response.text().as_str()), (429, error));
    assert_eq!(response.ledger().len(), 2, "{:?}", response.ledger());
    assert_eq!(gateway.access(&response.id()).await["outcome"], "exhausted");
}

#[tokio::test]
async fn a_large_body_over_http_2_upstream() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let gateway = Gateway::start(yaml(&upstream.url(), &pki, "")).await;
    let body = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(3 << 20));
    let playing = async {
        let mut exchange = upstream.exchange().await;
        let got = exchange.body().await;
        exchange.json(200, completion("well"));
        got
    };
    let (response, got) = tokio::join!(gateway.post(CHAT, &body), playing);
    assert_eq!(response.status(), 200);
    assert!(got == body.as_bytes());
}

#[tokio::test]
async fn a_reset_over_http_2_is_a_reset() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let gateway = Gateway::start(yaml(&upstream.url(), &pki, "")).await;
    let playing = async {
        upstream.exchange().await.reset(Reason::INTERNAL_ERROR);
        upstream.exchange().await.json(200, completion("well"));
    };
    let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), playing);
    assert_eq!(
        (response.status(), response.ledger()[0].class.as_deref()),
        (200, Some("reset"))
    );
}

#[tokio::test]
async fn a_stream_reset_by_an_http_2_upstream_never_looks_complete() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let gateway = Gateway::start(yaml(&upstream.url(), &pki, "")).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let mut stream = upstream.exchange().await.begin_sse();
    stream.send_data(delta("half").into(), false).unwrap();
    client.head().await;
    client.until("half").await;
    stream.send_reset(Reason::INTERNAL_ERROR);
    let (rest, end) = client.rest_of_stream().await;
    assert!(rest.contains("\"error\"") && end != End::Clean, "{rest} {end:?}");
}

#[tokio::test]
async fn a_client_that_leaves_resets_the_upstreams_stream() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let gateway = Gateway::start(yaml(&upstream.url(), &pki, "")).await;
    // Before the answer …
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let mut exchange = upstream.exchange().await;
    client.leave();
    exchange.left().await;
    // … and within it; the connection serves on.
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let mut stream = upstream.exchange().await.begin_sse();
    stream.send_data(delta("one").into(), false).unwrap();
    client.head().await;
    client.until("one").await;
    client.leave();
    h2_upstream::left(&mut stream).await;
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_was_cut_while_it_was_held_reaches_the_client_before_its_reset() {
    let cut = Answer::json(500, error("boom", "server_error", None)).then(Ending::Cut);
    let upstream = Upstream::always(cut).await;
    let refusing = format!("http://127.0.0.1:{}", refusing_port().await);
    let policy = "policy: { retry: { same_target: 0 } }";
    let gateway = Setup::new(chain(&[upstream.url(), refusing]) + policy)
        .h2c()
        .start()
        .await;
    let mut client = H2Client::connect_plain(&gateway).await;
    for _ in 0..3 {
        let response = client.post(CHAT, chat("m")).await;
        assert_eq!(response.status(), 500);
        let (body, reset) = body_and_end(&mut response.into_body()).await;
        assert!(String::from_utf8_lossy(&body).contains("boom"));
        assert!(reset.is_some(), "it does not look complete");
    }
}
