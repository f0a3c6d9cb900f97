use serde_json::{Value, json};

use super::*;
use crate::protocol::sse::Events;

const WORDS: [&str; 9] = ["Two", " words", ",\n\n", "then", " ", " more", " — é", ".", "\n"];

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn chunk(id: &str, delta: &Value, reason: Option<&str>) -> String {
    data(
        &json!({ "id": id, "created": 7, "model": format!("model of {id}"), "object": "chat.completion.chunk",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": reason, "logprobs": { "content": null } }] }),
    )
}

/// What an upstream says that is asked for `words`, `said` of them being said already.
fn chat(id: &str, words: &[&str], said: usize) -> Vec<String> {
    let mut events = vec![chunk(id, &json!({ "role": "assistant", "content": "" }), None)];
    events.extend(words.iter().map(|word| chunk(id, &json!({ "content": word }), None)));
    events.push(chunk(id, &json!({}), Some("stop")));
    events.push(data(&json!({ "id": id, "created": 7, "model": "m", "choices": [],
        "usage": { "prompt_tokens": 10 + said, "completion_tokens": words.len(), "total_tokens": 10 + said + words.len() } })));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn message(id: &str, words: &[&str], said: usize) -> Vec<String> {
    let event = |value: Value| format!("event: {}\n{}", value["type"].as_str().unwrap(), data(&value));
    let mut events = vec![
        event(
            json!({ "type": "message_start", "message": { "id": id, "role": "assistant", "content": [],
            "usage": { "input_tokens": 10 + said, "output_tokens": 1 } } }),
        ),
        event(json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } })),
        event(json!({ "type": "ping" })),
    ];
    events.extend(words.iter().map(|word| {
        event(json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": word } }))
    }));
    events.extend([
        event(json!({ "type": "content_block_stop", "index": 0 })),
        event(json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" },
            "usage": { "output_tokens": words.len(), "input_tokens": 10 + said } })),
        event(json!({ "type": "message_stop" })),
    ]);
    events
}

fn values(stream: &[u8]) -> Vec<Value> {
    let mut seen = Vec::new();
    let _ = Events::default().feed(stream, |event| {
        if let Ok(value) = serde_json::from_slice(event.data) {
            seen.push(value);
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    seen
}

fn text_of(stream: &[u8]) -> String {
    let pieces = values(stream);
    let text = pieces.iter().filter_map(|value| {
        let chat = value.pointer("/choices/0/delta/content");
        chat.or_else(|| value.pointer("/delta/text"))?.as_str()
    });
    text.collect()
}

fn feed(transcript: &mut Transcript, events: &[String]) -> Vec<u8> {
    let fed = events.iter().map(|event| transcript.feed(Bytes::from(event.clone())));
    fed.flatten().collect()
}

/// The words that are left to say after `text`, which an upstream was given without its last white space.
fn words_after(text: &str) -> Vec<&'static str> {
    let whole: &'static str = WORDS.concat().leak();
    let rest = &whole[text.len()..];
    rest.split_inclusive(' ').collect()
}

type Script = fn(&str, &[&str], usize) -> Vec<String>;

#[test]
fn wherever_it_breaks_the_client_gets_the_whole_text() {
    for (kind, script) in [(StreamKind::Chat, chat as Script), (StreamKind::Messages, message)] {
        let first = script("one", &WORDS, 0);
        for cut in 0..first.len() {
            let mut transcript = Transcript::new(kind, 1 << 20).unwrap();
            let mut client = feed(&mut transcript, &first[..cut]);
            // Half an event that the client never sees.
            let half = &first[cut][..first[cut].len() / 2];
            client.extend(transcript.feed(Bytes::copy_from_slice(half.as_bytes())));
            let passed = if transcript.can_resume() { "" } else { half };
            assert!(
                client == (first[..cut].concat() + passed).into_bytes(),
                "before event {cut}"
            );
            if !transcript.can_resume() {
                assert!(
                    text_of(&client) == WORDS.concat(),
                    "only a whole text is not resumed: {cut}"
                );
                continue;
            }
            let words = words_after(transcript.text());
            let said = WORDS.len() - words.len().min(WORDS.len());
            transcript.go_on();
            client.extend(feed(&mut transcript, &script("two", &words, said)));
            assert_eq!(text_of(&client), WORDS.concat(), "{kind:?} cut before event {cut}");
            let shown = String::from_utf8(client.clone()).unwrap();
            assert!(!shown.contains("two") || cut == 0, "one identity: {shown}");
            assert_eq!(shown.matches("\"role\"").count(), 1, "one role: {shown}");
        }
    }
}

#[test]
fn usage_is_that_of_the_whole() {
    let mut transcript = Transcript::new(StreamKind::Chat, 1 << 20).unwrap();
    let mut client = feed(&mut transcript, &chat("one", &["a", "b", "c"], 0)[..4]);
    transcript.go_on();
    client.extend(feed(&mut transcript, &chat("two", &["d", "e"], 3)));
    let usage = values(&client).iter().find_map(|value| value.get("usage").cloned());
    let whole = json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 });
    assert_eq!(usage, Some(whole));

    let mut transcript = Transcript::new(StreamKind::Messages, 1 << 20).unwrap();
    let mut client = feed(&mut transcript, &message("one", &["a b", "c d", "e f"], 0)[..5]);
    transcript.go_on();
    client.extend(feed(&mut transcript, &message("two", &["e", "f"], 4)));
    let last = values(&client)
        .into_iter()
        .find(|value| value["type"] == "message_delta")
        .unwrap();
    assert_eq!(
        last["usage"],
        json!({ "input_tokens": 10, "output_tokens": 6 }),
        "as told by the second one's input"
    );
}

