//! How answers end over HTTP/2: with trailers, later than their body, never, or before the request does.

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;

use crate::support::h2_client::{H2Client, body_and_end};
use crate::support::h2_upstream::{H2Upstream, end_with_trailers};
use crate::support::pki::Pki;
use crate::support::*;

const TRAILERS: [(&str, &str); 6] = [
    ("grpc-status", "0"),
    ("x-checksum", "abc"),
    ("x-gateway-upstream", "forged"),
    ("set-cookie", "a=b"),
    ("content-length", "3"),
    ("authorization", "Bearer sk"),
];

fn yaml(upstream: &H2Upstream, pki: &Pki, more: &str) -> String {
    format!(
        "upstreams: {{ u: {{ url: \"{}/v1\", tls: {{ ca: \"{}\" }} }} }}\nroutes: {{ m: [u] }}\n{more}",
        upstream.url(),
        pki.ca_file().display()
    )
}

/// Two workers, so that two answers that keep theirs would be all.
const TWO: &str = "server: { threads: 2 }\npolicy: { retry: { same_target: 0 } }";

/// A gateway between an upstream and clients that all speak HTTP/2.
async fn both() -> (Pki, H2Upstream, Gateway) {
    let pki = Pki::new();
    let upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let gateway = Setup::new(yaml(&upstream, &pki, TWO)).tls(&pki).start().await;
    (pki, upstream, gateway)
}

#[tokio::test]
async fn trailers_reach_an_http_2_client() {
    let (pki, mut upstream, gateway) = both().await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    let stream = [role(), delta("well"), finish()].concat();
    for (content_type, body, is_late) in [
        ("application/json", completion("well"), false),
        ("application/json", completion("well"), true),
        ("text/event-stream", stream, true),
        ("application/grpc", String::new(), false),
    ] {
        let playing = async {
            let mut stream = upstream.exchange().await.begin(200, content_type);
            if !body.is_empty() {
                stream.send_data(body.clone().into(), false).unwrap();
            }
            if !is_late {
                end_with_trailers(&mut stream, &TRAILERS);
            }
            stream
        };
        let (mut response, mut stream) = tokio::join!(client.post("/v1/anything", chat("m")), playing);
        assert_eq!(response.status(), 200);
        let mut got = Vec::new();
        while got.len() < body.len() {
            got.extend(soon("the body", response.body_mut().data()).await.unwrap().unwrap());
        }
        if is_late {
            end_with_trailers(&mut stream, &TRAILERS);
        }
        assert_eq!(
            body_and_end(response.body_mut()).await,
            (Vec::new(), None),
            "{content_type}"
        );
        assert!(got == body.as_bytes());
        let trailers = soon("the trailers", response.body_mut().trailers()).await.unwrap();
        let mut passed = HeaderMap::new();
        passed.insert("grpc-status", "0".parse().unwrap());
        passed.insert("x-checksum", "abc".parse().unwrap());
        assert_eq!(trailers, Some(passed), "{content_type}");
    }
}

#[tokio::test]
async fn trailers_end_an_http_1_clients_answer_and_are_dropped() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let gateway = Gateway::start(yaml(&upstream, &pki, TWO)).await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        client.send(post_with(CHAT, "te: trailers\r\n", chat("m"))).await;
        let playing = async {
            let mut stream = upstream.exchange().await.begin(200, "application/json");
            stream.send_data(completion("well").into(), false).unwrap();
            end_with_trailers(&mut stream, &TRAILERS);
        };
        let (response, ()) = tokio::join!(client.response(), playing);
        assert_eq!(
            (response.status(), response.text(), response.end),
            (200, completion("well"), End::Clean)
        );
    }
}

#[tokio::test]
async fn trailers_of_a_chunked_answer_are_read_over() {
    for trailers in ["x-checksum: abc\r\n", "a: b\r\nc: d\r\n"] {
        let upstream = Manual::listen().await;
        let gateway = Gateway::start(chain(&[upstream.url()])).await;
        let playing = async {
            let (mut play, ..) = upstream.request().await;
            play.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            play.chunk(completion("well")).await;
            for byte in format!("0\r\n{trailers}\r\n").bytes() {
                play.send([byte]).await;
            }
            // Kept until the answer was read.
            play
        };
        let asking = gateway.exchange(post_with(CHAT, "te: trailers\r\n", chat("m")));
        let (response, _play) = tokio::join!(asking, playing);
        assert_eq!((response.text(), response.end), (completion("well"), End::Clean));
    }
}

