use super::*;
use crate::protocol::Protocol;
use crate::protocol::errors::{GatewayError, stream_error_event};
use crate::protocol::sse::Events;
use proptest::prelude::*;
use std::ops::ControlFlow;

mod pieces;

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

/// A chunk for each: its choice, what is said, and why it ends.
fn of_two<I: std::fmt::Display>(chunks: &[(I, &str, &str)]) -> String {
    let chunk = |(index, text, reason): &(I, &str, &str)| {
        let reason = match *reason {
            "" => "null".to_owned(),
            reason => format!("\"{reason}\""),
        };
        format!(
            "data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    chunks.iter().map(chunk).collect()
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
        // Of several choices, each that has begun must have ended.
        (Chat, of_two(&[(0, "a", ""), (1, "b", ""), (0, "", "stop")]), false),
        (
            Chat,
            of_two(&[(0, "a", ""), (1, "b", ""), (0, "", "stop"), (1, "b", "")]),
            false,
        ),
        (
            Chat,
            of_two(&[(0, "a", ""), (1, "b", ""), (0, "", "stop"), (1, "", "length")]),
            true,
        ),
        (Chat, of_two(&[(0, "a", ""), (0, "", "stop"), (1, "b", "")]), false),
        (
            Chat,
            of_two(&[(0, "a", ""), (0, "", "stop"), (1, "b", ""), (1, "", "stop")]),
            true,
        ),
        (Chat, of_two(&[(1, "b", ""), (1, "", "stop"), (0, "a", "")]), false),
        (
            Chat,
            of_two(&[(0, "a", ""), (1, "b", "stop")]) + "data: [DONE]\n\n",
            true,
        ),
        (
            Chat,
            of_two(&[(0, "a", ""), (0, "", "stop")]) + r#"data: {"choices":[{"index":1,"del"#,
            false,
        ),
        (
            Chat,
            of_two(&[(0, "a", ""), (0, "", "stop")]) + r#"data: {"choices":[{"delta":{"con"#,
            false,
        ),
        (
            Chat,
            of_two(&[(0, "a", ""), (0, "", "stop")]) + r#"data: {"choices":[{"index":0,"del"#,
            true,
        ),
        (
            Chat,
            of_two(&[(0, "a", ""), (0, "", "stop")]) + r#"data: {"choices":[],"usa"#,
            true,
        ),
        (
            Completions,
            "data: {\"choices\":[{\"text\":\"a\",\"index\":0},{\"text\":\"b\",\"index\":1}]}\n\n\
             data: {\"choices\":[{\"text\":\"\",\"index\":1,\"finish_reason\":\"stop\"}]}\n\n"
                .into(),
            false,
        ),
        // A tool call's index is no choice's, nor is what the model says.
        (
            Chat,
            r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":3,"function":{"name":"index"}}]}}]}"#
                .to_owned()
                + "\n\n"
                + &of_two(&[(0, "{\\\"index\\\": 9}", ""), (0, "", "stop")]),
            true,
        ),
        // More choices than are told apart are complete with the stream's own end only.
        (Chat, of_two(&[(500, "a", ""), (500, "", "stop")]), false),
        (Chat, of_two(&[(u128::MAX, "a", ""), (0, "", "stop")]), false),
        (
            Chat,
            of_two(&[(500, "a", ""), (500, "", "stop")]) + "data: [DONE]\n\n",
            true,
        ),
        // Long events, with what matters at either end.
        (
            Chat,
            of_two(&[(1, &huge, ""), (0, "a", ""), (0, "", "stop"), (1, &huge, "stop")]),
            true,
        ),
        (Chat, of_two(&[(1, &huge, ""), (0, "a", ""), (0, &huge, "stop")]), false),
        // Data in several lines, and a mark before all.
        (
            Chat,
            "\u{feff}data: {\"choices\":[{\"index\":0,\ndata: \"finish_reason\":\ndata:\"stop\"}]}\n\n".into(),
            true,
        ),
        (Chat, chat("data: {\"error\": {}}\n\n"), false),
        (
            Chat,
            chat("data: {\"id\":\"x\",\"choices\":[],\"error\": {\"message\":\"x\"}}\n\n"),
            true,
        ),
        (
            Chat,
            chat("data: {\"choices\":[{\"delta\":{\"content\":\"error\"}}]}\n\n"),
            false,
        ),
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
    let last = stream_error_event(protocol, StreamKind::Chat, end.cut(), &error, "id-7");
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

/// One event, and what a parser of JSON makes of it: the choices that it is about, those that it ends, and whether it
/// ends all.
fn any_event() -> impl Strategy<Value = (String, Vec<u64>, Vec<u64>, bool)> {
    let text = prop_oneof![
        "[a-z\"\\\\{}\\[\\]:,\n ]{0,12}",
        Just("\"finish_reason\":\"stop\"".to_owned()),
        Just("\"error\":{\"a\":1}".to_owned()),
        Just("data: [DONE]\n\n".to_owned()),
    ];
    let reason = prop_oneof![Just(None), Just(Some("stop")), Just(Some(""))];
    let choice = (0u64..4, text, reason, any::<bool>());
    let chunk = (prop::collection::vec(choice, 0..3), any::<bool>(), 0..8u8).prop_map(|(choices, is_pretty, extra)| {
        let ended = choices.iter().filter(|choice| choice.2 == Some("stop"));
        let ended = ended.map(|choice| choice.0).collect();
        let begun = choices.iter().map(|choice| choice.0).collect();
        let values = choices.iter().map(|(index, text, reason, reason_first)| {
            let delta = serde_json::json!({ "content": text, "index": 7, "tool_calls": [{ "index": 9, "error": 1 }] });
            let last = format!("\"index\":{index},\"delta\":{delta}");
            let reason = serde_json::json!(reason);
            match reason_first {
                true => format!("{{\"finish_reason\":{reason},{last}}}"),
                false => format!("{{{last},\"finish_reason\": {reason}}}"),
            }
        });
        let list = values.collect::<Vec<_>>().join(",");
        let before = [
            "",
            "\"error\":null,",
            "\"error\":{},",
            "\"usage\":{\"choices\":[{\"index\":5}]},",
        ];
        let (before, is_error) = match before.get(usize::from(extra)) {
            Some(before) => (*before, false),
            None if extra == 7 => ("\"error\":\"no\",", true),
            None => ("", false),
        };
        let data = format!("{{{before}\"choices\":[{list}]}}");
        let data = if is_pretty {
            data.replace(',', " ,\ndata: ")
        } else {
            data
        };
        (data, begun, ended, is_error)
    });
    // A comma within a text would be broken by the pretty form.
    chunk.prop_map(|(data, begun, ended, over)| (format!("data: {data}\n\n"), begun, ended, over))
}

proptest! {
    #[test]
    fn any_events_are_read_as_a_parser_reads_them(
        events in prop::collection::vec(any_event(), 0..8),
        cuts in prop::collection::vec(1usize..60, 0..60),
    ) {
        let (mut begun, mut ended, mut over) = (Vec::new(), Vec::new(), false);
        let mut text = String::new();
        for (event, its_begun, its_ended, ends) in events {
            text.push_str(&event);
            begun.extend(its_begun);
            ended.extend(its_ended);
            over |= ends;
        }
        let expected = over || !ended.is_empty() && begun.iter().all(|index| ended.contains(index));
        let mut end = StreamEnd::new(StreamKind::Chat);
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            end.feed(head);
            rest = tail;
        }
        end.feed(rest);
        prop_assert_eq!(end.is_complete(), expected, "{}", text);
    }
}
