//! What broken stand-ins do.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{self, post};
use crate::{OPENAI, at, chat, control, message, start};

#[test]
fn error_statuses_have_the_providers_words_and_headers() {
    let stand_ins = start(&[]);
    // Upstream, fault, status, where the body says what, what it says.
    let cases = [
        ("openai", "429", 429, "/error/code", json!("rate_limit_exceeded")),
        ("openai", "402", 402, "/error/code", json!("insufficient_quota")),
        (
            "openai",
            "out-of-credits",
            429,
            "/error/code",
            json!("insufficient_quota"),
        ),
        ("openai", "401", 401, "/error/code", json!("invalid_api_key")),
        ("openai", "404", 404, "/error/code", json!("model_not_found")),
        ("openai", "500", 500, "/error/type", json!("server_error")),
        ("openai", "overloaded", 503, "/error/type", json!("server_error")),
        ("openai", "418", 418, "/error/type", json!("invalid_request_error")),
        ("anthropic", "429", 429, "/error/type", json!("rate_limit_error")),
        ("anthropic", "402", 402, "/error/type", json!("billing_error")),
        (
            "anthropic",
            "out-of-credits",
            400,
            "/error/type",
            json!("invalid_request_error"),
        ),
        ("anthropic", "overloaded", 529, "/error/type", json!("overloaded_error")),
        ("anthropic", "500", 500, "/error/type", json!("api_error")),
        ("openrouter", "429", 429, "/error/code", json!(429)),
        ("openrouter", "out-of-credits", 402, "/error/code", json!(402)),
        (
            "openrouter",
            "502",
            502,
            "/error/message",
            json!("Provider returned error"),
        ),
        (
            "openrouter",
            "overloaded",
            503,
            "/error/metadata/error_type",
            json!("provider_overloaded"),
        ),
        ("deepseek", "402", 402, "/error/message", json!("Insufficient Balance")),
    ];
    for (upstream, fault, status, pointer, expected) in cases {
        control(&stand_ins, "POST", &format!("/drill/{upstream}?fault={fault}"));
        let (path, body) = match upstream {
            "anthropic" => ("/v1/messages", message("m", true)),
            _ => ("/v1/chat/completions", chat("m", true)),
        };
        let reply = post(at(&stand_ins, upstream), path, &body);
        assert_eq!(reply.status, status, "{upstream}={fault}");
        assert_eq!(
            reply.json().pointer(pointer),
            Some(&expected),
            "{upstream}={fault}: {reply:?}"
        );
        let id = ["x-request-id", "request-id", "x-generation-id", "x-ds-trace-id"];
        assert!(id.iter().any(|id| reply.header(id).is_some()), "{reply:?}");
        assert_eq!(
            reply.header("retry-after").is_some(),
            fault == "429",
            "{upstream}={fault}"
        );
    }
    let messages = post(at(&stand_ins, "anthropic"), "/v1/messages", &message("m", false));
    assert_eq!(messages.json()["request_id"].as_str(), messages.header("request-id"));
}

#[test]
fn a_rate_limit_says_how_long_it_lasts() {
    let stand_ins = start(&[]);
    control(&stand_ins, "POST", "/drill/openai?fault=429:2s");
    let reply = post(
        at(&stand_ins, "openai"),
        "/v1/embeddings",
        &json!({ "model": "e", "input": "a" }),
    );
    assert_eq!(reply.header("retry-after"), Some("2"));
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(reply.header("x-ratelimit-reset-requests"), Some("2s"));
    control(&stand_ins, "POST", "/drill/openrouter?fault=429");
    let reply = post(
        at(&stand_ins, "openrouter"),
        "/api/v1/chat/completions",
        &chat("m", false),
    );
    assert_eq!(reply.header("x-ratelimit-remaining"), Some("0"));
}

