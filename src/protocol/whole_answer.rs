//! An answer that did not stream, read whole: is it one?

use std::sync::LazyLock;

use http::HeaderMap;
use memchr::memmem::Finder;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::decode::{Decoder, is_encoded};
use super::event::{Meaning, is_something, of_chunk};
use super::{HELD_MAX_BYTES, StreamKind};
use crate::body::members;

static FINISH_REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"finish_reason\""));

/// What is wrong with a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerFault {
    /// It is not what its endpoint answers with: no JSON, or JSON that was cut.
    Malformed,
    /// It has no content, no tool call, no refusal, no reason for its end, and spent no tokens.
    Empty,
}

/// Finds what is wrong with the `body` of a success that did not stream. `None`: nothing, or nothing that can be told, as
/// where it is compressed in a way that can't be undone here.
pub fn fault(kind: StreamKind, headers: &HeaderMap, body: &[u8]) -> Option<AnswerFault> {
    if !is_encoded(headers) {
        return fault_of(kind, body);
    }
    let mut decoder = Decoder::of(headers)?;
    decoder.push(body);
    let decoded = decoder.take();
    let is_whole = !decoder.has_stopped() && (1..HELD_MAX_BYTES).contains(&decoded.len());
    is_whole.then(|| fault_of(kind, &decoded))?
}

fn fault_of(kind: StreamKind, body: &[u8]) -> Option<AnswerFault> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if is_plainly_an_answer(kind, body) {
        return None;
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(answer) => is_empty(kind, &answer).then_some(AnswerFault::Empty),
        // A number or a text that is none here may be one to the client.
        Err(_) => match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => None,
            Err(_) => Some(AnswerFault::Malformed),
        },
    }
}

/// Returns whether an answer says nothing, though it has the member that holds what its endpoint answers. One of another
/// shape is the client's to judge.
fn is_empty(kind: StreamKind, answer: &Value) -> bool {
    let Value::Object(members) = answer else { return false };
    let is_silent = |content: &str, end: &str| {
        let is = |name: &str| members.get(name).is_some_and(is_something);
        members.contains_key(content) && !is(content) && !is(end)
    };
    let says_nothing = match kind {
        StreamKind::Chat | StreamKind::Completions => {
            let is_chat = matches!(members.get("choices"), Some(Value::Array(_) | Value::Null));
            is_chat && of_chunk(members) == Meaning::Nothing
        }
        StreamKind::Messages => is_silent("content", "stop_reason"),
        // Any status: one that is queued has no output yet, and one that is completed has said that it is done.
        StreamKind::Responses => is_silent("output", "status"),
        StreamKind::Other => false,
    };
    let tokens = ["/usage/completion_tokens", "/usage/output_tokens"];
    let has_spent = tokens
        .iter()
        .any(|tokens| answer.pointer(tokens).is_some_and(is_something));
    says_nothing && !has_spent
}

/// Returns whether this is JSON that certainly says something: nearly all answers do, and one walk over them tells.
fn is_plainly_an_answer(kind: StreamKind, body: &[u8]) -> bool {
    let mut says_something = false;
    let walked = members(body, |name, value| {
        says_something |= match (kind, name) {
            (StreamKind::Chat | StreamKind::Completions, b"\"choices\"") => names_a_reason(value),
            (StreamKind::Messages, b"\"content\"") | (StreamKind::Responses, b"\"output\"") => {
                matches!(value, [b'[', rest @ ..] if !rest.trim_ascii_start().starts_with(b"]"))
            }
            _ => false,
        };
        Some(())
    });
    walked.is_some() && says_something
}

/// Returns whether one of these choices says why it has ended. Within JSON text quotes are escaped, so a name between bare quotes is a
/// key or a whole value.
fn names_a_reason(choices: &[u8]) -> bool {
    FINISH_REASON.find_iter(choices).any(|at| {
        let after = choices[at + FINISH_REASON.needle().len()..].trim_ascii_start();
        let value = after.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        matches!(value, Some([b'"', first, ..]) if *first != b'"')
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(kind: StreamKind, body: &str) -> Option<AnswerFault> {
        fault(kind, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn what_is_no_json_is_malformed_whatever_the_endpoint() {
        for kind in [
            StreamKind::Chat,
            StreamKind::Messages,
            StreamKind::Responses,
            StreamKind::Other,
        ] {
            for body in ["{\"choices\":[{\"message\":", "{} trailing", "{'a':1}", ""] {
                assert_eq!(of(kind, body), Some(AnswerFault::Malformed), "{kind:?} {body}");
            }
        }
    }

    #[test]
    fn what_says_nothing_is_empty() {
        for (kind, body) in [
            (StreamKind::Chat, r#"{"choices":[]}"#),
            (StreamKind::Chat, r#"{"choices": [ ],"usage":{"completion_tokens":0}}"#),
            (StreamKind::Chat, r#"{"choices":null}"#),
            (
                StreamKind::Chat,
                r#"{"choices":[{"message":{"id":"1","role":"assistant","content":null}}]}"#,
            ),
            (
                StreamKind::Chat,
                r#"{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            ),
            (
                StreamKind::Messages,
                r#"{"type":"message","content":[],"stop_reason":null}"#,
            ),
            (StreamKind::Responses, r#"{"output":[]}"#),
        ] {
            assert_eq!(of(kind, body), Some(AnswerFault::Empty), "{kind:?} {body}");
        }
    }

    #[test]
    fn what_is_done_or_spent_tokens_is_an_answer() {
        for (kind, body) in [
            (StreamKind::Chat, r#"{"choices":[{"message":{"content":"hi"}}]}"#),
            (
                StreamKind::Chat,
                r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1"}]}}]}"#,
            ),
            (
                StreamKind::Chat,
                r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#,
            ),
            (
                StreamKind::Chat,
                r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#,
            ),
            (StreamKind::Chat, r#"{"choices":[],"usage":{"completion_tokens":7}}"#),
            (StreamKind::Completions, r#"{"choices":[{"text":"a"}]}"#),
            (StreamKind::Messages, r#"{"content":[],"stop_reason":"end_turn"}"#),
            (StreamKind::Messages, r#"{"content":[],"usage":{"output_tokens":3}}"#),
            (StreamKind::Responses, r#"{"output":[],"status":"queued"}"#),
            // Of other shapes.
            (StreamKind::Chat, r#"{"id":"x"}"#),
            (StreamKind::Chat, r#"[1]"#),
            (StreamKind::Chat, r#"{"choices":[],"huge":1e999}"#),
            (StreamKind::Chat, r#"{"choices":[{"message":{"content":"\ud800"}}]}"#),
            (StreamKind::Chat, "{\"choices\":{\"odd\":1}}"),
            (StreamKind::Other, r#"{"data":[]}"#),
            (StreamKind::Chat, "\u{feff}{\"choices\":[{\"text\":\"a\"}]}"),
        ] {
            assert_eq!(of(kind, body), None, "{kind:?} {body}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_passes() {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        assert_eq!(fault(StreamKind::Chat, &headers, b"not gzip"), None);
        headers.insert("content-encoding", HeaderValue::from_static("compress"));
        assert_eq!(fault(StreamKind::Chat, &headers, b"whatever"), None);
    }
}
