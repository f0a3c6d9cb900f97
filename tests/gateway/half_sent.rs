//! A connection to an upstream on which something was left half done is never used again.

use h2::Reason;

use crate::support::h2_upstream::H2Upstream;
use crate::support::manual::Play;
use crate::support::pki::Pki;
use crate::support::*;

/// Part of a prompt, and a request of its own where it is read as one.
const WITHIN: &str = "GET /admin/secret HTTP/1.1\r\nhost: upstream\r\n\r\n";

/// More than loopback's buffers hold, so that most of it is unsent when the upstream answers early.
fn large() -> String {
    let text = serde_json::json!(WITHIN.repeat(400_000)).to_string();
    format!("{{\"model\":\"m\",\"prompt\":{text}}}")
}

fn policy() -> &'static str {
    "policy: { retry: { same_target: 1, backoff: 1ms, max_backoff: 2ms } }"
}

/// What is still read on a connection, slowly at first, until the gateway ends it.
async fn rest_of(mut play: Play) -> usize {
    let mut bytes = 0;
    soon("the end of a half-sent request's connection", async {
        while let Ok(piece) = play.http.some().await {
            if piece.is_empty() {
                break;
            }
            bytes += piece.len();
            if bytes < 1 << 20 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
    })
    .await;
    bytes
}

#[tokio::test]
async fn an_early_failure_is_retried_on_another_connection() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + policy()).await;
    let body = large();
    let playing = async {
        let mut first = upstream.accept().await;
        first.head().await;
        first
            .answer(&Answer::json(503, error("busy", "overloaded_error", None)))
            .await;
        let (mut second, _, got) = upstream.request().await;
        assert!(got == body.as_bytes(), "the retry is the request, whole");
        second.answer(&Answer::json(200, completion("well"))).await;
        rest_of(first).await
    };
    let (response, unread) = tokio::join!(gateway.post(CHAT, &body), playing);
    assert_eq!((response.status(), response.text()), (200, completion("well")));
    assert!(unread < body.len(), "the rest of the body was never sent");
}

#[tokio::test]
async fn after_an_early_refusal_strangers_are_served_elsewhere() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let refusal = error("this endpoint takes no such thing", "invalid_request_error", None);
    let refusing = async {
        let mut first = upstream.accept().await;
        first.head().await;
        first.answer(&Answer::json(400, refusal.clone())).await;
        first
    };
    let body = large();
    let (response, first) = tokio::join!(gateway.post(CHAT, &body), refusing);
    assert_eq!((response.status(), response.text()), (400, refusal));
    let serving = async {
        for _ in 0..3 {
            let (mut play, head, got) = upstream.request().await;
            assert_eq!(head.start_line, format!("POST {CHAT} HTTP/1.1"));
            assert_eq!(got, chat("m").into_bytes());
            play.answer(&Answer::json(200, completion("a stranger's")).then(Ending::Close))
                .await;
        }
    };
    let asking = async {
        for _ in 0..3 {
            let response = gateway.post(CHAT, chat("m")).await;
            assert_eq!((response.status(), response.text()), (200, completion("a stranger's")));
        }
    };
    let (unread, ..) = tokio::join!(rest_of(first), serving, asking);
    assert!(unread < body.len(), "the rest of the body was never sent");
}

#[tokio::test]
async fn an_early_answer_that_streams_is_delivered_and_its_connection_closed() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let body = large();
    let streaming = async {
        let mut first = upstream.accept().await;
        first.head().await;
        first.answer(&Answer::sse(stream_of("well"))).await;
        first
    };
    let (response, first) = tokio::join!(
        gateway.post(CHAT, body.replace("\"m\"", "\"m\",\"stream\":true")),
        streaming
    );
    assert_eq!(
        (response.status(), response.text(), response.end),
        (200, stream_of("well").concat(), End::Clean)
    );
    assert!(rest_of(first).await < body.len());
}

#[tokio::test]
async fn a_refused_upload_that_waits_in_buffers_holds_up_no_stranger() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    // All of it is written at once, for the kernel has room, and the upstream reads none of it.
    let body = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(200_000));
    let refusing = async {
        let mut first = upstream.accept().await;
        first.head().await;
        first
            .answer(&Answer::json(400, error("no", "invalid_request_error", None)))
            .await;
        first
    };
    let (response, _first) = tokio::join!(gateway.post(CHAT, &body), refusing);
    assert_eq!(response.status(), 400);
    let serving = async {
        let (mut play, ..) = upstream.request().await;
        play.answer(&Answer::json(200, completion("a stranger's"))).await;
    };
    let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), serving);
    assert_eq!(response.text(), completion("a stranger's"));
}

