use super::*;
use crate::protocol::errors::{GatewayError, stream_error_event};
use crate::protocol::sse::Events;
use proptest::prelude::*;
use std::ops::ControlFlow;

fn complete(kind: StreamKind, pieces: &[&[u8]]) -> bool {
    let mut end = StreamEnd::new(kind);
    for piece in pieces {
        end.feed(piece);
    }
    end.is_complete()
}

fn chat(rest: &str) -> String {
    let chunk = r#"data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#;
    format!("{chunk}\n\n: keep-alive\n\n{chunk}\n\n{rest}")
}

const FINISH: &str = r#"data: {"choices":[{"delta":{},"finish_reason" : "stop"}]}"#;

fn cases() -> Vec<(StreamKind, String, bool)> {
    use StreamKind::{Chat, Completions, Messages, Other, Responses};
    let said = r#"data: {"choices":[{"delta":{"content":"\"finish_reason\":\"stop\"\n\ndata: [DONE]"}}]}"#;
    let huge = "x".repeat(200_000);
    vec![
        (Chat, chat(""), false),
        (Chat, chat(&format!("{said}\n\n")), false),
        (Chat, chat(&format!("{FINISH}\n\n")), true),
        (Chat, chat(&format!("{FINISH}\r\n\r\n")), true),
        (Chat, chat(&format!("{FINISH}\r\r")), true),
        (Chat, chat(FINISH), false),
        (Chat, chat(&format!("{FINISH}\n")), false),
        (
            Chat,
            chat(&format!(
                "{FINISH}\n\ndata: {{\"choices\":[],\"usage\":{{\"n\":1}}}}\n\n: bye\n\n"
            )),
            true,
        ),
        (Chat, chat(&FINISH.replace("\"stop\"", "\"\"")), false),
        (Chat, chat("data: [DONE]"), true),
        (Chat, chat("data:[DONE]\n\n"), true),
        (Chat, chat("data: {\"content\":\"data: [DONE]\"}\n\n"), false),
        (Chat, chat("data: {\"error\": {\"message\":\"x\"}}\n\n"), true),
        (Chat, chat("data: {\"error\": null}\n\n"), false),
        (Chat, chat("event: error\ndata: x\n\n"), true),
        (
            Chat,
            chat("data: {\"choices\":[{\"delta\":{\"results\":[{\"error\":{\"a\":1}}]}}]}\n\n"),
            false,
        ),
        (Completions, chat(&format!("{FINISH}\n\n")), true),
        (
            Responses,
            "data: {\"type\":\"response.output_text.delta\",\"delta\":\"response.completed\"}\n\n".into(),
            false,
        ),
        (
            Responses,
            format!("event: response.completed\ndata: {{\"type\":\"response.completed\",\"x\":\"{huge}\"}}\n\n"),
            true,
        ),
        (
            Responses,
            format!("event: response.completed\ndata: {{\"type\":\"response.completed\",\"x\":\"{huge}\"}}"),
            false,
        ),
        (Responses, "data: {\"type\": \"response.incomplete\"}\n\n".into(), true),
        (Responses, "data: {\"type\":\"response.failed\"}\n\n".into(), true),
        (Responses, "data: {\"type\":\"error\",\"code\":\"x\"}\n\n".into(), true),
        (
            Messages,
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n".into(),
            false,
        ),
        (
            Messages,
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"stop_reason\":\"end_turn\"}\n\n".into(),
            false,
        ),
        (
            Messages,
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".into(),
            true,
        ),
        (
            Messages,
            "event: message_stop\ndata: {\"type\": \"message_stop\"  }".into(),
            true,
        ),
        (
            Messages,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n".into(),
            true,
        ),
        (Other, "anything".into(), true),
    ]
}

#[test]
fn a_stream_is_complete_at_its_protocols_end() {
    for (kind, text, expected) in cases() {
        assert_eq!(
            complete(kind, &[text.as_bytes()]),
            expected,
            "{kind:?} {}",
            &text[..text.len().min(300)]
        );
        for size in [1, 2, 3, 7, 95, 96, 97, 191, 1000] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(
                complete(kind, &pieces),
                expected,
                "{kind:?}, {size} {}",
                &text[..text.len().min(300)]
            );
        }
    }
}

#[test]
fn every_split_in_two_gives_the_same_answer() {
    for (kind, text, expected) in cases().into_iter().filter(|(_, text, _)| text.len() < 1000) {
        for at in 0..=text.len() {
            let (head, rest) = text.as_bytes().split_at(at);
            assert_eq!(
                complete(kind, &[head, rest]),
                expected,
                "{kind:?} split at {at}: {text}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_pieces_give_the_same_answer(which in 0..cases().len(), cuts in prop::collection::vec(1usize..200, 0..40)) {
        let (kind, text, expected) = cases().swap_remove(which);
        let mut rest = text.as_bytes();
        let mut end = StreamEnd::new(kind);
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            end.feed(head);
            rest = tail;
        }
        end.feed(rest);
        prop_assert_eq!(end.is_complete(), expected);
    }
}

/// What a parser makes of a cut stream with the gateway's error event behind it.
fn events_after_cut(protocol: Protocol, text: &[u8]) -> Vec<(String, String)> {
    let mut end = StreamEnd::new(StreamKind::Chat);
    end.feed(text);
    let error = GatewayError::new(502, "stream_broken", "cut");
    let last = stream_error_event(protocol, end.cut(), &error, "id-7");
    let mut events = Vec::new();
    let mut parser = Events::default();
    for piece in [text, &last[..]] {
        let _ = parser.feed(piece, |event| -> ControlFlow<()> {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            events.push((text(event.name), text(event.data)));
            ControlFlow::Continue(())
        });
    }
    events
}

#[test]
fn the_error_event_stands_alone_wherever_the_stream_was_cut() {
    let long = "é".repeat(300);
    let text =
        format!("event: a\ndata: {{\"x\":\"{long}\"}}\n\n: note\n\ndata: {{\"y\":1}}\r\n\r\nevent: b\ndata: 2\n\n");
    let bytes = text.as_bytes();
    for at in 0..=bytes.len() {
        let events = events_after_cut(Protocol::Anthropic, &bytes[..at]);
        let (name, data) = events.last().expect("the error event");
        assert_eq!(name, "error", "cut at {at}");
        let value: serde_json::Value = serde_json::from_str(data).unwrap_or_else(|_| panic!("cut at {at}: {data}"));
        assert_eq!(value["request_id"], "id-7");

        let events = events_after_cut(Protocol::OpenAi, &bytes[..at]);
        let (_, data) = events.last().expect("the error event");
        let value: serde_json::Value = serde_json::from_str(data).unwrap_or_else(|_| panic!("cut at {at}: {data}"));
        assert_eq!(value["error"]["request_id"], "id-7");
    }
}

#[test]
fn half_an_event_is_named_ping_for_anthropics_parsers() {
    let events = events_after_cut(
        Protocol::Anthropic,
        b"event: content_block_delta\ndata: {\"type\":\"con",
    );
    assert_eq!(events[0].0, "ping");
    assert_eq!(events.len(), 2);
}
