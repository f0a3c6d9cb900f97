//! A stream that breaks off is gone on with, where `prefill` allows it.

use serde_json::{Value, json};

use crate::support::*;

const TEXT: &str = "The quick brown fox jumps over the lazy dog, and then again.";

/// How many words a text has.
fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// As an upstream says it that is asked to go on after `said`: an event a word.
fn chat_from(id: &str, said: &str) -> Vec<String> {
    let rest = &TEXT[said.len()..];
    let starts: Vec<_> = rest.match_indices(' ').map(|(at, _)| at).chain([rest.len()]).collect();
    let words = starts
        .iter()
        .scan(0, |from, &to| Some(&rest[std::mem::replace(from, to)..to]));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let chunk = |delta: Value, reason: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        format!(
            "data: {}\n\n",
            json!({ "id": id, "model": id, "created": 1, "choices": [choice] })
        )
    };
    let mut events = vec![chunk(json!({ "role": "assistant", "content": "" }), None)];
    events.extend(words.iter().map(|word| chunk(json!({ "content": word }), None)));
    events.push(chunk(json!({}), Some("stop")));
    let before = count(said);
    let usage = json!({ "prompt_tokens": 7 + before, "completion_tokens": words.len(), "total_tokens": 7 + before + words.len() });
    events.push(format!(
        "data: {}\n\n",
        json!({ "id": id, "choices": [], "usage": usage })
    ));
    events.push(DONE.to_owned());
    events
}

fn message_from(id: &str, said: &str) -> Vec<String> {
    let words = TEXT[said.len()..].split_inclusive(' ');
    let before = TEXT.split_inclusive(' ').count() - words.clone().count();
    let usage = json!({ "input_tokens": 7 + before, "output_tokens": 1 });
    let mut events = vec![
        event(
            "message_start",
            json!({ "message": { "id": id, "role": "assistant", "content": [], "usage": usage } }),
        ),
        event(
            "content_block_start",
            json!({ "index": 0, "content_block": { "type": "text", "text": "" } }),
        ),
    ];
    let delta = |word| json!({ "index": 0, "delta": { "type": "text_delta", "text": word } });
    events.extend(words.clone().map(|word| event("content_block_delta", delta(word))));
    events.push(event("content_block_stop", json!({ "index": 0 })));
    let usage = json!({ "output_tokens": words.count() });
    events.push(event(
        "message_delta",
        json!({ "delta": { "stop_reason": "end_turn" }, "usage": usage }),
    ));
    events.push(event("message_stop", json!({})));
    events
}

/// The first events of a stream, and then a break.
fn cut(events: &[String], after: usize, ending: Ending) -> Answer {
    Answer::sse(events[..after].iter().cloned()).then(ending)
}

fn whole(events: Vec<String>) -> Answer {
    Answer::sse(events)
}

fn values(response: &Response) -> Vec<Value> {
    let text = response.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).expect("JSON data"))
        .collect()
}

fn said(values: &[Value]) -> String {
    let pieces = values.iter().filter_map(|value| {
        let chat = value.pointer("/choices/0/delta/content");
        chat.or_else(|| value.pointer("/delta/text"))?.as_str()
    });
    pieces.collect()
}

fn prefilled(request: &upstream::Received) -> Value {
    let body: Value = serde_json::from_str(&request.text()).expect("a JSON body");
    let messages = body["messages"].as_array().expect("messages").clone();
    messages.last().expect("a message").clone()
}

/// A chain of `a`, `b`, `c`, … that all have `prefill`.
fn resuming<S: AsRef<str>>(urls: &[S]) -> String {
    chain_with(urls, ", prefill: true, protocol: [openai, anthropic]")
}

const SAID: &str = "The quick brown fox";