/// Serves the first words of a stream, cut off after them, to a request that may be resumed with `body`.
async fn begin_and_break_off(upstream: &Manual, body: &str) {
    let (mut play, _, got) = upstream.request().await;
    assert!(got == body.as_bytes(), "the request, whole");
    play.begin_sse().await;
    for event in [role(), delta("hi")] {
        play.chunk(event).await;
    }
}

#[tokio::test]
async fn what_resumes_a_stream_and_is_answered_early_is_never_read_as_the_next_request() {
    let text = serde_json::json!(WITHIN.repeat(150_000));
    let body = format!("{{\"model\":\"m\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":{text}}}]}}");
    let rest = [role(), delta(" there"), finish(), DONE.to_owned()];
    for is_refused in [false, true] {
        let upstream = Manual::listen().await;
        let (first, url) = (upstream.url(), format!("{}/again", upstream.url()));
        let gateway = Gateway::start(chain_with(&[first, url], ", prefill: true")).await;
        let playing = async {
            begin_and_break_off(&upstream, &body).await;
            let mut early = upstream.accept().await;
            let head = early.head().await;
            assert_eq!(head.start_line, format!("POST {CHAT} HTTP/1.1"));
            if !is_refused {
                early.answer(&Answer::sse(rest.clone())).await;
                return early;
            }
            let refusal = error("no prefill here", "invalid_request_error", None);
            early.answer(&Answer::json(400, refusal)).await;
            // Who goes on after it finds no connection with half of that request on it.
            let (mut second, head, got) = upstream.request().await;
            assert!(head.start_line.contains("/again/") && got.len() > body.len());
            second.answer(&Answer::sse(rest.clone()).then(Ending::Close)).await;
            early
        };
        let (response, early) = tokio::join!(gateway.post(CHAT, &body), playing);
        let text = response.text();
        assert!(text.contains("hi") && text.contains(" there"), "{text}");
        assert_eq!(response.end, End::Clean);
        let serving = async {
            for _ in 0..3 {
                let (mut play, head, got) = upstream.request().await;
                assert_eq!(head.start_line, format!("POST {CHAT} HTTP/1.1"));
                assert_eq!(got, chat("m").into_bytes());
                play.answer(&Answer::json(200, completion("a stranger's")).then(Ending::Close))
                    .await;
            }
        };
        let asking = async {
            for _ in 0..3 {
                let response = gateway.post(CHAT, chat("m")).await;
                assert_eq!((response.status(), response.text()), (200, completion("a stranger's")));
            }
        };
        let (unread, ..) = tokio::join!(rest_of(early), serving, asking);
        assert!(unread < body.len(), "the rest of the body was never sent");
    }
}

#[tokio::test]
async fn what_resumed_a_stream_and_was_sent_whole_leaves_its_connection_for_the_next() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain_with(&[upstream.url()], ", prefill: true")).await;
    let body = chat_stream("m");
    let playing = async {
        begin_and_break_off(&upstream, &body).await;
        let (mut resumed, ..) = upstream.request().await;
        resumed
            .answer(&Answer::sse([role(), delta(" there"), finish(), DONE.to_owned()]))
            .await;
        resumed
    };
    let (response, mut resumed) = tokio::join!(gateway.post(CHAT, &body), playing);
    assert_eq!(response.end, End::Clean);
    let serving = async {
        resumed.request().await;
        resumed.answer(&Answer::json(200, completion("well"))).await;
    };
    let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), serving);
    assert_eq!(response.text(), completion("well"));
}

#[tokio::test]
async fn bytes_behind_an_answer_are_nobodys() {
    let stolen = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 6\r\n\r\nstolen";
    for answer in [
        Answer::json(200, completion("first")),
        Answer::json(200, completion("first")).chunked(),
        Answer::json(400, error("no", "invalid_request_error", None)),
    ] {
        for at_once in [true, false] {
            let upstream = Manual::listen().await;
            let gateway = Gateway::start(chain(&[upstream.url()])).await;
            let playing = async {
                let (mut play, ..) = upstream.request().await;
                let mut bytes = answer.writes().concat();
                if at_once {
                    bytes.extend_from_slice(stolen.as_bytes());
                }
                play.send(bytes).await;
                play
            };
            let (_, mut first) = tokio::join!(gateway.post(CHAT, chat("m")), playing);
            if !at_once {
                first.send(stolen).await;
            }
            let serving = async {
                let (mut play, ..) = upstream.request().await;
                play.answer(&Answer::json(200, completion("second"))).await;
            };
            let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), serving);
            assert_eq!(response.text(), completion("second"), "{answer:?} {at_once}");
            first.closed().await;
        }
    }
}

