//! What a failed attempt leads to: the same target again, the next one, or the client.

use crate::support::*;

/// Waits between retries that a test need not feel.
const QUICK: &str = "policy: { retry: { backoff: 1ms, max_backoff: 2ms } }\n";

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

struct Case {
    answer: Answer,
    class: &'static str,
    /// How often the failing target is asked.
    asked: usize,
}

fn case(class: &'static str, asked: usize, answer: Answer) -> Case {
    Case {
        answer: answer.header("x-failed", "1"),
        class,
        asked,
    }
}

/// One upstream per case, each the first of its own route `m0`, `m1`, …; a good one is second in all.
async fn run(cases: Vec<Case>, last: &Upstream) -> (Vec<(Upstream, Case)>, Gateway) {
    let mut yaml = format!("{QUICK}upstreams:\n  good: {{ url: \"{}/v1\" }}\n", last.url());
    let mut routes = "routes:\n".to_owned();
    let mut upstreams = Vec::new();
    for (i, case) in cases.into_iter().enumerate() {
        let upstream = Upstream::always(case.answer.clone()).await;
        yaml.push_str(&format!("  u{i}: {{ url: \"{}/v1\" }}\n", upstream.url()));
        routes.push_str(&format!("  m{i}: [u{i}, good]\n"));
        upstreams.push((upstream, case));
    }
    let gateway = Gateway::start(yaml + &routes).await;
    (upstreams, gateway)
}

#[tokio::test]
async fn failures_of_a_target_are_made_good_by_the_next() {
    let openai = |status, kind, code: &str| Answer::json(status, error("words", kind, Some(code)));
    let cases = vec![
        case(
            "out_of_credits",
            1,
            Answer::json(402, error("Insufficient credits", "", None)),
        ),
        case(
            "out_of_credits",
            1,
            openai(429, "insufficient_quota", "insufficient_quota"),
        ),
        case(
            "out_of_credits",
            1,
            Answer::json(
                400,
                anthropic_error(
                    "invalid_request_error",
                    "Your credit balance is too low to access the API",
                ),
            ),
        ),
        case("auth", 1, openai(401, "invalid_request_error", "invalid_api_key")),
        case(
            "auth",
            1,
            Answer::json(403, error("Country, region, or territory not supported", "", None)),
        ),
        case(
            "model_not_found",
            1,
            openai(404, "invalid_request_error", "model_not_found"),
        ),
        case(
            "model_not_found",
            1,
            Answer::json(400, error("foo/bar is not a valid model ID", "", None)),
        ),
        case(
            "context_length",
            1,
            openai(400, "invalid_request_error", "context_length_exceeded"),
        ),
        case("context_length", 1, Answer::status(413, "")),
        case("overloaded", 2, Answer::json(503, "{}")),
        case(
            "overloaded",
            2,
            Answer::json(529, anthropic_error("overloaded_error", "Overloaded")),
        ),
        case(
            "server_error",
            2,
            Answer::json(500, error("words", "server_error", None)).chunked(),
        ),
        case(
            "server_error",
            2,
            Answer::status(502, "<html>Bad gateway</html>").header("content-type", "text/html"),
        ),
        case("server_error", 2, Answer::status(408, "")),
        case("reset", 2, Answer::reset()),
        case("reset", 2, Answer::close()),
        case(
            "rate_limited",
            2,
            openai(429, "requests", "rate_limit_exceeded").header("retry-after-ms", "1"),
        ),
    ];
    let good = Upstream::always(well()).await;
    let (upstreams, gateway) = run(cases, &good).await;
    for (i, (upstream, case)) in upstreams.iter().enumerate() {
        let response = gateway.post(CHAT, chat(&format!("m{i}"))).await;
        let name = format!("m{i}: {:?}", case.answer);
        assert_eq!(
            (response.status(), response.text()),
            (200, completion("well")),
            "{name}"
        );
        assert_eq!(
            response.header("x-failed"),
            None,
            "nothing of a failed attempt reaches the client: {name}"
        );
        assert_eq!(upstream.requests().len(), case.asked, "{name}");
        let ledger = response.ledger();
        let classes: Vec<&str> = ledger.iter().filter_map(|attempt| attempt.class.as_deref()).collect();
        assert_eq!(classes, vec![case.class; case.asked], "{name}");
        assert_eq!(
            ledger.last().map(|attempt| (attempt.target.clone(), attempt.status)),
            Some((format!("good/m{i}"), Some(200)))
        );
        assert_eq!(response.header("x-gateway-upstream"), Some("good"));
    }
    assert_eq!(good.requests().len(), upstreams.len());
}