#[tokio::test]
async fn many_answers_with_trailers_at_once_stop_nobody() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let watched = Watched::start(yaml(&upstream, &pki, "policy: { retry: { same_target: 0 } }") + "\n").await;
    let mut streams = Vec::new();
    let mut clients = Vec::new();
    // All of them have their body, and wait for the end: on an endpoint whose answers pass as they come.
    for _ in 0..20 {
        let mut client = watched.gateway.client().await;
        client.send(post("/v1/embeddings", chat("m"))).await;
        let mut stream = upstream.exchange().await.begin(200, "application/json");
        stream.send_data(completion("well").into(), false).unwrap();
        assert_eq!(client.head().await.status(), 200);
        client.until("well").await;
        streams.push(stream);
        clients.push(client);
    }
    let serving = async { upstream.exchange().await.json(200, completion("another")) };
    let (response, ()) = tokio::join!(watched.gateway.post(CHAT, chat("m")), serving);
    assert_eq!(response.text(), completion("another"));
    assert_eq!(watched.ask("/readyz").await.status(), 200);
    for stream in &mut streams {
        end_with_trailers(stream, &TRAILERS);
    }
    for mut client in clients {
        assert_eq!(client.rest_of_stream().await.1, End::Clean);
    }
    assert_eq!(watched.ask("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_head_whose_end_comes_later_or_never() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let gateway = Gateway::start(yaml(
        &upstream,
        &pki,
        "server: { threads: 2, passthrough: u }\npolicy: { retry: { same_target: 0 } }",
    ))
    .await;
    for (status, ends) in [(200, true), (200, false), (404, true), (404, false)] {
        let mut streams = Vec::new();
        for _ in 0..3 {
            let mut client = gateway.client().await;
            client.send("HEAD /v1/files/f HTTP/1.1\r\nhost: g\r\n\r\n").await;
            let playing = async { upstream.exchange().await.begin(status, "application/json") };
            let (head, mut stream) = tokio::join!(client.head(), playing);
            assert_eq!(head.status(), status);
            if ends {
                let _ = stream.send_data(Bytes::new(), true);
            }
            streams.push(stream);
        }
        let serving = async { upstream.exchange().await.json(200, completion("another")) };
        let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), serving);
        assert_eq!(response.text(), completion("another"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_endless_run_of_empty_frames_ends_the_answer_and_stops_nobody() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let policy =
        "server: { threads: 1 }\npolicy: { retry: { same_target: 0 }, timeouts: { first_token: 60s, idle: 60s } }";
    let gateway = Gateway::start(yaml(&upstream, &pki, policy)).await;
    let flood = |mut stream: h2::SendStream<Bytes>| {
        tokio::spawn(async move {
            while stream.send_data(Bytes::new(), false).is_ok() {
                tokio::task::yield_now().await;
            }
        })
    };
    // Before anything was said …
    let playing = async {
        let stream = upstream.exchange().await.begin(200, "application/json");
        soon("the end of the flood", flood(stream)).await.unwrap();
    };
    let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), playing);
    assert_eq!(response.status(), 502, "{}", response.text());
    // … and within a stream.
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let mut stream = upstream.exchange().await.begin_sse();
    stream.send_data(delta("one").into(), false).unwrap();
    client.head().await;
    client.until("one").await;
    let flooding = flood(stream);
    let (rest, end) = client.rest_of_stream().await;
    assert!(rest.contains("\"error\"") && end != End::Clean, "{rest} {end:?}");
    soon("the end of the flood", flooding).await.unwrap();
    let serving = async { upstream.exchange().await.json(200, completion("another")) };
    let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), serving);
    assert_eq!(response.text(), completion("another"));
}

#[tokio::test]
async fn a_whole_answer_before_the_end_of_the_request_is_delivered() {
    // RFC 9113, section 8.1: RST_STREAM with NO_ERROR asks for no more of the request, and takes nothing of the answer.
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen_with_window(pki.acceptor(&["h2"]), 1000).await;
    let gateway = Gateway::start(yaml(&upstream, &pki, TWO)).await;
    let body = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(1 << 20));
    for answer in [completion("well"), completion(&"long ".repeat(100_000))] {
        let playing = async {
            let mut exchange = upstream.exchange().await;
            let mut stream = exchange.begin(200, "application/json");
            stream.send_data(answer.clone().into(), true).unwrap();
            // The server's end of it: what is not read of the request is refused without an error.
            drop(exchange);
            stream
        };
        let (response, _stream) = tokio::join!(gateway.post(CHAT, &body), playing);
        assert_eq!(
            (response.status(), response.end.clone()),
            (200, End::Clean),
            "{response:?}"
        );
        assert!(response.text() == answer);
    }
}

#[tokio::test]
async fn a_connection_that_goes_away_ends_what_runs_and_begins_nothing() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let gateway = Gateway::start(yaml(&upstream, &pki, TWO)).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let mut stream = upstream.exchange().await.begin_sse();
    stream.send_data(delta("one").into(), false).unwrap();
    client.head().await;
    client.until("one").await;
    upstream.go_away();
    for _ in 0..3 {
        let serving = async { upstream.exchange().await.json(200, completion("another")) };
        let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), serving);
        assert_eq!((response.status(), response.text()), (200, completion("another")));
    }
    assert_eq!(upstream.connections(), 2, "a new one for what came after");
    stream.send_data(finish().into(), true).unwrap();
    assert_eq!(client.rest_of_stream().await, (finish(), End::Clean));
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_heard_gets_no_further_request() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let policy = "policy: { retry: { same_target: 0 }, timeouts: { headers: 300ms, answer: 300ms } }";
    let gateway = Gateway::start(yaml(&upstream, &pki, policy)).await;
    let silent = async { upstream.exchange().await.left().await };
    let (response, reason) = tokio::join!(gateway.post(CHAT, chat("m")), silent);
    assert_eq!((response.status(), reason), (504, Reason::CANCEL));
    let serving = async { upstream.exchange().await.json(200, completion("well")) };
    let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), serving);
    assert_eq!((response.status(), upstream.connections()), (200, 2));
}
