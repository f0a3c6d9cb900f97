//! Answers of odd shape: what is no HTTP leads on, what is odd but whole is passed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::*;

const QUICK: &str = "policy: { retry: { backoff: 1ms, max_backoff: 2ms } }";

#[tokio::test]
async fn what_is_no_http_leads_to_the_next_target() {
    for bytes in [
        b"SSH-2.0-OpenSSH\r\n".to_vec(),
        b"HTTP/1.1 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(),
        b"\x16\x03\x01\x00\x05hello\r\n\r\n".to_vec(),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(2 << 20)).into_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let odd = Upstream::always(Answer::raw(bytes)).await;
        let good = Upstream::always(Answer::json(200, completion("well"))).await;
        let gateway = Gateway::start(chain(&[odd.url(), good.url()]) + QUICK).await;
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(
            (response.status(), response.text()),
            (200, completion("well")),
            "{shown:?}"
        );
    }
}

#[tokio::test]
async fn bytes_after_an_answer_poison_nobody() {
    let extra =
        Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
    let upstream = Upstream::always(extra.then(Ending::Whole)).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + QUICK).await;
    for _ in 0..3 {
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!((response.status(), response.text()), (200, "{}".to_owned()));
    }
}

#[tokio::test]
async fn answers_without_a_body() {
    for (status, framing) in [(204, ""), (200, "content-length: 0\r\n"), (304, "")] {
        let head = format!("HTTP/1.1 {status} Scripted\r\nx-kept: 1\r\n{framing}\r\n");
        let upstream = Upstream::always(Answer::raw(head).then(Ending::Whole)).await;
        let gateway = Gateway::start(chain(&[upstream.url()])).await;
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(
            (response.status(), response.header("x-kept"), response.body.len()),
            (status, Some("1"), 0)
        );
    }
}

#[tokio::test]
async fn a_redirect_is_the_clients_to_follow() {
    let upstream = Upstream::always(Answer::status(307, "moved").header("location", "https://elsewhere.test/")).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("location")),
        (307, Some("https://elsewhere.test/"))
    );
}

#[tokio::test]
async fn a_stream_may_have_a_length_and_a_charset() {
    let whole = stream_of("hi").concat();
    let answer = Answer::status(200, whole.clone()).header("content-type", "Text/Event-Stream; charset=utf-8");
    let upstream = Upstream::always(answer).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!((response.text(), response.end), (whole, End::Clean));
}

#[tokio::test]
async fn an_encoded_stream_is_passed_as_it_is() {
    // Asked for `identity`, and encoded all the same.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(stream_of("hi").concat().as_bytes()).unwrap();
    let bytes = encoder.finish().unwrap();
    let upstream = Upstream::always(Answer::sse(bytes.chunks(10)).header("content-encoding", "gzip")).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(
        (response.status(), response.header("content-encoding")),
        (200, Some("gzip"))
    );
    let added = String::from_utf8_lossy(&response.body[bytes.len().min(response.body.len())..]).into_owned();
    assert!(
        response.body == bytes && response.end == End::Clean,
        "{:?}, and added: {added:?}",
        response.end
    );
}

#[tokio::test]
async fn bytes_that_are_no_text_pass() {
    let audio: Vec<u8> = (0..=255u8).cycle().take(300_000).collect();
    for answer in [
        Answer::status(200, audio.clone()),
        Answer::status(200, audio.clone()).chunked(),
    ] {
        let upstream = Upstream::always(answer.header("content-type", "audio/mpeg")).await;
        let gateway = Gateway::start(chain(&[upstream.url()])).await;
        let response = gateway.post("/v1/audio/speech", chat("m")).await;
        assert_eq!(
            (response.status(), response.header("content-type")),
            (200, Some("audio/mpeg"))
        );
        assert!(response.body == audio && response.end == End::Clean);
    }
}

#[tokio::test]
async fn many_at_once_each_get_their_own() {
    let mut yaml = "upstreams:\n".to_owned();
    let mut routes = "routes:\n".to_owned();
    let mut upstreams = Vec::new();
    for n in 0..8 {
        let broken = Upstream::always(Answer::json(402, error("no credit", "", None))).await;
        let good = Upstream::always(Answer::json(200, completion(&format!("answer {n}"))).dribbled()).await;
        yaml.push_str(&format!(
            "  bad{n}: {{ url: \"{}/v1\" }}\n  good{n}: {{ url: \"{}/v1\" }}\n",
            broken.url(),
            good.url()
        ));
        routes.push_str(&format!("  m{n}: [bad{n}, good{n}]\n"));
        upstreams.push((broken, good));
    }
    let gateway = Gateway::start(yaml + &routes).await;
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..64 {
        let address = gateway.address.clone();
        asking.spawn(async move {
            let mut client = Client::connect(&address).await;
            client.send(post(CHAT, chat(&format!("m{}", n % 8)))).await;
            let response = client.response().await;
            assert_eq!(
                (response.status(), response.text()),
                (200, completion(&format!("answer {}", n % 8)))
            );
            response.id()
        });
    }
    let ids: std::collections::BTreeSet<String> = asking.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 64);
}
