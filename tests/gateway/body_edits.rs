//! Members of bodies that are set or dropped for one target.

use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn each_target_gets_the_body_that_suits_it() {
    let first = Upstream::always(Answer::json(503, "{}")).await;
    let second = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\", body: {{ drop: [seed], set: {{ user: nobody }} }} }}\n  b: {{ url: \"{}/v1\" }}\n\
         routes:\n  m:\n    - {{ target: a/o3, body: {{ set: {{ service_tier: flex, n: 1, tags: [x, \"1\"] }}, drop: [temperature, user] }} }}\n    - b\n\
         policy: {{ retry: {{ same_target: 0 }} }}",
        first.url(),
        second.url()
    );
    let gateway = Gateway::start(yaml).await;
    let body = r#"{"model":"m", "temperature": 1.10,"messages":[{"role":"user","content":"hi","seed":1}],"seed":7,"top_p":0.50}"#;
    assert_eq!(gateway.post(CHAT, body).await.status(), 200);
    let sent = String::from_utf8(first.requests()[0].body.clone()).unwrap();
    assert_eq!(
        sent,
        r#"{"model":"o3","messages":[{"role":"user","content":"hi","seed":1}],"top_p":0.50,"service_tier":"flex","n":1,"tags":["x","1"]}"#
    );
    assert_eq!(first.requests()[0].head.all("content-length"), [sent.len().to_string()]);
    assert_eq!(
        second.requests()[0].body,
        body.as_bytes(),
        "the next target gets the client's own bytes"
    );
}

#[tokio::test]
async fn a_compressed_body_is_edited_too_and_a_form_is_not() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = Gateway::start(chain_with(&[upstream.url()], ", body: { drop: [seed] }")).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, json!({ "model": "m", "seed": 1 }).to_string().as_bytes()).unwrap();
    let request = post_with(CHAT, "content-encoding: gzip\r\n", encoder.finish().unwrap());
    assert_eq!(gateway.exchange(request).await.status(), 200);
    assert_eq!(upstream.requests()[0].body, br#"{"model":"m"}"#);
    assert!(upstream.requests()[0].head.all("content-encoding").is_empty());
}
