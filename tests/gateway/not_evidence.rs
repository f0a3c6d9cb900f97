//! What a client says is not evidence: a provider that repeats a request's words does not keep anybody else's away, and one
//! whose account really is empty, or whose key is refused, is left alone all the same.

use serde_json::{Value, json};

use crate::support::reload::UNWATCHED;
use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

fn asked(model: &str, prompt: &str) -> String {
    json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] }).to_string()
}

fn refused(message: &str) -> Answer {
    Answer::json(400, error(message, "invalid_request_error", None))
}

const EMPTY: &str = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.";

/// Each of `requests` is answered so by the first upstream; a stranger's, which comes after them, still goes there.
async fn cost_no_stranger_a_thing(requests: &[String], answers: &[Answer]) {
    let first = Upstream::always(well()).await;
    let second = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\nroutes: {{ m: [a, b], \"*\": [a, b] }}",
        first.url(),
        second.url()
    );
    let gateway = Gateway::start(yaml).await;
    for (request, answer) in requests.iter().zip(answers.iter().cycle()) {
        first.answer_at(CHAT, answer.clone());
        gateway.post(CHAT, request).await;
    }
    first.answer_at(CHAT, well());
    let stranger = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        stranger.header("x-gateway-upstream"),
        Some("a"),
        "{requests:?}\n{}",
        gateway.log.text()
    );
}

#[tokio::test]
async fn a_provider_that_repeats_the_prompt_stays_in_use() {
    for (said, template) in [
        (EMPTY, "Invalid prompt: '{}'"),
        ("Invalid API key provided", "Could not answer: {}"),
        ("the model m does not exist", "Refused: \"{}\""),
        (
            "Rate limit reached. Please try again in 160h.",
            "`{}` is no valid input",
        ),
    ] {
        let requests: Vec<_> = (1..=5).map(|n| asked("m", &format!("{n}. {said}"))).collect();
        let answers: Vec<_> = (1..=5)
            .map(|n| refused(&template.replace("{}", &format!("{n}. {said}"))))
            .collect();
        cost_no_stranger_a_thing(&requests, &answers).await;
    }
}

#[tokio::test]
async fn however_it_repeats_it() {
    let said = "Your CREDIT balance is \"too low\" to use `tools` & more";
    let echoes = [
        said.to_lowercase(),
        said.replace(' ', "\n\t"),
        Value::from(said).to_string(),
        said.replace('"', "&quot;").replace('&', "&amp;"),
        said[..30].to_owned(),
        said.split(' ').rev().collect::<Vec<_>>().join(" "),
        format!("{}, {}", &said[..20], &said[20..]),
    ];
    for echo in echoes {
        let requests: Vec<_> = (1..=3).map(|n| asked("m", &format!("{n} {said}"))).collect();
        cost_no_stranger_a_thing(&requests, &[refused(&format!("Invalid value: {echo}"))]).await;
    }
}

