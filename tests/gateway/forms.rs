//! Forms that name a model: routed by their field, replayed whole, and changed in nothing but the name.

use crate::support::*;

const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const TYPE: &str = "multipart/form-data; boundary=\"----b0undary 7\"";

fn field(name: &str, value: &str) -> String {
    format!("------b0undary 7\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// A form of a file, and of what `fields` holds after it.
fn form(file: &str, fields: &str) -> String {
    format!(
        "------b0undary 7\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
         content-type: audio/wav\r\n\r\n{file}\r\n{fields}------b0undary 7--\r\n"
    )
}

fn request(path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

#[tokio::test]
async fn the_largest_form_is_replayed_to_the_third_upstream() {
    const MAX_BYTES: usize = 32 << 20;
    let first = Upstream::always(Answer::json(500, "{}").then(Ending::Close)).await;
    let second = Upstream::always(Answer::reset()).await;
    let third = Upstream::always(Answer::json(200, "{\"text\":\"well\"}")).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\n  c: {{ url: \"{}/v1\" }}\n\
         routes: {{ whisper-1: [a, b, c/vendor/whisper-large-v3] }}\npolicy: {{ retry: {{ same_target: 0 }} }}",
        first.url(),
        second.url(),
        third.url()
    );
    let gateway = Gateway::start(yaml).await;
    let fields = field("model", "whisper-1");
    let body = form(&"\r\n--\0".repeat((MAX_BYTES - form("", &fields).len()) / 5), &fields);
    let response = gateway.exchange(request(TRANSCRIPTIONS, TYPE, &body)).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.header("x-gateway-model"), Some("vendor/whisper-large-v3"));
    for upstream in [&first, &second] {
        let got = upstream.only_request();
        assert!(got.text() == body, "the whole form, unchanged");
        assert_eq!(got.header("content-type"), Some(TYPE));
    }
    let got = third.only_request();
    let expected = body.replace("whisper-1", "vendor/whisper-large-v3");
    assert!(got.text() == expected, "the whole form, another model");
    let length = expected.len().to_string();
    assert_eq!(
        (got.header("content-type"), got.header("content-length")),
        (Some(TYPE), Some(length.as_str()))
    );
}

#[tokio::test]
async fn a_form_may_ask_for_a_stream() {
    let answer = Answer::sse([
        "data: {\"type\":\"transcript.text.delta\",\"delta\":\"hi\"}\n\n",
        "data: {\"type\":\"transcript.text.done\",\"text\":\"hi\"}\n\n",
    ]);
    let upstream = Upstream::always(answer).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    for (stream, expected) in [("true", "identity"), ("false", "gzip")] {
        let body = form("x", &(field("model", "m") + &field("stream", stream)));
        let request = String::from_utf8(request(TRANSCRIPTIONS, TYPE, &body)).unwrap();
        let request = request.replacen("host: g\r\n", "host: g\r\naccept-encoding: gzip\r\n", 1);
        let response = gateway.exchange(request).await;
        assert_eq!((response.status(), response.end), (200, End::Clean), "{stream}");
        let got = upstream.requests().pop().unwrap();
        assert_eq!(got.header("accept-encoding"), Some(expected), "stream: {stream}");
    }
}

#[tokio::test]
async fn every_endpoint_of_forms_is_routed() {
    let upstream = Upstream::always(Answer::json(200, "{}")).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    for path in [
        TRANSCRIPTIONS,
        "/v1/audio/translations",
        "/v1/images/edits",
        "/v1/images/variations",
        "/v1/videos",
    ] {
        let response = gateway
            .exchange(request(path, TYPE, &form("x", &field("model", "m"))))
            .await;
        assert_eq!(
            (response.status(), response.header("x-gateway-model")),
            (200, Some("m"))
        );
        assert_eq!(upstream.requests().pop().unwrap().target(), path);
    }
    // Where an image is a URL, it is JSON.
    assert_eq!(gateway.post("/v1/images/edits", chat("m")).await.status(), 200);
}

#[tokio::test]
async fn a_compressed_form_is_read_too() {
    let upstream = Upstream::always(Answer::json(200, "{}")).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let body = zstd::encode_all(form("x", &field("model", "m")).as_bytes(), 3).unwrap();
    let mut request = format!(
        "POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: g\r\ncontent-type: {TYPE}\r\ncontent-encoding: zstd\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    assert_eq!(gateway.exchange(request).await.status(), 200);
    assert_eq!(upstream.only_request().body, body);
}

#[tokio::test]
async fn a_form_that_is_none_is_refused() {
    let upstream = Upstream::always(Answer::json(200, "{}")).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + "server: { max_body: 64KiB }").await;
    let good = form("x", &field("model", "m"));
    let twice = form("x", &(field("model", "m") + &field("model", "m")));
    let long_header = good.replace("audio/wav", &"x".repeat(9000));
    let too_large = form(&"x".repeat(65 << 10), &field("model", "m"));
    for (content_type, body, status, word) in [
        (TYPE, twice.as_str(), 400, "twice"),
        (TYPE, &form("x", &field("model", "")), 404, "no route"),
        (TYPE, &form("x", &field("model", "other")), 404, "other"),
        (TYPE, &form("x", &field("models", "m")), 400, "no `model`"),
        (TYPE, &form("x", &field("model", "a\u{7}")), 400, "control"),
        (TYPE, &good[..good.len() - 5], 400, "cut short"),
        (TYPE, &good.replace("\r\n", "\n"), 400, "LF alone"),
        (TYPE, &good.replace("name=\"file\"", "name=\"file"), 400, "malformed"),
        (TYPE, &long_header, 400, "8192 bytes"),
        (TYPE, "", 400, "boundary"),
        (TYPE, &too_large, 413, "65536"),
        ("multipart/form-data; boundary=", &good, 400, "boundary"),
        ("multipart/form-data; boundary=\"----b0undary 7", &good, 400, "boundary"),
        ("application/x-www-form-urlencoded", "model=m", 400, "JSON"),
        ("application/octet-stream", &good, 400, "JSON"),
    ] {
        let response = gateway.exchange(request(TRANSCRIPTIONS, content_type, body)).await;
        assert_eq!(response.status(), status, "{word}: {}", response.text());
        let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(word), "{word:?} in {message:?}");
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(
        gateway.exchange(request(TRANSCRIPTIONS, TYPE, &good)).await.status(),
        200
    );
}

/// A part that some readers find and others don't would name another model than the one that was routed by.
#[tokio::test]
async fn a_form_that_readers_disagree_on_is_refused() {
    let upstream = Upstream::always(Answer::json(200, "{}")).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let model = field("model", "m");
    let dear = field("model", "dear");
    let good = form("x", &model);
    let disposed = |rest: &str| good.replace("name=\"model\"", rest);
    for (body, word) in [
        (form("x", &(model.clone() + &field("Model", "dear"))), "`model`"),
        (form("x", &(model.clone() + &field("model[]", "dear"))), "`model`"),
        (form("x", &(model.clone() + &field(" model", "dear"))), "`model`"),
        (form("x", &(model.clone() + &field("Stream", "true"))), "`stream`"),
        (form("x", &(model.clone() + &field("n", "1") + &field("n", "9"))), "`n`"),
        (form("x", &(model.clone() + &dear)), "twice"),
        (format!("preamble\r\n{good}"), "begin"),
        (format!("{}{good}", dear.replace("\r\n", "\n")), "LF alone"),
        (format!("{good}{good}"), "closing boundary"),
        (format!("{good}{dear}"), "closing boundary"),
        (form(&format!("x\n{}", dear.trim_end()), &model), "LF alone"),
        (form(&format!("x\n{}x", dear.replace("\r\n", "\n")), &model), "LF alone"),
        (disposed("name*=utf-8''model"), "malformed"),
        (disposed("name=\"mod\\el\""), "malformed"),
        (disposed("name=\"model\"; name*0=\"dear\""), "malformed"),
        (
            disposed("name=\"model\"; filename=\"x\\\"; name=stream; b=\\\"\""),
            "malformed",
        ),
        (disposed("name=\"model\"\ncontent-type: text/plain"), "malformed"),
        (
            disposed("name=\"model\"\r\ncontent-transfer-encoding: base64"),
            "content-transfer-encoding",
        ),
    ] {
        let response = gateway.exchange(request(TRANSCRIPTIONS, TYPE, &body)).await;
        assert_eq!(response.status(), 400, "{word}: {body}");
        let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(word), "{word:?} in {message:?}: {body}");
        assert!(!message.contains("dear"), "{message}");
    }
    assert_eq!(upstream.connections(), 0);
    for body in [
        format!("\r\n{good}\r\n"),
        disposed("name=\"model\"; filename=\"a \\\"b\\\".txt\""),
        form("x", &(model + &field("image[]", "1") + &field("image[]", "2"))),
    ] {
        let response = gateway.exchange(request(TRANSCRIPTIONS, TYPE, &body)).await;
        assert_eq!(response.status(), 200, "{}: {body}", response.text());
    }
}
