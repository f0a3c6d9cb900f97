//! Compressed request bodies: read to be routed, forwarded as they came.

use std::io::Write;

use crate::support::*;

const ENCODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "br", "zstd"];

fn encode(encoding: &str, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match encoding {
        "deflate" => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        "br" => {
            let mut bytes = Vec::new();
            let mut writer = brotli::CompressorWriter::new(&mut bytes, 4096, 5, 20);
            writer.write_all(text).unwrap();
            drop(writer);
            bytes
        }
        "zstd" => zstd::encode_all(text, 3).unwrap(),
        _ => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
    }
}

fn encoded(encoding: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    post_with(CHAT, &format!("content-encoding: {encoding}\r\n"), body)
}

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

#[tokio::test]
async fn each_target_gets_what_it_needs() {
    let renaming = Upstream::always(Answer::status(413, "")).await;
    let plain = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\nroutes: {{ m: [a/renamed, b] }}",
        renaming.url(),
        plain.url()
    );
    let gateway = Gateway::start(yaml).await;
    for encoding in ENCODINGS {
        let body = encode(encoding, chat("m").as_bytes());
        let response = gateway.exchange(encoded(encoding, &body)).await;
        assert_eq!(response.status(), 200, "{encoding}: {}", response.text());
        let spliced = renaming.requests().pop().unwrap();
        let length = chat("renamed").len().to_string();
        assert_eq!(
            (
                spliced.text(),
                spliced.header("content-encoding"),
                spliced.header("content-length")
            ),
            (chat("renamed"), None, Some(length.as_str())),
            "{encoding}: decoded, for its model is another"
        );
        let original = plain.requests().pop().unwrap();
        assert_eq!(
            (&original.body, original.header("content-encoding")),
            (&body, Some(encoding)),
            "{encoding}: as it came"
        );
    }
}

#[tokio::test]
async fn a_large_body_is_decoded_whole() {
    const MAX_BYTES: usize = 32 << 20;
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(format!(
        "upstreams: {{ u: {{ url: \"{}/v1\" }} }}\nroutes: {{ m: [u/renamed] }}",
        upstream.url()
    ))
    .await;
    let (before, after) = (r#"{"pad":""#, r#"","model":"m"}"#);
    for (bytes, status) in [(MAX_BYTES, 200), (MAX_BYTES + 1, 413)] {
        // No more than a hundredfold: that would be taken for a bomb.
        let words: String = (0..bytes / 6).map(|n: usize| format!("{n:x} ")).collect();
        let body = format!("{before}{}{after}", &words[..bytes - before.len() - after.len()]);
        let response = gateway.exchange(encoded("zstd", encode("zstd", body.as_bytes()))).await;
        assert_eq!(response.status(), status, "{bytes} bytes: {}", response.text());
        if status == 200 {
            assert!(upstream.only_request().text() == body.replace("\"m\"", "\"renamed\""));
        }
    }
}

#[tokio::test]
async fn a_bomb_of_any_kind_is_refused() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut text = br#"{"model":"m","pad":""#.to_vec();
    text.resize(31 << 20, b' ');
    for encoding in ENCODINGS {
        let bomb = encode(encoding, &text);
        let response = gateway.exchange(encoded(encoding, &bomb)).await;
        assert_eq!(response.status(), 413, "{encoding}: {}", response.text());
        assert!(response.text().contains("hundredfold"), "{}", response.text());
    }
    assert!(gateway.memory_bytes("VmHWM") < 100 << 20, "little of it was unfolded");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn what_is_not_understood_is_refused_in_words_that_help() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain_with(&[upstream.url()], ", protocol: [openai, anthropic]")).await;
    for (path, kind) in [(CHAT, "invalid_request_error"), (MESSAGES, "invalid_request_error")] {
        for lines in [
            "content-encoding: compress\r\n",
            "content-encoding: gzip, zstd\r\n",
            "content-encoding: gzip\r\ncontent-encoding: gzip\r\n",
        ] {
            let response = gateway.exchange(post_with(path, lines, chat("m"))).await;
            assert_eq!(
                (response.status(), response.header("accept-encoding")),
                (415, Some("gzip, deflate, br, zstd")),
                "{lines}"
            );
            let error = &response.json()["error"];
            assert_eq!(error["type"], kind);
            assert!(error["message"].as_str().unwrap().contains("zstd"), "{error}");
        }
    }
    for encoding in ENCODINGS {
        let whole = encode(encoding, chat("m").as_bytes());
        for body in [&whole[..whole.len() / 2], b"plain", b"\0"] {
            let response = gateway.exchange(encoded(encoding, body)).await;
            assert_eq!(
                response.status(),
                400,
                "{encoding} {}: {}",
                body.escape_ascii(),
                response.text()
            );
        }
        assert_eq!(
            gateway.exchange(encoded(encoding, "")).await.status(),
            400,
            "nothing is no body"
        );
    }
    assert_eq!(upstream.connections(), 0);
    let identity = gateway.exchange(encoded("identity", chat("m"))).await;
    assert_eq!(identity.status(), 200, "no encoding at all");
}
