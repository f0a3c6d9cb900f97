//! What is counted and timed of real requests, and what is remembered of failures.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::*;

const ONCE: &str = "policy: { retry: { same_target: 1, backoff: 1ms, max_backoff: 2ms } }";

/// A scrape: series → value.
struct Scrape {
    text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(watched: &Watched) -> Self {
        let response = watched.ask("/metrics").await;
        assert_eq!(response.status(), 200);
        let kind = response.header("content-type").unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        let text = response.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        let series = series.collect();
        Self { text, series }
    }

    /// One in which `series` has this value. What ends a request is counted just after its client has got its last byte.
    async fn with(watched: &Watched, series: &str, value: f64) -> Self {
        let until = Instant::now() + PATIENCE;
        loop {
            let scrape = Self::of(watched).await;
            if scrape.get(series) == value {
                return scrape;
            }
            assert!(Instant::now() < until, "{series} is never {value}:\n{}", scrape.text);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Zero where it is not there.
    fn get(&self, series: &str) -> f64 {
        self.series.get(series).copied().unwrap_or_default()
    }
}

fn requests(route: &str, outcome: &str, status: &str) -> String {
    format!(r#"switchback_requests_total{{outcome="{outcome}",route="{route}",status="{status}"}}"#)
}

fn attempts(upstream: &str, class: &str, action: &str) -> String {
    let target = format!("{upstream}/m");
    format!(r#"switchback_attempts_total{{action="{action}",class="{class}",target="{target}",upstream="{upstream}"}}"#)
}

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

#[tokio::test]
async fn requests_and_attempts_are_counted_by_what_became_of_them() {
    let bad = Upstream::always(Answer::json(500, "{}")).await;
    let good = Upstream::answering([well(), well(), Answer::json(400, error("no", "", None))]).await;
    let watched = Watched::start(chain(&[bad.url(), good.url()]) + ONCE + "\n").await;
    for expected in [200, 200, 400] {
        assert_eq!(watched.gateway.post(CHAT, chat("m")).await.status(), expected);
    }
    assert_eq!(
        watched.gateway.post(CHAT, chat("nobody-knows-this")).await.status(),
        404
    );
    assert_eq!(watched.gateway.post(CHAT, "not json").await.status(), 400);
    let scrape = Scrape::with(&watched, &requests("none", "gateway_error", "4xx"), 1.0).await;
    for (series, expected) in [
        (requests("m", "ok", "2xx"), 2.0),
        (requests("m", "ok", "4xx"), 1.0),
        (requests("unknown", "gateway_error", "4xx"), 1.0),
        // The third failure in a row opens the cooldown: no further retry.
        (attempts("a", "server_error", "retry"), 1.0),
        (attempts("a", "server_error", "fallback"), 2.0),
        (attempts("b", "ok", "deliver"), 2.0),
        (attempts("b", "bad_request", "deliver"), 1.0),
        (r#"switchback_fallbacks_total{route="m"}"#.to_owned(), 2.0),
        (
            r#"switchback_target_cooldown_state{target="a/m",upstream="a"}"#.to_owned(),
            1.0,
        ),
        (r#"switchback_route_targets_skipped{route="m"}"#.to_owned(), 1.0),
        (
            r#"switchback_attempt_connections_total{source="new",target="b/m",upstream="b"}"#.to_owned(),
            1.0,
        ),
        (
            r#"switchback_attempt_connections_total{source="pool",target="b/m",upstream="b"}"#.to_owned(),
            2.0,
        ),
        (
            r#"switchback_attempt_connect_seconds_count{target="b/m",upstream="b"}"#.to_owned(),
            1.0,
        ),
        (
            r#"switchback_attempt_headers_seconds_count{target="b/m",upstream="b"}"#.to_owned(),
            2.0,
        ),
        ("switchback_added_latency_seconds_count".to_owned(), 3.0),
        (
            r#"switchback_request_body_bytes_total{route="m"}"#.to_owned(),
            3.0 * chat("m").len() as f64,
        ),
        ("switchback_requests_in_flight".to_owned(), 0.0),
        (
            r#"switchback_upstream_attempts_in_flight{upstream="b"}"#.to_owned(),
            0.0,
        ),
    ] {
        assert_eq!(scrape.get(&series), expected, "{series}\n{}", scrape.text);
    }
    assert!(
        !scrape.text.contains("nobody-knows-this"),
        "a client's word is no label"
    );
}

#[tokio::test]
async fn waiting_for_an_upstream_is_not_added_by_the_gateway() {
    let upstream = Manual::listen().await;
    let watched = Watched::start(chain(&[upstream.url()])).await;
    let mut client = watched.gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    let running = Scrape::of(&watched).await;
    assert_eq!(running.get("switchback_requests_in_flight"), 1.0);
    assert_eq!(
        running.get(r#"switchback_upstream_attempts_in_flight{upstream="a"}"#),
        1.0
    );
    // The upstream thinks, twice: it is what this test is about.
    tokio::time::sleep(Duration::from_millis(300)).await;
    play.begin_sse().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for part in stream_of("hi") {
        play.chunk(part).await;
    }
    play.finish().await;
    client.head().await;
    client.rest_of_stream().await;
    let scrape = Scrape::with(&watched, &requests("m", "ok", "2xx"), 1.0).await;
    let sum = |name: &str| scrape.get(&format!(r#"switchback_{name}_sum{{target="a/m",upstream="a"}}"#));
    let (headers, first_token) = (sum("attempt_headers_seconds"), sum("attempt_first_token_seconds"));
    assert!(headers >= 0.29 && first_token >= 0.19, "{}", scrape.text);
    let whole = scrape.get(r#"switchback_request_duration_seconds_sum{route="m"}"#);
    assert_eq!(scrape.get("switchback_added_latency_seconds_count"), 1.0);
    let added = scrape.get("switchback_added_latency_seconds_sum");
    assert!(
        added > 0.0 && added <= whole - headers - first_token,
        "{added} of {whole} s"
    );
}

#[tokio::test]
async fn a_slow_client_is_not_added_by_the_gateway() {
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[upstream.url()])).await;
    let mut client = watched.gateway.client().await;
    let (head, body) = (post(CHAT, chat("m")), chat("m").len());
    let cut = head.len() - body / 2;
    client.send(&head[..cut]).await;
    Scrape::with(&watched, "switchback_requests_in_flight", 1.0).await;
    // The client is slow: it is what this test is about.
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.send(&head[cut..]).await;
    assert_eq!(client.response().await.status(), 200);
    let scrape = Scrape::with(&watched, &requests("m", "ok", "2xx"), 1.0).await;
    let added = scrape.get("switchback_added_latency_seconds_sum");
    let whole = scrape.get(r#"switchback_request_duration_seconds_sum{route="m"}"#);
    assert!(added > 0.0 && added <= whole - 0.29, "{added} of {whole} s");
}

#[tokio::test]
async fn who_leaves_who_breaks_and_who_never_answers() {
    let upstream = Upstream::answering([
        Answer::hang(),
        Answer::sse([delta("half")]).then(Ending::Cut),
        Answer::reset(),
        Answer::reset(),
    ])
    .await;
    let watched = Watched::start(chain(&[upstream.url()]) + ONCE + "\n").await;
    let mut client = watched.gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    upstream.request(0).await;
    client.leave();
    watched.gateway.client_gone().await;
    watched.gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(watched.gateway.post(CHAT, chat("m")).await.status(), 502);
    let scrape = Scrape::with(&watched, &requests("m", "exhausted", "5xx"), 1.0).await;
    for (series, expected) in [
        (requests("m", "client_gone", "none"), 1.0),
        (requests("m", "broken", "2xx"), 1.0),
        (attempts("a", "client_gone", "none"), 1.0),
        (attempts("a", "broken", "deliver"), 1.0),
        (attempts("a", "reset", "retry"), 1.0),
        (attempts("a", "reset", "exhausted"), 1.0),
        (attempts("a", "ok", "deliver"), 0.0),
    ] {
        assert_eq!(scrape.get(&series), expected, "{series}\n{}", scrape.text);
    }
}

#[tokio::test]
async fn a_stream_that_is_gone_on_with_is_counted() {
    let stream = stream_of("one two three");
    let cut = Answer::sse(stream[..2].to_vec()).then(Ending::Cut);
    let upstream = Upstream::answering([cut.clone(), Answer::sse(stream.clone()), cut, Answer::json(400, "{}")]).await;
    let watched = Watched::start(chain_with(&[upstream.url()], ", prefill: true")).await;
    watched.gateway.post(CHAT, chat_stream("m")).await;
    watched.gateway.post(CHAT, chat_stream("m")).await;
    let scrape = Scrape::with(&watched, &requests("m", "broken", "2xx"), 1.0).await;
    for (series, expected) in [
        (requests("m", "ok", "2xx"), 1.0),
        (
            r#"switchback_resumes_total{result="resumed",route="m"}"#.to_owned(),
            1.0,
        ),
        (r#"switchback_resumes_total{result="failed",route="m"}"#.to_owned(), 1.0),
        (attempts("a", "broken", "resume"), 2.0),
        (attempts("a", "ok", "deliver"), 1.0),
    ] {
        assert_eq!(scrape.get(&series), expected, "{series}\n{}", scrape.text);
    }
}

#[tokio::test]
async fn what_is_relayed_is_counted_by_its_upstream() {
    let upstream = Upstream::always(well()).await;
    let yaml = chain(&[upstream.url()]) + "server: { passthrough: a }\n";
    let watched = Watched::start(yaml).await;
    assert_eq!(watched.gateway.get("/v1/files").await.status(), 200);
    let upload =
        "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-type: application/octet-stream\r\ncontent-length: 4\r\n\r\ndata";
    assert_eq!(watched.gateway.exchange(upload).await.status(), 200);
    let scrape = Scrape::with(&watched, &requests("passthrough", "ok", "2xx"), 2.0).await;
    let series = r#"switchback_attempts_total{action="deliver",class="ok",target="a",upstream="a"}"#;
    assert_eq!(scrape.get(series), 2.0, "{}", scrape.text);
}

/// Neither the metrics nor the status document have a key, a prompt or a completion in them, whatever a provider repeats.
#[tokio::test]
async fn failures_are_remembered_without_what_is_secret() {
    const KEY: &str = "operator-key-without-a-pattern";
    const PROMPT: &str = "My mother's maiden name is \"Smith\" and I live by the lake";
    let answer = json!({ "error": { "message": format!(
        "Refused for {KEY} and sk-live-1234567890abcdef: '{PROMPT}' is not allowed by policy 7") , "type": "x", "code": "server_error" } });
    let bad = Upstream::always(Answer::json(500, answer.to_string()).header("x-request-id", "req_provider_1")).await;
    let good = Upstream::always(Answer::json(200, completion("the answer is secret too"))).await;
    let yaml = chain_with(&[bad.url(), good.url()], &format!(", key: {KEY}"));
    let watched = Watched::start(yaml + "policy: { retry: { same_target: 0 } }\n").await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": PROMPT }] }).to_string();
    let response = watched.gateway.post(CHAT, &body).await;
    assert_eq!(response.status(), 200);
    let scrape = Scrape::with(&watched, &requests("m", "ok", "2xx"), 1.0).await;
    let status = watched.status().await;
    let failure = &status["routes"][0]["targets"][0]["last_failures"][0];
    assert_eq!(failure["class"], "server_error", "{status}");
    assert_eq!(failure["status"], 500);
    assert_eq!(failure["request_id"], response.id().as_str());
    assert_eq!(failure["upstream_request_id"], "req_provider_1");
    let message = failure["message"].as_str().unwrap();
    assert!(
        message.starts_with("Refused for … and …:") && message.ends_with("is not allowed by policy 7"),
        "{message}"
    );
    for shown in [scrape.text, status.to_string()] {
        for secret in [KEY, "sk-live", "maiden", "lake", "the answer is"] {
            assert!(!shown.contains(secret), "{secret} is shown:\n{shown}");
        }
    }
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[upstream.url()])).await;
    watched.gateway.post(CHAT, chat("m")).await;
    let scrape = Scrape::with(&watched, &requests("m", "ok", "2xx"), 1.0).await;
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            writeln!(
                std::io::stderr(),
                "not checked: promtool is not here (./scripts/test gets it)"
            )
            .unwrap();
            return;
        }
        child => child.expect("promtool is here (./scripts/test gets it)"),
    };
    child.stdin.take().unwrap().write_all(scrape.text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn an_account_and_a_reload_are_seen() {
    let upstream = Upstream::always(well()).await;
    let account = json!({ "is_available": true, "balance_infos": [{ "currency": "USD", "total_balance": "3.50" }] });
    upstream.answer_at("/user/balance", Answer::json(200, account.to_string()));
    let yaml = chain_with(
        &[upstream.url()],
        ", key: k, balance: { from: deepseek, every: 1s, low: 5 }",
    );
    let by_signal = "server: { watch: false }\n";
    let watched = Watched::start(yaml + by_signal).await;
    let scrape = Scrape::with(
        &watched,
        r#"switchback_upstream_balance{currency="USD",upstream="a"}"#,
        3.5,
    )
    .await;
    assert_eq!(scrape.get(r#"switchback_upstream_balance_low{upstream="a"}"#), 5.0);
    assert_eq!(scrape.get(r#"switchback_upstream_balance_spent{upstream="a"}"#), 0.0);
    assert_eq!(scrape.get("switchback_config_generation"), 1.0);
    assert_eq!(scrape.get("switchback_config_last_reload_successful"), 1.0);
    watched.gateway.post(CHAT, chat("m")).await;
    Scrape::with(&watched, &requests("m", "ok", "2xx"), 1.0).await;
    let Address::Tcp(admin) = &watched.admin else {
        panic!("it listens on a port")
    };
    let rest = format!("{by_signal}admin: \"{admin}\"\n");
    let write =
        |text: &str| std::fs::write(&watched.gateway.file, format!("{}{text}{rest}", watched.gateway.top)).unwrap();
    write("nonsense: true\n");
    watched.gateway.signal("HUP");
    Scrape::with(&watched, "switchback_config_rejected_total", 1.0).await;
    let scrape = Scrape::of(&watched).await;
    assert_eq!(scrape.get("switchback_config_last_reload_successful"), 0.0);
    // Without the account, and with another route; what is counted of the first one goes on.
    write(&(chain(&[upstream.url()]) + "  n: [a]\n"));
    watched.gateway.signal("HUP");
    let scrape = Scrape::with(&watched, "switchback_config_generation", 2.0).await;
    assert_eq!(scrape.get("switchback_config_last_reload_successful"), 1.0);
    assert_eq!(scrape.get(&requests("m", "ok", "2xx")), 1.0);
    assert!(!scrape.text.contains("_balance"), "{}", scrape.text);
    assert!(scrape.text.contains(r#"target="a/n""#), "{}", scrape.text);
}