#[test]
fn a_stream_may_break_more_than_once() {
    for (kind, script, preamble) in [
        (StreamKind::Chat, chat as Script, 1),
        (StreamKind::Messages, message, 3),
    ] {
        let mut transcript = Transcript::new(kind, 1 << 20).unwrap();
        let mut client = Vec::new();
        for id in ["one", "two", "three", "four"] {
            let words = words_after(transcript.text());
            let events = script(id, &words, 0);
            let upto = if id == "four" { events.len() } else { preamble + 2 };
            client.extend(feed(&mut transcript, &events[..upto]));
            if id != "four" {
                assert!(transcript.can_resume(), "after {id}");
                transcript.go_on();
            }
        }
        assert_eq!(text_of(&client), WORDS.concat());
    }
}

#[test]
fn blocks_are_numbered_through() {
    let event = |value: Value| format!("event: {}\n{}", value["type"].as_str().unwrap(), data(&value));
    let tool = json!({ "type": "tool_use", "id": "t", "name": "f", "input": {} });
    let start = |index: u64, block: &Value| {
        event(json!({ "type": "content_block_start", "index": index, "content_block": block }))
    };
    let mut transcript = Transcript::new(StreamKind::Messages, 1 << 20).unwrap();
    let mut client = feed(&mut transcript, &message("one", &["a"], 0)[..4]);
    transcript.go_on();
    let mut second = message("two", &["b"], 1);
    second.truncate(5);
    second.push(start(1, &tool));
    second.push(event(json!({ "type": "content_block_stop", "index": 1 })));
    client.extend(feed(&mut transcript, &second));
    assert!(!transcript.can_resume(), "a tool call is never resumed");
    let seen: Vec<_> = values(&client)
        .iter()
        .filter_map(|value| {
            Some((
                value["type"].as_str()?.trim_start_matches("content_block_").to_owned(),
                value.get("index")?.as_u64()?,
            ))
        })
        .collect();
    let expected = [
        ("start", 0),
        ("delta", 0),
        ("delta", 0),
        ("stop", 0),
        ("start", 1),
        ("stop", 1),
    ];
    assert_eq!(seen, expected.map(|(kind, index)| (kind.to_owned(), index)));

    // A continuation that has no more to say in words.
    let mut transcript = Transcript::new(StreamKind::Messages, 1 << 20).unwrap();
    let mut client = feed(&mut transcript, &message("one", &["a"], 0)[..4]);
    transcript.go_on();
    client.extend(feed(
        &mut transcript,
        &[message("two", &[], 1)[0].clone(), start(0, &tool)],
    ));
    let seen: Vec<_> = values(&client)[4..]
        .iter()
        .map(|value| (value["type"].clone(), value["index"].clone()))
        .collect();
    assert_eq!(
        seen,
        [
            (json!("content_block_stop"), json!(0)),
            (json!("content_block_start"), json!(1))
        ]
    );
}