#[tokio::test]
async fn nor_do_the_names_that_a_client_makes_up() {
    let tool = |name: &str| {
        json!({ "model": "m", "messages": [], "tools": [{ "type": "function", "function": { "name": name } }] })
            .to_string()
    };
    let named = |message: &str| refused(message);
    for (request, answer) in [
        (
            asked("insufficient credit balance", "hi"),
            named("Invalid model name: insufficient credit balance"),
        ),
        (
            asked("incorrect api key provided", "hi"),
            Answer::json(404, error("no route `incorrect api key provided`", "", None)),
        ),
        (
            tool("insufficient balance"),
            named("Invalid tool name 'insufficient balance'"),
        ),
        (
            json!({ "model": "m", "insufficient balance": 1, "messages": [] }).to_string(),
            named("Unknown parameter: insufficient balance"),
        ),
        // Half the provider's words, half the client's.
        (tool("balance"), named("Insufficient rights to call balance")),
        // A code that is a name of the client's.
        (
            asked("insufficient_quota", "hi"),
            Answer::json(400, error("no", "", Some("insufficient_quota"))),
        ),
        (
            asked("m", r#"{"error":{"code":"invalid_api_key"}}"#),
            named(r#"{"error":{"code":"invalid_api_key"}}"#),
        ),
        (
            asked("m", r#"{"error":{"code":"invalid_api_key"}}"#),
            named(r#"bad input: {"error":{"code":"invalid_api_key"}}"#),
        ),
    ] {
        let other = request.replacen("\"m\"", "\"m\" ", 1);
        let another = request.replacen('{', "{\"seed\":7,", 1);
        cost_no_stranger_a_thing(&[request, other, another], &[answer]).await;
    }
}

#[tokio::test]
async fn nor_do_paths_headers_and_forms() {
    let first = Upstream::always(well()).await;
    let second = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url()])).await;
    let said = "credit balance is too low";
    let form = |n: u32| {
        format!(
            "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n--x\r\ncontent-disposition: form-data; \
             name=\"file\"; filename=\"{said} {n}.wav\"\r\n\r\n{n}\r\n--x--\r\n"
        )
    };
    let transcriptions = "/v1/audio/transcriptions";
    first.answer_at(transcriptions, refused(&format!("can't read the file {said} 1.wav")));
    for n in 1..=3 {
        let request = post_with(
            transcriptions,
            "content-type: multipart/form-data; boundary=x\r\n",
            form(n),
        );
        gateway.exchange(request).await;
    }
    first.answer_at(CHAT, refused(&format!("unknown tier: {said}")));
    for n in 1..=3 {
        let request = post_with(CHAT, &format!("x-tier: {said}\r\n"), asked("m", &n.to_string()));
        gateway.exchange(request).await;
    }
    let path = "/v1/insufficient-balance/balance";
    first.answer_at(path, refused("insufficient-balance/balance is not here"));
    for n in 1..=3 {
        gateway.post(path, asked("m", &n.to_string())).await;
    }
    first.answer_at(CHAT, well());
    let stranger = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        stranger.header("x-gateway-upstream"),
        Some("a"),
        "{}",
        gateway.log.text()
    );
}

#[tokio::test]
async fn a_wait_that_is_read_from_prose_is_short_and_none_of_the_clients() {
    let second = Upstream::always(well()).await;
    let limited = |message: &str| Answer::json(429, error(message, "requests", None));
    let said = "Please try again in 160h";
    let first = Upstream::answering([limited(&format!("Refused: {said}")), well()]).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url()])).await;
    assert_eq!(gateway.post(CHAT, asked("m", said)).await.status(), 200);
    let stranger = gateway.post(CHAT, chat("m")).await;
    assert_eq!(stranger.header("x-gateway-upstream"), Some("a"));
    // The provider's own words count, for a minute; its header, for an hour.
    for (answer, seconds) in [
        (limited(said), 60.0),
        (limited("slow down").header("retry-after", "576000"), 3600.0),
    ] {
        let first = Upstream::always(answer).await;
        let gateway = Gateway::start(chain(&[first.url(), second.url()])).await;
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
        let line = gateway
            .log
            .line("a cooldown", |line| line["msg"] == "cooling down")
            .await;
        assert_eq!(line["seconds"].as_f64(), Some(seconds), "{line}");
    }
}

#[tokio::test]
async fn an_empty_account_that_is_told_of_in_words_is_left_alone_after_two_requests() {
    let answer = Answer::json(400, anthropic_error("invalid_request_error", EMPTY));
    let empty = Upstream::always(answer).await;
    let good = Upstream::always(well()).await;
    let yaml = chain_with(&[empty.url(), good.url()], ", protocol: [openai, anthropic]");
    let gateway = Gateway::start(yaml).await;
    for (prompt, asked_so_far) in [("one", 1), ("one", 2), ("two", 3), ("three", 3), ("four", 3)] {
        let response = gateway.post(MESSAGES, asked("m", prompt)).await;
        assert_eq!(
            (response.status(), response.header("x-gateway-upstream")),
            (200, Some("b")),
            "{prompt}"
        );
        assert_eq!(empty.requests().len(), asked_so_far, "{prompt}");
    }
    let line = gateway
        .log
        .line("a cooldown", |line| line["msg"] == "cooling down")
        .await;
    assert_eq!(
        (&line["target"], &line["class"], line["seconds"].as_f64()),
        (&"a".into(), &"out_of_credits".into(), Some(60.0))
    );
}

