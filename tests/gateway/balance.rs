//! Accounts, asked in the background: an empty one keeps its upstream out before a request fails, a filled one lets it in.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::h2_upstream::H2Upstream;
use crate::support::pki::Pki;
use crate::support::*;

/// Where DeepSeek tells it.
const ACCOUNT: &str = "/user/balance";
const DEEPSEEK: &str = ", key: sk-a, balance: { from: deepseek, every: 1s, low: 5 }";

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// As DeepSeek says it.
fn left(amount: &str) -> Answer {
    let info = json!({ "currency": "USD", "total_balance": amount, "granted_balance": "0.00" });
    Answer::json(
        200,
        json!({ "is_available": true, "balance_infos": [info] }).to_string(),
    )
}

/// Upstream `a` with an account, then `b` without one; a route `m` through both.
fn yaml(a: &str, more: &str, b: &str) -> String {
    format!(
        "upstreams:\n  a: {{ url: \"{a}/v1\"{more} }}\n  b: {{ url: \"{b}/v1\" }}\nroutes: {{ m: [a, b] }}\n\
         policy: {{ retry: {{ same_target: 0 }} }}\n"
    )
}

async fn served(gateway: &Gateway) -> String {
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    response.header("x-gateway-upstream").unwrap().to_owned()
}

/// The lines of one kind: level, message.
fn lines(gateway: &Gateway, module: &str) -> Vec<Value> {
    let mut lines = gateway.log.json();
    lines.retain(|line| line["module"] == module);
    lines
}

fn said(gateway: &Gateway) -> Vec<(String, String)> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines(gateway, "switchback::balance")
        .iter()
        .map(|line| (text(line, "level"), text(line, "msg")))
        .collect()
}

#[tokio::test]
async fn an_empty_account_keeps_its_upstream_out_before_a_request_fails() {
    let (a, b) = (Upstream::always(well()).await, Upstream::always(well()).await);
    a.answer_at(ACCOUNT, left("0.00"));
    let gateway = Gateway::start(yaml(&a.url(), DEEPSEEK, &b.url())).await;
    let opened = gateway
        .log
        .line("a cooldown", |line| line["msg"] == "cooling down")
        .await;
    assert_eq!(
        (&opened["target"], &opened["class"]),
        (&"a".into(), &"out_of_credits".into())
    );
    assert_eq!(served(&gateway).await, "b");
    assert_eq!(a.requests_at(CHAT).len(), 0);
    // Kept open as long as it is empty, of which the log says nothing more.
    let known = a.requests_at(ACCOUNT).len();
    soon("two more polls", async {
        while a.requests_at(ACCOUNT).len() < known + 2 {
            assert_eq!(served(&gateway).await, "b");
        }
    })
    .await;
    assert_eq!(
        lines(&gateway, "switchback::cooldown").len(),
        1,
        "{}",
        gateway.log.text()
    );
    a.answer_at(ACCOUNT, left("12.50"));
    gateway.log.says("in use again").await;
    assert_eq!(served(&gateway).await, "a");
}

#[tokio::test]
async fn credit_ends_what_a_request_began() {
    let empty = Answer::json(
        402,
        error("Insufficient Balance", "unknown_error", Some("invalid_request_error")),
    );
    let (a, b) = (Upstream::always(well()).await, Upstream::always(well()).await);
    a.answer_at(CHAT, empty);
    a.answer_at(ACCOUNT, left("12.50"));
    let gateway = Gateway::start(yaml(&a.url(), DEEPSEEK, &b.url())).await;
    assert_eq!(served(&gateway).await, "b");
    a.answer_at(CHAT, well());
    // By default it would take ten minutes.
    gateway.log.says("in use again").await;
    assert_eq!(served(&gateway).await, "a");
}

#[tokio::test]
async fn low_is_said_once_until_it_was_above_again() {
    let amounts = ["4.50", "4.00", "20.00", "3.00", "2.00"];
    let a = Upstream::answering(amounts.map(left)).await;
    let gateway = Gateway::start(yaml(&a.url(), DEEPSEEK, &a.url())).await;
    a.request(4).await;
    let line = |remaining: f64| {
        gateway.log.line("the balance", move |line| {
            line["msg"] == "the balance is low" && line["remaining"].as_f64() == Some(remaining)
        })
    };
    let first = line(4.5).await;
    assert_eq!(
        (&first["target"], &first["currency"], first["low"].as_f64()),
        (&"a".into(), &"USD".into(), Some(5.0))
    );
    line(3.0).await;
    let expected = [
        ("warn", "the balance is low"),
        ("info", "the balance is no longer low"),
        ("warn", "the balance is low"),
    ];
    assert_eq!(
        said(&gateway),
        expected.map(|(level, text)| (level.to_owned(), text.to_owned()))
    );
}