#[tokio::test]
async fn the_same_target_goes_on_with_a_chat() {
    for ending in [Ending::Cut, Ending::Reset, Ending::Whole] {
        let first = cut(&chat_from("one", ""), 5, ending);
        let upstream = Upstream::answering([first, whole(chat_from("two", SAID))]).await;
        let gateway = Gateway::start(resuming(&[upstream.url()])).await;
        let response = gateway.post(CHAT, chat_stream("m")).await;
        assert_eq!(response.end, End::Clean, "{ending:?}");
        let values = values(&response);
        assert_eq!(said(&values), TEXT);
        assert!(values.iter().all(|value| value["id"] == "one"), "one id: {values:#?}");
        let roles = values
            .iter()
            .filter(|value| value.pointer("/choices/0/delta/role").is_some());
        assert_eq!(roles.count(), 1);
        let usage = &values.last().expect("events")["usage"];
        let words = count(TEXT);
        assert_eq!(
            *usage,
            json!({ "prompt_tokens": 7, "completion_tokens": words, "total_tokens": 7 + words })
        );
        let requests = upstream.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(prefilled(&requests[1]), json!({ "role": "assistant", "content": SAID }));
        let line = gateway.access(&response.id()).await;
        assert_eq!(
            (&line["outcome"], &line["resumed"], &line["attempts"]),
            (&json!("ok"), &json!(1), &json!(2))
        );
        assert!(!gateway.log.text().contains("quick"), "no completion in the log");
    }
}

#[tokio::test]
async fn the_same_target_goes_on_with_a_message() {
    let first = cut(&message_from("one", ""), 6, Ending::Reset);
    let upstream = Upstream::answering([first, whole(message_from("two", SAID))]).await;
    let gateway = Gateway::start(resuming(&[upstream.url()])).await;
    let response = gateway.post(MESSAGES, chat_stream("m")).await;
    assert_eq!(response.end, End::Clean);
    let values = values(&response);
    assert_eq!(said(&values), TEXT);
    let count = |kind: &str| values.iter().filter(|value| value["type"] == kind).count();
    for kind in [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ] {
        assert_eq!(count(kind), 1, "{kind}: {values:#?}");
    }
    let delta = values
        .iter()
        .find(|value| value["type"] == "message_delta")
        .expect("just counted");
    assert_eq!(delta["usage"]["output_tokens"], TEXT.split_inclusive(' ').count());
    assert_eq!(
        upstream.requests()[1].header("x-gateway-request-id"),
        Some(response.id().as_str())
    );
}

#[tokio::test]
async fn a_stalled_stream_is_gone_on_with() {
    let first = cut(&chat_from("one", ""), 5, Ending::Stall);
    let upstream = Upstream::answering([first, whole(chat_from("two", SAID))]).await;
    let yaml = resuming(&[upstream.url()]) + "policy: { timeouts: { idle: 200ms } }";
    let gateway = Gateway::start(yaml).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!((said(&values(&response)).as_str(), response.end), (TEXT, End::Clean));
}

#[tokio::test]
async fn who_refuses_or_has_no_prefill_is_passed_over() {
    let refusal = Answer::json(
        400,
        error("prefill is not supported for this model", "invalid_request_error", None),
    );
    let first = Upstream::answering([cut(&chat_from("one", ""), 5, Ending::Cut), refusal]).await;
    let without = Upstream::answering([]).await;
    let other = Upstream::answering([whole(chat_from("two", SAID))]).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\", prefill: true }}\n  b: {{ url: \"{}/v1\" }}\n  c: {{ url: \"{}/v1\", key: its-own }}\n\
         routes: {{ m: [a, b, {{ upstream: c, model: vendor/m, prefill: true }}] }}",
        first.url(),
        without.url(),
        other.url()
    );
    let gateway = Gateway::start(yaml).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!((said(&values(&response)).as_str(), &response.end), (TEXT, &End::Clean));
    assert_eq!((first.requests().len(), without.requests().len()), (2, 0));
    let request = other.only_request();
    assert_eq!(request.model(), "vendor/m");
    assert_eq!(request.header("authorization"), Some("Bearer its-own"));
    let line = gateway.access(&response.id()).await;
    let ledger = client::ledger(line["ledger"].as_str().expect("a ledger"));
    let tried: Vec<_> = ledger
        .iter()
        .map(|it| (it.target.as_str(), it.class.as_deref()))
        .collect();
    assert_eq!(
        tried,
        [
            ("a/m", Some("broken")),
            ("a/m", Some("bad_request")),
            ("c/vendor/m", None)
        ]
    );
}

/// The stream ends as it would have without `prefill`: with the original break.
async fn not_resumed(yaml: String, upstreams: &[&Upstream], requests: usize, path: &str, body: String) -> String {
    let gateway = Gateway::start(yaml).await;
    let response = gateway.post(path, body).await;
    assert_eq!(response.status(), 200);
    assert_ne!(response.end, End::Clean);
    let text = response.text();
    let last = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("data: "))
        .expect("an event");
    let message = serde_json::from_str::<Value>(last).expect("a whole event")["error"]["message"].clone();
    assert!(message.as_str().expect("a message").contains("broke off"), "{text}");
    assert!(last.contains(&response.id()));
    assert_eq!(
        upstreams
            .iter()
            .map(|upstream| upstream.requests().len())
            .sum::<usize>(),
        requests
    );
    let line = gateway.access(&response.id()).await;
    assert_eq!((&line["outcome"], line.get("resumed")), (&json!("broken"), None));
    text
}

