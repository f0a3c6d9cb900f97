//! An answer that did not stream, read whole: is it one?

use std::sync::LazyLock;

use http::HeaderMap;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::decode::{Decoder, is_encoded};
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
    let is_empty = match kind {
        StreamKind::Chat | StreamKind::Completions => read::<Choices<'_>>(body).map(|answer| answer.is_empty()),
        StreamKind::Messages => read::<Message<'_>>(body).map(|answer| answer.is_empty()),
        StreamKind::Responses => read::<Response<'_>>(body).map(|answer| answer.is_empty()),
        StreamKind::Other => None,
    };
    match is_empty {
        Some(true) => Some(AnswerFault::Empty),
        Some(false) => None,
        // Of another shape, which is the client's to judge, or no JSON.
        None => match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => None,
            Err(_) => Some(AnswerFault::Malformed),
        },
    }
}

/// Whether this is JSON, and certainly says something: nearly all answers do, and one walk over them tells.
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

/// Whether one of these choices says why it has ended. Within JSON text quotes are escaped, so a name between bare quotes is a
/// key or a whole value.
fn names_a_reason(choices: &[u8]) -> bool {
    FINISH_REASON.find_iter(choices).any(|at| {
        let after = choices[at + FINISH_REASON.needle().len()..].trim_ascii_start();
        let value = after.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        matches!(value, Some([b'"', first, ..]) if *first != b'"')
    })
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// A member of any kind, as it stands.
type Member<'a> = Option<&'a RawValue>;

/// `chat.completion` and `text_completion`.
#[derive(Deserialize)]
struct Choices<'a> {
    #[serde(borrow)]
    choices: Member<'a>,
    usage: Option<Usage<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    finish_reason: Member<'a>,
    text: Member<'a>,
    message: Member<'a>,
}

/// <https://docs.anthropic.com/en/api/messages>
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Member<'a>,
    stop_reason: Member<'a>,
    usage: Option<Usage<'a>>,
}

/// <https://platform.openai.com/docs/api-reference/responses/object>
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    output: Member<'a>,
    /// Any: one that is queued has no output yet, and one that is completed has said that it is done.
    status: Member<'a>,
    usage: Option<Usage<'a>>,
}

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    completion_tokens: Member<'a>,
    output_tokens: Member<'a>,
}

impl Choices<'_> {
    fn is_empty(&self) -> bool {
        let Some(choices) = self.choices else {
            // Not a chat's answer at all: what it is, its client may know.
            return false;
        };
        let has_content = match serde_json::from_str::<Vec<Choice<'_>>>(choices.get()) {
            Ok(choices) => choices.iter().any(Choice::has_content),
            Err(_) => is_something(self.choices),
        };
        !has_content && !spent_tokens(self.usage.as_ref())
    }
}

impl Choice<'_> {
    fn has_content(&self) -> bool {
        is_something(self.finish_reason) || is_something(self.text) || self.message.is_some_and(says_something)
    }
}

/// Whether a message holds anything but its role: content, tool calls, a refusal, reasoning, audio.
fn says_something(message: &RawValue) -> bool {
    match serde_json::from_str::<std::collections::HashMap<String, &RawValue>>(message.get()) {
        Ok(members) => members
            .iter()
            .any(|(name, value)| name != "role" && is_something(Some(value))),
        Err(_) => is_something(Some(message)),
    }
}

impl Message<'_> {
    fn is_empty(&self) -> bool {
        self.content.is_some()
            && !is_something(self.content)
            && !is_something(self.stop_reason)
            && !spent_tokens(self.usage.as_ref())
    }
}

impl Response<'_> {
    fn is_empty(&self) -> bool {
        self.output.is_some()
            && !is_something(self.output)
            && !is_something(self.status)
            && !spent_tokens(self.usage.as_ref())
    }
}

fn spent_tokens(usage: Option<&Usage<'_>>) -> bool {
    usage.is_some_and(|usage| is_something(usage.completion_tokens) || is_something(usage.output_tokens))
}

/// Whether a member is there and neither `null`, `false`, zero nor empty.
fn is_something(member: Member<'_>) -> bool {
    member.is_some_and(|value| {
        let text: String = value.get().split_ascii_whitespace().collect();
        !matches!(text.as_str(), "null" | "false" | "0" | "\"\"" | "[]" | "{}")
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