#[test]
fn errors_come_inside_a_200() {
    let stand_ins = start(&[
        "openai=error-in-200",
        "anthropic=error-in-200",
        "openrouter=error-in-stream",
    ]);
    for stream in [false, true] {
        let reply = post(at(&stand_ins, "openai"), "/v1/chat/completions", &chat("m", stream));
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some("application/json"))
        );
        assert!(reply.json()["error"]["message"].is_string());
        let reply = post(at(&stand_ins, "anthropic"), "/v1/messages", &message("m", stream));
        assert_eq!(
            (reply.status, &reply.json()["error"]["type"]),
            (200, &json!("api_error"))
        );
    }
    let openrouter = at(&stand_ins, "openrouter");
    let reply = post(openrouter, "/api/v1/chat/completions", &chat("m", true));
    assert!(
        reply.text().starts_with(": OPENROUTER PROCESSING\n\ndata: {"),
        "{}",
        reply.text()
    );
    let events = reply.events();
    assert_eq!(
        (reply.status, events.len(), events[1]["error"]["code"].as_str()),
        (200, 2, Some("server_error"))
    );
    assert!(reply.whole);
    assert_eq!(
        post(openrouter, "/api/v1/chat/completions", &chat("m", false)).json()["error"]["code"],
        502
    );
    let events = post(openrouter, "/api/v1/messages", &message("m", true)).events();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message_start", "ping", "error"]);
    let events = post(
        openrouter,
        "/api/v1/responses",
        &json!({ "model": "m", "input": "", "stream": true }),
    )
    .events();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["response.created", "response.in_progress", "error", "response.failed"]
    );

    control(&stand_ins, "POST", "/drill/openai?fault=error-in-stream");
    let reply = post(at(&stand_ins, "openai"), "/v1/chat/completions", &chat("m", true));
    let events = reply.events();
    assert_eq!(
        (events.len(), events[1]["error"]["type"].as_str()),
        (2, Some("server_error"))
    );
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_cut_answer_is_never_whole() {
    let stand_ins = start(&["openai=cut", "anthropic=cut"]);
    let openai = at(&stand_ins, "openai");
    let reply = post(openai, "/v1/chat/completions", &chat("gpt-4o", false));
    let announced: usize = reply.header("content-length").unwrap().parse().unwrap();
    assert_eq!(
        (reply.status, reply.whole, reply.body.len()),
        (200, false, announced * 2 / 3)
    );

    let reply = post(openai, "/v1/chat/completions", &chat("gpt-4o", true));
    assert!(!reply.whole && !reply.text().contains("[DONE]"));
    let text: String = reply
        .events()
        .iter()
        .filter_map(|it| it["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert!(
        OPENAI.starts_with(&text) && text.len() > OPENAI.len() / 2 && text.len() < OPENAI.len(),
        "{text}"
    );

    let reply = post(at(&stand_ins, "anthropic"), "/v1/messages", &message("m", true));
    assert!(!reply.whole && !reply.text().contains("message_stop"));
    assert!(reply.text().contains("text_delta"));
}

#[test]
fn hang_and_stall_wait_for_the_client_to_leave() {
    let stand_ins = start(&["openai=hang", "openrouter=stall"]);
    let mut stream = client::connect(at(&stand_ins, "openai"));
    let body = chat("m", false).to_string();
    let length = body.len();
    let request = |stream: &mut TcpStream, body: &str| {
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    request(&mut stream, &body).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );
    drop(stream);

    let body = chat("m", true).to_string();
    let mut stream = client::connect(at(&stand_ins, "openrouter"));
    let length = body.len();
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while seen.matches("\"content\"").count() < 4 {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the stream ended: {seen}");
        seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let error = loop {
        match stream.read(&mut buffer) {
            Ok(read) => {
                assert!(read > 0, "the stream ended");
                seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );
    assert!(!seen.contains("\"finish_reason\":\"stop\""));
    drop(stream);

    // The leaving is noticed: the counts say so (asked until they do; a hang here is the failure).
    let abandoned = |name: &str| control(&stand_ins, "GET", &format!("/drill/{name}"))["abandoned"].clone();
    let begun = Instant::now();
    while abandoned("openai") != json!(1) || abandoned("openrouter") != json!(1) {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "nobody noticed that the clients left"
        );
    }
}

#[test]
fn slow_waits_before_it_answers() {
    let stand_ins = start(&["openai=slow:300ms"]);
    let begun = Instant::now();
    assert_eq!(
        post(at(&stand_ins, "openai"), "/v1/chat/completions", &chat("m", false)).status,
        200
    );
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn refuse_closes_the_port_and_ok_opens_the_same_one() {
    let stand_ins = start(&["anthropic=refuse"]);
    let refused = |name: &str| match TcpStream::connect(at(&stand_ins, name)) {
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
        Ok(_) => false,
    };
    assert!(refused("anthropic"), "from the start");

    let openai = at(&stand_ins, "openai");
    let mut open = client::connect(openai);
    let body = chat("m", false).to_string();
    let length = body.len();
    write!(
        open,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    open.read_exact(&mut [0; 15]).unwrap();
    for _ in 0..5 {
        control(&stand_ins, "POST", "/drill/openai?fault=refuse");
        assert!(refused("openai"));
        control(&stand_ins, "POST", "/drill/openai?fault=refuse");
        assert!(refused("openai"));
        control(&stand_ins, "DELETE", "/drill/openai");
        assert_eq!(post(openai, "/v1/chat/completions", &chat("m", false)).status, 200);
    }
    // The connection that was open when the port closed has ended.
    let mut rest = Vec::new();
    assert!(open.read_to_end(&mut rest).is_ok() || rest.len() < 4096);
    control(&stand_ins, "POST", "/drill/anthropic?fault=ok");
    assert_eq!(
        post(at(&stand_ins, "anthropic"), "/v1/messages", &message("m", false)).status,
        200
    );
}