#[tokio::test]
async fn a_refused_prefill_never_hides_the_break() {
    let refusal = || Answer::json(400, error("no prefill here", "invalid_request_error", None));
    let a = Upstream::answering([cut(&chat_from("one", ""), 5, Ending::Cut), refusal()]).await;
    let b = Upstream::answering([refusal()]).await;
    let yaml = resuming(&[a.url(), b.url()]);
    let text = not_resumed(yaml, &[&a, &b], 3, CHAT, chat_stream("m")).await;
    assert!(!text.contains("prefill"), "{text}");
}

#[tokio::test]
async fn what_can_not_be_resumed_ends_as_it_broke() {
    let tool = format!(
        "data: {}\n\n",
        json!({ "id": "x", "choices": [{ "index": 0, "delta": { "tool_calls": [{ "index": 0 }] } }] })
    );
    let broken = || cut(&chat_from("one", ""), 5, Ending::Cut);
    let two_choices = chat_stream("m").replace("\"stream\"", "\"n\":2,\"stream\"");
    let long = "server: { max_held: 10B }";
    for (answer, more, body) in [
        (Answer::sse([role(), tool]).then(Ending::Cut), "", chat_stream("m")),
        (broken(), "", two_choices),
        (broken(), long, chat_stream("m")),
        (broken(), "policy: { retry: { attempts: 1 } }", chat_stream("m")),
    ] {
        let upstream = Upstream::answering([answer]).await;
        not_resumed(resuming(&[upstream.url()]) + more, &[&upstream], 1, CHAT, body).await;
    }
    let upstream = Upstream::answering([broken()]).await;
    not_resumed(chain(&[upstream.url()]), &[&upstream], 1, CHAT, chat_stream("m")).await;
}

#[tokio::test]
async fn half_an_event_never_reaches_a_client_that_is_gone_on_with() {
    let events = chat_from("one", "");
    let half = &events[5][..events[5].len() / 2];
    let first = Answer::sse([events[..5].concat(), half.to_owned()]).then(Ending::Cut);
    let upstream = Upstream::answering([first.dribbled(), whole(chat_from("two", SAID)).dribbled()]).await;
    let gateway = Gateway::start(resuming(&[upstream.url()])).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!((said(&values(&response)).as_str(), response.end), (TEXT, End::Clean));
}

#[tokio::test]
async fn a_stream_may_break_again_within_the_budget() {
    let breaks = |id: &str, said: &str| cut(&chat_from(id, said), 3, Ending::Cut);
    let said_then = ["", "The quick", "The quick brown fox", "The quick brown fox jumps over"];
    let mut answers: Vec<_> = said_then[..3].iter().map(|said| breaks("x", said)).collect();
    answers.push(whole(chat_from("y", said_then[3])));
    let upstream = Upstream::answering(answers).await;
    // One place only: the attempt that broke off must have given it back.
    let gateway = Gateway::start(chain_with(&[upstream.url()], ", prefill: true, max_inflight: 1")).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    let values = values(&response);
    assert_eq!(said(&values).trim_end(), TEXT);
    let words = count(TEXT);
    assert_eq!(values.last().expect("events")["usage"]["completion_tokens"], words);
    assert_eq!(gateway.access(&response.id()).await["resumed"], 3);
    // The trials are over as well: the target serves on.
    assert_eq!(upstream.requests().len(), 4);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_attempt_to_go_on() {
    let upstream = Upstream::answering([cut(&chat_from("one", ""), 5, Ending::Cut), Answer::hang()]).await;
    let gateway = Gateway::start(resuming(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let id = client
        .head()
        .await
        .header("x-gateway-request-id")
        .expect("an id")
        .to_owned();
    upstream.request(1).await;
    client.leave();
    upstream.left().await;
    let line = gateway.access(&id).await;
    assert_eq!(
        (&line["outcome"], &line["attempts"]),
        (&json!("client_gone"), &json!(2))
    );
}