#[tokio::test]
async fn what_the_client_did_wrong_is_told_to_the_client() {
    let cases = vec![
        case(
            "content_policy",
            1,
            Answer::json(400, error("filtered", "", Some("content_filter"))),
        ),
        case(
            "bad_request",
            1,
            Answer::json(
                400,
                error("Unrecognized request argument", "invalid_request_error", None),
            ),
        ),
        case(
            "bad_request",
            1,
            Answer::json(404, error("Invalid URL", "invalid_request_error", None)),
        ),
        case("bad_request", 1, Answer::json(405, "{}")),
        case("bad_request", 1, Answer::json(409, "{}")),
        case("bad_request", 1, Answer::json(422, "{\"detail\":[]}").chunked()),
        case(
            "client_gone",
            1,
            Answer::json(499, "{\"error\":\"client closed request\"}"),
        ),
    ];
    let good = Upstream::always(well()).await;
    let (upstreams, gateway) = run(cases, &good).await;
    for (i, (upstream, case)) in upstreams.iter().enumerate() {
        let response = gateway.post(CHAT, chat(&format!("m{i}"))).await;
        let writes = case.answer.writes();
        let head = String::from_utf8_lossy(&writes[0]).into_owned();
        assert_eq!(response.status().to_string(), head[9..12], "{head}");
        assert_eq!(
            (response.header("x-failed"), &response.end),
            (Some("1"), &End::Clean),
            "{head}"
        );
        assert!(
            writes[1..].concat().len() >= response.body.len() && !response.body.is_empty(),
            "{head}"
        );
        assert_eq!(upstream.requests().len(), 1, "{head}");
        assert_eq!(response.header("x-gateway-error-origin"), Some("upstream"));
    }
    assert_eq!(good.connections(), 0);
}

#[tokio::test]
async fn a_failed_answer_that_was_read_to_its_end_gives_its_connection_back() {
    for failed in [Answer::json(500, "{}"), Answer::json(500, "{\"error\":{}}").chunked()] {
        let upstream = Upstream::answering([failed, well()]).await;
        let gateway = Gateway::start(chain(&[upstream.url()]) + QUICK).await;
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
        assert_eq!((upstream.requests().len(), upstream.connections()), (2, 1));
    }
}

#[tokio::test]
async fn a_failed_answer_that_was_not_read_to_its_end_does_not() {
    let endless = Answer::json(500, "x".repeat(100_000)).then(Ending::Stall);
    let upstream = Upstream::answering([endless, well()]).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + QUICK).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert_eq!((upstream.requests().len(), upstream.connections()), (2, 2));
    upstream.left().await;
}

#[tokio::test]
async fn a_good_connection_is_used_again() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    for _ in 0..3 {
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (3, 1));
}

#[tokio::test]
async fn a_reset_is_tried_again_at_the_same_target() {
    let upstream = Upstream::answering([Answer::reset(), well()]).await;
    let other = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url(), other.url()]) + QUICK).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("a"))
    );
    assert_eq!((upstream.requests().len(), other.connections()), (2, 0));
}

#[tokio::test]
async fn a_kept_connection_that_the_upstream_closed_is_no_failure_to_the_client() {
    let upstream = Upstream::always(well().then(Ending::Close)).await;
    let gateway = Gateway::start(chain(&[upstream.url()]) + QUICK).await;
    for _ in 0..3 {
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn a_refused_connection_leads_to_the_next_target_at_once() {
    let port = refusing_port().await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[format!("http://127.0.0.1:{port}"), good.url()])).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 200);
    let ledger = response.ledger();
    assert_eq!((ledger[0].class.as_deref(), ledger[0].status), (Some("connect"), None));
    assert_eq!((ledger.len(), good.requests().len()), (2, 1));
}

#[tokio::test]
async fn the_policy_has_the_last_word() {
    let teapot = Upstream::always(Answer::json(418, "{}")).await;
    let picky = Upstream::always(Answer::json(400, error("no", "invalid_request_error", None))).await;
    let broken = Upstream::always(Answer::json(500, "{}")).await;
    let good = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  teapot: {{ url: \"{}/v1\" }}\n  picky: {{ url: \"{}/v1\" }}\n  broken: {{ url: \"{}/v1\" }}\n  \
         good: {{ url: \"{}/v1\" }}\n\
         routes:\n  teapot: [teapot, good]\n  picky: [picky, good]\n  broken: [broken, good]\n  \
         strict: {{ targets: [teapot, good], on: {{ 418: deliver }} }}\n\
         policy: {{ on: {{ 418: fallback, bad_request: fallback, server_error: deliver }} }}",
        teapot.url(),
        picky.url(),
        broken.url(),
        good.url()
    );
    let gateway = Gateway::start(yaml).await;
    for (model, status) in [("teapot", 200), ("picky", 200), ("broken", 500), ("strict", 418)] {
        assert_eq!(gateway.post(CHAT, chat(model)).await.status(), status, "{model}");
    }
    assert_eq!(broken.requests().len(), 1);
}

#[tokio::test]
async fn a_target_of_another_protocol_is_passed_over() {
    let openai = Upstream::always(well()).await;
    let anthropic = Upstream::always(Answer::json(200, "{\"type\":\"message\"}")).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  claude-direct: {{ url: \"{}\", protocol: anthropic }}\n\
         routes: {{ m: [a, claude-direct], only-openai: [a], claude: [claude-direct] }}",
        openai.url(),
        anthropic.url()
    );
    let gateway = Gateway::start(yaml).await;
    let response = gateway.post(MESSAGES, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("claude-direct"))
    );
    assert_eq!(openai.connections(), 0, "no attempt is made");
    let response = gateway.post(MESSAGES, chat("only-openai")).await;
    assert_eq!(response.status(), 400);
    let body = response.json();
    assert_eq!(
        (&body["type"], &body["error"]["type"]),
        (&"error".into(), &"invalid_request_error".into())
    );
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("anthropic") && message.contains("`m`"),
        "it names one that would do: {message}"
    );
    assert_eq!(openai.connections(), 0);
}