#[tokio::test]
async fn a_whole_exchange_leaves_its_connection_for_the_next() {
    // However large the request: what was sent to its end is no reason to close. (A connection that was given back only just
    // now may be missed by the next request, but hardly each time.)
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    for _ in 0..6 {
        assert_eq!(gateway.post(CHAT, large()).await.status(), 200);
    }
    assert!(upstream.connections() < 6, "{}", upstream.connections());
}

#[tokio::test]
async fn an_early_answer_over_http_2_resets_its_stream() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen_with_window(pki.acceptor(&["h2"]), 1000).await;
    let gateway = Gateway::start(chain_with(
        &[upstream.url()],
        &format!(", tls: {{ ca: \"{}\" }}", pki.ca_file().display()),
    ))
    .await;
    let body = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(1 << 20));
    let refusal = error("no", "invalid_request_error", None);
    for _ in 0..3 {
        let playing = async {
            let mut exchange = upstream.exchange().await;
            exchange.answer(400, refusal.clone());
            // Not that it reads no further, but that the gateway sends no more, ends the stream.
            exchange.left().await
        };
        let (response, reason) = tokio::join!(gateway.post(CHAT, &body), playing);
        assert_eq!((response.status(), response.text()), (400, refusal.clone()));
        assert_eq!(reason, Reason::CANCEL);
        let serving = async { upstream.exchange().await.json(200, completion("a stranger's")) };
        let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), serving);
        assert_eq!(response.text(), completion("a stranger's"));
    }
    assert_eq!(upstream.connections(), 1, "its other streams go on");
}

#[tokio::test]
async fn clients_that_leave_within_uploads_leave_the_http_2_connection_to_others() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen_with_window(pki.acceptor(&["h2"]), 1000).await;
    let gateway = Gateway::start(chain_with(
        &[upstream.url()],
        &format!(", tls: {{ ca: \"{}\" }}", pki.ca_file().display()),
    ))
    .await;
    let body = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(100_000));
    // More than a connection has streams.
    for _ in 0..110 {
        let mut client = gateway.client().await;
        client.send(post(CHAT, &body)).await;
        let mut exchange = upstream.exchange().await;
        client.leave();
        exchange.left().await;
    }
    let serving = async { upstream.exchange().await.json(200, completion("well")) };
    let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), serving);
    assert_eq!((response.status(), upstream.connections()), (200, 1));
}

/// Pingora's own path: it goes on with the upload, and keeps the connection only for what was sent whole.
#[tokio::test]
async fn a_relayed_upload_that_is_answered_early_is_never_read_as_the_next_request() {
    let upstream = Manual::listen().await;
    let yaml = format!(
        "upstreams: {{ a: {{ url: \"{}/v1\" }} }}\nroutes: {{ m: [a] }}\nserver: {{ passthrough: a }}",
        upstream.url()
    );
    let gateway = Gateway::start(yaml).await;
    let content = format!(
        "--b\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n{}\r\n--b--\r\n",
        WITHIN.repeat(300_000)
    );
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n",
        content.len()
    );
    let mut client = gateway.client().await;
    client.send(head).await;
    client.send(&content[..100_000]).await;
    let mut first = upstream.accept().await;
    first.head().await;
    first
        .answer(&Answer::json(400, error("no", "invalid_request_error", None)))
        .await;
    let response = client.response().await;
    assert_eq!(response.status(), 400);
    let serving = async {
        let (mut play, head, _) = upstream.request().await;
        assert_eq!(head.start_line, "GET /v1/files HTTP/1.1");
        play.answer(&Answer::json(200, "{}")).await;
    };
    let (response, ()) = tokio::join!(gateway.get("/v1/files"), serving);
    assert_eq!(response.status(), 200, "a stranger is served meanwhile");
    client.leave();
    first.closed().await;
}
