//! What an upstream gives back of what only it and the gateway are to know.

use crate::support::h2_client::{H2Client, body_and_end};
use crate::support::h2_upstream::{H2Upstream, end_with_trailers};
use crate::support::pki::Pki;
use crate::support::*;

const KEY: &str = "sk-0123456789abcdef0123";

fn yaml(urls: &[String]) -> String {
    let more = format!(", key: {KEY}, query: {{ code: sesame-0123456789 }}, protocol: [openai, anthropic]");
    chain_with(urls, &more)
        + "server: { passthrough: a }\npolicy: { retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms } }\n"
}

/// An answer that gives everything back.
fn leaking(status: u16, url: &str) -> Answer {
    Answer::json(status, completion("well"))
        .header(
            "location",
            &format!("{url}/v1/chat/completions/?code=sesame-0123456789"),
        )
        .header("content-location", "/v1/chat/completions/?code=sesame-0123456789")
        .header(
            "link",
            &format!("<{url}/v1/models?code=sesame-0123456789&after=x>; rel=next"),
        )
        .header("x-debug-authorization", &format!("Bearer {KEY}"))
        .header("x-gateway-upstream", "elsewhere")
        .header("x-gateway-attempts", "\"forged/m\";status=200")
        .header("x-gateway-secret-plan", "1")
        .header("x-ratelimit-remaining", "7")
}

fn keeps_quiet(response: &Response, url: &str) {
    let shown = format!("{response:?}");
    for secret in [
        "sesame",
        KEY,
        "forged",
        "elsewhere",
        "secret-plan",
        url.trim_start_matches("http://"),
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert_eq!(response.header("location"), Some("/v1/chat/completions/"));
    assert_eq!(response.header("content-location"), Some("/v1/chat/completions/"));
    assert_eq!(response.header("link"), Some("</v1/models?after=x>; rel=next"));
    assert_eq!(response.header("x-ratelimit-remaining"), Some("7"));
    assert!(response.header("x-debug-authorization").is_none());
}

#[tokio::test]
async fn no_answer_shows_the_key_the_address_or_foreign_names_of_the_gateways() {
    // A good answer, a redirect, a delivered failure, and one that was kept.
    for status in [200, 307, 400, 503] {
        let upstream = Manual::listen().await;
        let url = upstream.url();
        let gateway = Gateway::start(yaml(std::slice::from_ref(&url))).await;
        let mut client = gateway.client().await;
        client.send(post(CHAT, chat("m"))).await;
        let (mut play, ..) = upstream.request().await;
        play.answer(&leaking(status, &url)).await;
        let response = client.response().await;
        assert_eq!(response.status(), status);
        keeps_quiet(&response, &url);
        assert_eq!(response.header("x-gateway-upstream"), Some("a"));
        assert_eq!(response.ledger().len(), 1);
    }
}

#[tokio::test]
async fn a_kept_answer_keeps_quiet_too() {
    let first = Manual::listen().await;
    let url = first.url();
    let gateway = Gateway::start(yaml(&[url.clone(), "http://127.0.0.1:1".to_owned()])).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = first.request().await;
    play.answer(&leaking(500, &url)).await;
    let response = client.response().await;
    assert_eq!((response.status(), response.ledger().len()), (500, 2));
    keeps_quiet(&response, &url);
}

#[tokio::test]
async fn what_is_relayed_keeps_quiet_too() {
    let upstream = Manual::listen().await;
    let url = upstream.url();
    let gateway = Gateway::start(yaml(std::slice::from_ref(&url))).await;
    let mut client = gateway.client().await;
    let request = "POST /v1/files HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/octet-stream\r\ncontent-length: 3\r\n\r\nraw";
    client.send(request).await;
    let (mut play, head, _) = upstream.request().await;
    assert!(format!("{head:?}").contains("sesame"), "the upstream gets its own");
    play.answer(&leaking(307, &url)).await;
    let response = client.response().await;
    assert_eq!(response.status(), 307);
    keeps_quiet(&response, &url);
}

/// Trailers that give everything back.
const LEAKING: [(&str, &str); 5] = [
    ("grpc-status", "7"),
    ("grpc-message", "no such key: sk-0123456789abcdef0123"),
    ("x-debug", "sesame-0123456789"),
    ("content-location", "/v1/models?code=sesame-0123456789&after=x"),
    ("x-checksum", "abc"),
];

/// What a client gets of them.
const QUIET: [(&str, &str); 3] = [
    ("grpc-status", "7"),
    ("content-location", "/v1/models?after=x"),
    ("x-checksum", "abc"),
];

async fn trailers_of(response: &mut http::Response<h2::RecvStream>) -> Vec<(String, String)> {
    let trailers = soon("the trailers", response.body_mut().trailers()).await;
    let trailers = trailers.expect("the stream is not reset").expect("trailers");
    let text = |value: &http::HeaderValue| value.to_str().expect("ASCII").to_owned();
    let mut fields: Vec<_> = trailers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    fields.sort();
    fields
}

fn quiet() -> Vec<(String, String)> {
    let mut fields = QUIET.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    fields.sort();
    fields
}

#[tokio::test]
async fn trailers_keep_quiet_too() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let yaml =
        yaml(&[upstream.url()]).replace("key:", &format!("tls: {{ ca: \"{}\" }}, key:", pki.ca_file().display()));
    let gateway = Setup::new(yaml).tls(&pki).start().await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    // A good answer, and a failure that is delivered.
    for status in [200, 400] {
        let playing = async {
            let mut stream = upstream.exchange().await.begin(status, "application/json");
            stream
                .send_data(completion("well").into(), false)
                .expect("the stream is open");
            end_with_trailers(&mut stream, &LEAKING);
        };
        let (mut response, ()) = tokio::join!(client.post(CHAT, chat("m")), playing);
        assert_eq!(response.status(), status);
        body_and_end(response.body_mut()).await;
        assert_eq!(trailers_of(&mut response).await, quiet(), "{status}");
    }
}

#[tokio::test]
async fn trailers_of_whoever_goes_on_with_a_stream_keep_its_secrets() {
    let pki = Pki::new();
    let first = Upstream::answering([Answer::sse([role(), delta("hi")]).then(Ending::Cut)]).await;
    let mut second = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\", key: sk-of-the-first-one }}\n  \
         b: {{ url: \"{}/v1\", prefill: true, key: {KEY}, query: {{ code: sesame-0123456789 }}, tls: {{ ca: \"{}\" }} }}\n\
         routes: {{ m: [a, b] }}",
        first.url(),
        second.url(),
        pki.ca_file().display()
    );
    let gateway = Setup::new(yaml).tls(&pki).start().await;
    let mut client = H2Client::connect(&gateway, &pki).await;
    let playing = async {
        let mut stream = second.exchange().await.begin_sse();
        let rest = [role(), delta(" there"), finish(), DONE.to_owned()].concat();
        stream.send_data(rest.into(), false).expect("the stream is open");
        end_with_trailers(&mut stream, &LEAKING);
    };
    let (mut response, ()) = tokio::join!(client.post(CHAT, chat_stream("m")), playing);
    let (body, end) = body_and_end(response.body_mut()).await;
    let text = String::from_utf8(body).expect("UTF-8");
    assert!(text.contains(" there") && end.is_none(), "{text}");
    assert_eq!(trailers_of(&mut response).await, quiet());
}
