//! When every target has failed: a provider's own answer, whole, or the gateway's account of what it tried.

use crate::support::*;

const QUICK: &str = "retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms }";

fn first() -> Answer {
    Answer::json(429, error("first", "requests", Some("rate_limit_exceeded")))
        .header("retry-after", "20")
        .header("x-request-id", "req_first")
        .header("x-ratelimit-remaining-requests", "0")
}

fn second() -> Answer {
    Answer::status(503, "<html>second</html>")
        .header("content-type", "text/html")
        .header("x-request-id", "req_second")
}

#[tokio::test]
async fn the_last_answer_is_delivered_whole() {
    let upstreams = [Upstream::always(first()).await, Upstream::always(second()).await];
    let gateway =
        Gateway::start(chain(&upstreams.each_ref().map(Upstream::url)) + &format!("policy: {{ {QUICK} }}")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.text(), &response.end),
        (503, "<html>second</html>".into(), &End::Clean)
    );
    assert_eq!(response.head.all("x-request-id"), ["req_second"]);
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert_eq!(
        (
            response.header("retry-after"),
            response.header("x-ratelimit-remaining-requests")
        ),
        (None, None)
    );
    assert_eq!(response.header("x-gateway-error-origin"), Some("upstream"));
    assert_eq!(response.header("x-gateway-upstream"), Some("b"));
    let ledger = response.ledger();
    let short: Vec<_> = ledger
        .iter()
        .map(|a| (a.target.as_str(), a.status, a.class.as_deref()))
        .collect();
    assert_eq!(
        short,
        [
            ("a/m", Some(429), Some("rate_limited")),
            ("b/m", Some(503), Some("overloaded"))
        ]
    );
    response.id();
}

#[tokio::test]
async fn or_the_first_where_the_policy_says_so() {
    let upstreams = [Upstream::always(first()).await, Upstream::always(second()).await];
    let urls = upstreams.each_ref().map(Upstream::url);
    let gateway = Gateway::start(chain(&urls) + &format!("policy: {{ {QUICK}, exhausted: first }}")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.text(), error("first", "requests", Some("rate_limit_exceeded")));
    assert_eq!(
        (response.header("x-request-id"), response.header("retry-after")),
        (Some("req_first"), Some("20"))
    );
    assert_eq!(response.header("x-gateway-upstream"), Some("a"));
    assert_eq!(response.ledger().len(), 2);
}

#[tokio::test]
async fn an_attempt_without_an_answer_does_not_hide_one_that_had_it() {
    let upstream = Upstream::always(first()).await;
    let refusing = format!("http://127.0.0.1:{}", refusing_port().await);
    let gateway = Gateway::start(chain(&[upstream.url(), refusing]) + &format!("policy: {{ {QUICK} }}")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-request-id")),
        (429, Some("req_first"))
    );
    assert_eq!(response.ledger().len(), 2);
}

#[tokio::test]
async fn a_long_error_is_delivered_to_its_end() {
    let body = error(&"x".repeat(300_000), "server_error", None);
    for answer in [
        Answer::json(500, body.clone()),
        Answer::json(500, body.clone()).chunked(),
    ] {
        let upstream = Upstream::always(answer).await;
        let gateway = Gateway::start(chain(&[upstream.url()]) + &format!("policy: {{ {QUICK} }}")).await;
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!((response.status(), &response.end), (500, &End::Clean));
        assert!(
            response.text() == body,
            "{} of {} bytes",
            response.body.len(),
            body.len()
        );
    }
}

#[tokio::test]
async fn an_encoded_error_is_not_touched() {
    let bytes: Vec<u8> = vec![0x1f, 0x8b, 0, 0xff, 0xfe, b'\r', b'\n', 0];
    let upstream = Upstream::always(Answer::json(500, bytes.clone()).header("content-encoding", "gzip")).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + &format!("policy: {{ {QUICK} }}")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("content-encoding"), &response.body),
        (500, Some("gzip"), &bytes)
    );
}

#[tokio::test]
async fn an_empty_error_stays_empty() {
    let upstream = Upstream::always(Answer::status(500, "")).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + &format!("policy: {{ {QUICK} }}")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.text(), response.end),
        (500, String::new(), End::Clean)
    );
}

#[tokio::test]
async fn without_any_answer_the_gateway_gives_an_account() {
    let refusing = format!("http://127.0.0.1:{}", refusing_port().await);
    let reset = Upstream::always(Answer::reset()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{refusing}/v1\", protocol: [openai, anthropic] }}\n  \
         b: {{ url: \"{}/v1\", protocol: [openai, anthropic] }}\nroutes: {{ m: [a, b/other] }}\npolicy: {{ {QUICK} }}",
        reset.url()
    );
    let gateway = Gateway::start(yaml).await;
    for path in [CHAT, MESSAGES] {
        let response = gateway.post(path, chat("m")).await;
        assert_eq!(response.status(), 502, "{path}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("x-gateway-error-origin"), Some("gateway"));
        let body = response.json();
        let text = response.text();
        for word in ["a/m", "connect", "b/other", "reset"] {
            assert!(text.contains(word), "{word} in {text}");
        }
        assert!(
            body["error"]["message"].is_string() && body["error"]["type"].is_string(),
            "{text}"
        );
        assert_eq!(body["type"] == "error", path == MESSAGES, "{text}");
        response.id();
    }
}

#[tokio::test]
async fn a_clock_at_the_end_makes_it_504() {
    let refusing = format!("http://127.0.0.1:{}", refusing_port().await);
    let silent = Upstream::always(Answer::hang()).await;
    let policy = format!("policy: {{ {QUICK}, timeouts: {{ headers: 200ms, answer: 200ms }} }}");
    let gateway = Gateway::start(chain(&[refusing.clone(), silent.url()]) + &policy).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 504);
    assert!(response.text().contains("timeout"), "{}", response.text());
    let gateway = Gateway::start(chain(&[silent.url(), refusing]) + &policy).await;
    assert_eq!(
        gateway.post(CHAT, chat("m")).await.status(),
        502,
        "the last was no clock"
    );
}

#[tokio::test]
async fn sdks_are_kept_from_sleeping_through_a_long_retry_after() {
    for (answer, should_retry) in [
        (Answer::json(429, "{}").header("retry-after", "86400"), Some("false")),
        (
            Answer::json(429, "{}")
                .header("retry-after", "86400")
                .header("x-should-retry", "true"),
            Some("true"),
        ),
        (Answer::json(429, "{}").header("retry-after", "30"), None),
        (
            Answer::json(429, "{}").header("retry-after", "Thu, 31 Dec 2099 23:59:59 GMT"),
            Some("false"),
        ),
    ] {
        let upstream = Upstream::always(answer).await;
        let gateway = Gateway::start(chain(&[upstream.url()])).await;
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.header("x-should-retry"), should_retry, "{:?}", response.head);
    }
}

#[tokio::test]
async fn an_error_in_a_200_is_delivered_as_it_is_when_nothing_else_is_left() {
    let body = error("upstream provider is down", "server_error", None);
    let upstream = Upstream::always(Answer::json(200, body.clone()).header("x-request-id", "req_1")).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + &format!("policy: {{ {QUICK} }}")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.text(), response.header("x-request-id")),
        (200, body, Some("req_1"))
    );
}