#[tokio::test]
async fn a_failing_poll_changes_nothing_and_is_said_once() {
    let (a, b) = (Upstream::always(well()).await, Upstream::always(well()).await);
    a.answer_at(ACCOUNT, left("0"));
    let gateway = Gateway::start(yaml(&a.url(), DEEPSEEK, &b.url())).await;
    gateway.log.says("cooling down").await;
    a.answer_at(ACCOUNT, Answer::json(500, "{\"secret\": \"sk-of-the-answer\"}"));
    gateway.log.says("can't be read").await;
    // The next one fails otherwise, and that is not said.
    a.answer_at(ACCOUNT, Answer::status(200, "<html>sk-of-the-answer</html>"));
    let failing = a.requests_at(ACCOUNT).len();
    soon("another poll", async {
        while a.requests_at(ACCOUNT).len() == failing {
            assert_eq!(served(&gateway).await, "b");
        }
    })
    .await;
    a.answer_at(ACCOUNT, left("9"));
    gateway.log.says("in use again").await;
    let said = lines(&gateway, "switchback::balance");
    let messages: Vec<_> = said.iter().map(|line| line["msg"].as_str().unwrap()).collect();
    assert_eq!(
        messages,
        [
            "the balance is low",
            "the balance can't be read: what was known of it stands, and no more is said until it can",
            "the balance can be read again",
            "the balance is no longer low"
        ]
    );
    assert_eq!(said[1]["reason"], "the answer's status is 500");
    let log = gateway.log.text();
    assert!(!log.contains("sk-of-the-answer") && !log.contains("sk-a"), "{log}");
}

#[tokio::test]
async fn no_request_waits_for_a_poll() {
    let (a, b) = (Upstream::always(well()).await, Upstream::always(well()).await);
    a.answer_at(ACCOUNT, Answer::hang());
    let more = format!("{DEEPSEEK}, timeouts: {{ headers: 2s, answer: 2s }}");
    let gateway = Gateway::start(yaml(&a.url(), &more, &b.url())).await;
    soon("a poll", async {
        while a.requests_at(ACCOUNT).is_empty() {
            assert_eq!(served(&gateway).await, "a");
        }
    })
    .await;
    let begin = Instant::now();
    assert_eq!(served(&gateway).await, "a");
    assert!(begin.elapsed() < PATIENCE / 4, "{:?}", begin.elapsed());
    let line = gateway
        .log
        .line("a failing poll", |line| line["module"] == "switchback::balance")
        .await;
    assert_eq!(line["reason"], "no response header within the headers clock");
    a.left().await;
}

#[tokio::test]
async fn what_cannot_be_an_answer_is_not_waited_for() {
    let (a, b) = (Upstream::always(well()).await, Upstream::always(well()).await);
    for (answer, reason) in [
        (Answer::json(200, vec![b' '; 70_000]), "longer than 64 KiB"),
        (Answer::json(200, vec![b' '; 70_000]).chunked(), "longer than 64 KiB"),
        (left("1").then(Ending::Cut), "broke off"),
        (Answer::raw("SSH-2.0\r\n"), "not a valid HTTP response"),
        (
            Answer::json(302, "").header("location", "http://127.0.0.1:1/"),
            "status is 302",
        ),
        (
            Answer::json(200, "{\"balance_infos\": [{}]}"),
            "`/total_balance` leads nowhere",
        ),
    ] {
        a.answer_at(ACCOUNT, answer);
        let gateway = Gateway::start(yaml(&a.url(), DEEPSEEK, &b.url())).await;
        let line = gateway
            .log
            .line("a failing poll", |line| line["module"] == "switchback::balance")
            .await;
        let said = line["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{said}");
        assert_eq!(served(&gateway).await, "a");
    }
}