#[test]
fn what_is_not_one_text_passes_and_is_not_resumed() {
    for (kind, event) in [
        (
            StreamKind::Chat,
            chunk("x", &json!({ "tool_calls": [{ "index": 0 }] }), None),
        ),
        (
            StreamKind::Chat,
            chunk("x", &json!({ "reasoning_content": "hm" }), None),
        ),
        (StreamKind::Chat, chunk("x", &json!({}), Some("length"))),
        (
            StreamKind::Chat,
            data(&json!({ "choices": [{ "index": 1, "delta": { "content": "b" } }] })),
        ),
        (
            StreamKind::Chat,
            data(&json!({ "choices": [{ "index": 0, "delta": { "content": "b" }, "logprobs": { "content": [1] } }] })),
        ),
        (StreamKind::Chat, "data: not json\n\n".to_owned()),
        (
            StreamKind::Messages,
            data(
                &json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "" } }),
            ),
        ),
        (
            StreamKind::Messages,
            data(
                &json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "input_json_delta", "partial_json": "" } }),
            ),
        ),
    ] {
        let mut transcript = Transcript::new(kind, 1 << 20).unwrap();
        assert_eq!(feed(&mut transcript, std::slice::from_ref(&event)), event.into_bytes());
        assert!(!transcript.can_resume());
        assert_eq!(
            transcript.feed(Bytes::from_static(b"data: ha")),
            "data: ha",
            "nothing is held back any more"
        );
    }
    for kind in [StreamKind::Completions, StreamKind::Responses, StreamKind::Other] {
        assert!(Transcript::new(kind, 1 << 20).is_none());
    }
}

#[test]
fn an_error_is_withheld_with_all_that_follows_until_it_is_known_who_goes_on() {
    let overloaded = json!({ "type": "error", "error": { "type": "overloaded_error" } });
    for (kind, error) in [
        (StreamKind::Chat, data(&json!({ "error": { "message": "no" } }))),
        (
            StreamKind::Chat,
            chunk("x", &json!({ "content": "half" }), Some("error")),
        ),
        (StreamKind::Messages, data(&overloaded)),
        (StreamKind::Messages, "event: error\ndata: words\n\n".to_owned()),
    ] {
        let mut transcript = Transcript::new(kind, 1 << 20).unwrap();
        let events = [": note\n\n".to_owned(), error.clone(), "data: [DONE]\n\n".to_owned()];
        assert_eq!(feed(&mut transcript, &events), b": note\n\n");
        assert!(transcript.withheld_error().is_some());
        assert_eq!(transcript.feed(Bytes::from_static(b"data: ha")), "");
        assert_eq!(transcript.release(), error + "data: [DONE]\n\ndata: ha");
        assert!(!transcript.can_resume() && transcript.withheld_error().is_none());
        assert_eq!(transcript.feed(Bytes::from_static(b"data: ha")), "data: ha");
    }
}

#[test]
fn no_more_is_remembered_than_the_bound() {
    let mut transcript = Transcript::new(StreamKind::Chat, 100).unwrap();
    let events = chat("one", &["0123456789"; 11], 0);
    assert_eq!(feed(&mut transcript, &events[..10]), events[..10].concat().into_bytes());
    assert!(transcript.can_resume());
    feed(&mut transcript, &events[10..12]);
    assert!(!transcript.can_resume() && transcript.text().is_empty());

    let mut transcript = Transcript::new(StreamKind::Chat, 1 << 20).unwrap();
    let endless = format!("data: {}", "x".repeat(crate::protocol::HELD_MAX_BYTES));
    assert_eq!(
        transcript.feed(Bytes::from(endless.clone())),
        endless,
        "an event without end is let go"
    );
    assert!(!transcript.can_resume());
}