#[tokio::test]
async fn an_answer_between_two_such_requests_proves_them_wrong() {
    let told = || Answer::json(400, anthropic_error("invalid_request_error", EMPTY));
    let first = Upstream::answering([told(), well(), told(), well()]).await;
    let second = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url()])).await;
    let mut served = Vec::new();
    for prompt in ["one", "two", "three", "four"] {
        let response = gateway.post(CHAT, asked("m", prompt)).await;
        served.push(response.header("x-gateway-upstream").unwrap().to_owned());
    }
    assert_eq!(served, ["b", "a", "b", "a"]);
}

#[tokio::test]
async fn what_was_told_is_still_known_after_a_reload() {
    let empty = Upstream::always(Answer::json(400, anthropic_error("invalid_request_error", EMPTY))).await;
    let good = Upstream::always(well()).await;
    let yaml = chain(&[empty.url(), good.url()]) + UNWATCHED;
    let gateway = Gateway::start(yaml.clone()).await;
    gateway.post(CHAT, asked("m", "one")).await;
    gateway.reload(&(yaml + "policy: { retry: { attempts: 5 } }\n")).await;
    gateway.post(CHAT, asked("m", "two")).await;
    gateway.post(CHAT, asked("m", "three")).await;
    assert_eq!(empty.requests().len(), 2);
}

#[tokio::test]
async fn what_a_client_cannot_forge_counts_at_once() {
    for (status, body) in [
        (401, error("no", "", None)),
        (402, "{}".to_owned()),
        (403, error("no", "", None)),
        (429, error("no", "insufficient_quota", Some("insufficient_quota"))),
        (400, error("no", "", Some("invalid_api_key"))),
    ] {
        let bad = Upstream::always(Answer::json(status, body)).await;
        let good = Upstream::always(well()).await;
        let gateway = Gateway::start(chain(&[bad.url(), good.url()])).await;
        for _ in 0..3 {
            let response = gateway
                .post(CHAT, asked("m", "what is insufficient_quota? And 402?"))
                .await;
            assert_eq!(response.header("x-gateway-upstream"), Some("b"));
        }
        assert_eq!(bad.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_page_that_blocks_one_request_closes_nothing() {
    let blocked = Answer::status(403, "<html>Sorry, you have been blocked</html>").header("content-type", "text/html");
    let request = asked("m", "SELECT * FROM users; DROP TABLE users");
    cost_no_stranger_a_thing(&[request.clone(), request], &[blocked]).await;
}

/// A large request is not searched for what it shares with the answer: then words prove nothing.
#[tokio::test]
async fn a_large_request_proves_nothing_either() {
    let large = |n: u32| asked("m", &format!("{n} {} {EMPTY}", "x ".repeat(2 << 20)));
    cost_no_stranger_a_thing(&[large(1), large(2)], &[refused(EMPTY)]).await;
}

#[tokio::test]
async fn nor_does_what_is_repeated_in_the_midst_of_a_stream() {
    let said = "Please try again in 50s";
    let reported = json!({ "error": { "code": "rate_limit_exceeded", "message": format!("Refused: {said}") } });
    let first = Upstream::always(Answer::sse([delta("hi"), format!("data: {reported}\n\n")])).await;
    let second = Upstream::always(Answer::sse(stream_of("well"))).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url()])).await;
    let asking = json!({ "model": "m", "stream": true, "messages": [{ "role": "user", "content": said }] });
    let response = gateway.post(CHAT, asking.to_string()).await;
    assert!(response.text().contains(said), "{}", response.text());
    let stranger = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(stranger.header("x-gateway-upstream"), Some("a"));
    // What the upstream says of its own accord is heeded.
    let third = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(third.header("x-gateway-upstream"), Some("b"));
}