#[tokio::test]
async fn each_preset_asks_as_its_provider_has_it() {
    let number = |name: &str, value: f64| Answer::json(200, json!({ name: value }).to_string());
    let key = json!({ "data": { "limit": null, "limit_remaining": null } });
    let credits = json!({ "data": { "total_credits": 10.5, "total_usage": 10.25 } });
    let moonshot = json!({ "code": 0, "data": { "available_balance": 0.25, "cash_balance": -1 }, "status": true });
    for (preset, base, asked) in [
        (
            "openrouter",
            "/api/v1",
            vec![
                ("/api/v1/key", Answer::json(200, key.to_string())),
                ("/api/v1/credits", Answer::json(200, credits.to_string())),
            ],
        ),
        ("deepseek", "", vec![(ACCOUNT, left("0.25"))]),
        (
            "moonshot",
            "/v1",
            vec![("/v1/users/me/balance", Answer::json(200, moonshot.to_string()))],
        ),
        (
            "one-api",
            "/v1",
            vec![
                ("/v1/dashboard/billing/subscription", number("hard_limit_usd", 2.0)),
                ("/v1/dashboard/billing/usage", number("total_usage", 175.0)),
            ],
        ),
    ] {
        let upstream = Upstream::answering([]).await;
        for (path, answer) in &asked {
            upstream.answer_at(path, answer.clone());
        }
        let yaml = format!(
            "upstreams: {{ u: {{ url: \"{}{base}\", key: sk-u, protocol: [anthropic, openai], balance: {preset} }} }}\n\
             routes: {{ m: [u] }}",
            upstream.url()
        );
        let gateway = Gateway::start(yaml).await;
        let line = gateway
            .log
            .line("the balance", |line| line["module"] == "switchback::balance")
            .await;
        assert_eq!(line["remaining"], 0.25, "{preset}: {line}");
        for (number, (path, _)) in asked.iter().enumerate() {
            let request = upstream.request(number).await;
            assert_eq!((request.method(), request.target()), ("GET", *path));
            assert_eq!(request.head.all("authorization"), ["Bearer sk-u"], "{preset}");
            assert_eq!(request.head.all("host"), [upstream.address.to_string()]);
        }
    }
}

#[tokio::test]
async fn a_url_and_a_pointer_ask_with_all_that_the_upstreams_requests_carry() {
    let upstream = Upstream::answering([]).await;
    for address in ["/billing?of=me".to_owned(), format!("{}/billing?of=me", upstream.url())] {
        upstream.answer_at(
            "/billing?of=me&version=2",
            Answer::json(200, "{\"a/b\": [{ \"left\": \"0.5\" }]}"),
        );
        let yaml = format!(
            "upstreams:\n  u:\n    url: \"{}/v1\"\n    key: sk-u\n    key_header: api-key\n    headers: {{ x-team: blue }}\n    \
             remove_headers: [user-agent]\n    query: {{ version: 2 }}\n    \
             balance: {{ url: \"{address}\", pointer: /a~1b/0/left }}\nroutes: {{ m: [u] }}",
            upstream.url()
        );
        let seen = upstream.requests().len();
        let gateway = Gateway::start(yaml).await;
        let line = gateway
            .log
            .line("the balance", |line| line["module"] == "switchback::balance")
            .await;
        assert_eq!(
            (line["remaining"].as_f64(), line["low"].as_f64(), line.get("currency")),
            (Some(0.5), Some(1.0), None)
        );
        let request = upstream.request(seen).await;
        assert_eq!(request.target(), "/billing?of=me&version=2");
        assert_eq!(request.head.all("api-key"), ["sk-u"]);
        assert_eq!(request.head.all("x-team"), ["blue"]);
        assert_eq!(request.head.all("accept-encoding"), ["identity"]);
        assert_eq!(
            (request.header("authorization"), request.header("user-agent")),
            (None, None)
        );
    }
}

#[tokio::test]
async fn accounts_are_asked_over_the_upstreams_own_tls() {
    let pki = Pki::new();
    let (cert, key) = pki.client_files();
    let upstream = Upstream::always_over_tls(left("0.5"), pki.strict_acceptor(&["http/1.1"])).await;
    let yaml = |url: &str, authority: &Pki| {
        format!(
            "upstreams: {{ u: {{ url: \"{url}\", tls: {{ ca: \"{}\", cert: \"{}\", key: \"{}\" }}, balance: deepseek }} }}\n\
             routes: {{ m: [u] }}",
            authority.ca_file().display(),
            cert.display(),
            key.display()
        )
    };
    let gateway = Gateway::start(yaml(&upstream.url(), &pki)).await;
    gateway.log.says("the balance is low").await;
    // Nobody else is told the key.
    let stranger = Pki::new();
    let gateway = Gateway::start(yaml(&upstream.url(), &stranger)).await;
    gateway.log.says("could not connect").await;
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn accounts_are_asked_over_http_2() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let yaml = format!(
        "upstreams: {{ u: {{ url: \"{}\", tls: {{ ca: \"{}\" }}, balance: {{ url: /left, pointer: \"\" }} }} }}\n\
         routes: {{ m: [u] }}",
        upstream.url(),
        pki.ca_file().display()
    );
    let gateway = Gateway::start(yaml).await;
    let exchange = upstream.exchange().await;
    assert_eq!(exchange.request.uri().path(), "/left");
    exchange.json(200, "0.125");
    let line = gateway
        .log
        .line("the balance", |line| line["module"] == "switchback::balance")
        .await;
    assert_eq!(line["remaining"], 0.125);
}
