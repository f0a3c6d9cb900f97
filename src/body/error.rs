//! Why a body has no facts, in words for the client. No text holds any part of the body.

use serde_json::error::Category;
use thiserror::Error;

use super::MODEL_BYTES_MAX;

/// A body that can't be routed. `Display` is meant for the client; offsets count bytes from the body's start and,
/// where JSON is malformed, lie at the fault or right behind it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScanError {
    #[error("the request body is empty: send a JSON object with a `model`")]
    Empty,
    #[error("the request body is JSON but not an object: send a JSON object with a `model`")]
    NotAnObject,
    /// The body ends inside a JSON value.
    #[error("the request body is cut short: its JSON is still incomplete at its end (byte {offset})")]
    Truncated { offset: usize },
    /// `reason` is one of `serde_json`'s fixed texts.
    #[error("the request body is not valid JSON: {reason} (byte {offset})")]
    Syntax { reason: String, offset: usize },
    /// A byte below 0x20, NUL among them, unescaped inside a string (RFC 8259 §7).
    #[error(
        "the request body is not valid JSON: a string holds a raw control character (byte {offset}); \
         escape it, as in \\n or \\u0000"
    )]
    ControlCharacter { offset: usize },
    /// A top-level key or the value of `stream` or of a binding; elsewhere only the upstream judges (see [`super::scan`]).
    #[error("the request body is not valid UTF-8 (byte {offset})")]
    NotUtf8 { offset: usize },
    #[error("`model` is not a string (byte {offset})")]
    ModelNotString { offset: usize },
    /// The members that the gateway reads are compared without case, as many upstreams do.
    #[error(
        "a member at byte {offset} is one that some readers take for `{member}`; spell it `{member}`, and give it once"
    )]
    MemberAlike { member: &'static str, offset: usize },
    #[error("`{member}` is given twice, the second time at byte {offset}; send it once")]
    MemberTwice { member: &'static str, offset: usize },
    #[error("the request body begins with a byte order mark; JSON is sent without one (RFC 8259, section 8.1)")]
    ByteOrderMark,
    #[error("`model` is given twice: at byte {first} and at byte {second}; send it once")]
    ModelTwice { first: usize, second: usize },
    /// Bytes that are not UTF-8, or an escaped surrogate without its other half.
    #[error("`model` is not valid Unicode (byte {offset})")]
    ModelNotUnicode { offset: usize },
    /// Escaped (`\u0000`, `\n`): valid JSON, but no model's name, and it would end up in headers and logs.
    #[error("`model` holds a control character (byte {offset})")]
    ModelControlCharacter { offset: usize },
    #[error("`model` is {length} bytes long; at most {max} are taken", max = MODEL_BYTES_MAX)]
    ModelTooLong { length: usize },
}

impl ScanError {
    /// What `serde_json` found wrong with `body`, `in_model` if it happened inside the top-level `model` value.
    #[cold]
    pub(super) fn from_json(error: &serde_json::Error, body: &[u8], in_model: bool) -> Self {
        let offset = offset_of(error, body);
        match error.classify() {
            _ if body.starts_with(b"\xef\xbb\xbf") => Self::ByteOrderMark,
            Category::Eof if body.trim_ascii().is_empty() => Self::Empty,
            Category::Eof => Self::Truncated { offset: body.len() },
            // The visitor raises no errors of its own: only "not a map" is left.
            Category::Data => Self::NotAnObject,
            Category::Syntax | Category::Io => {
                let text = error.to_string();
                let reason = text
                    .rsplit_once(" at line ")
                    .map_or(text.as_str(), |(reason, _)| reason);
                if reason.starts_with("control character") {
                    Self::ControlCharacter { offset }
                } else if reason.starts_with("invalid unicode code point") {
                    if in_model {
                        Self::ModelNotUnicode { offset }
                    } else {
                        Self::NotUtf8 { offset }
                    }
                } else {
                    Self::Syntax {
                        reason: reason.to_owned(),
                        offset,
                    }
                }
            }
        }
    }
}

/// `serde_json` counts lines from 1 and, within a line, the bytes read so far.
fn offset_of(error: &serde_json::Error, body: &[u8]) -> usize {
    let line_start = match error.line().checked_sub(2) {
        None => 0,
        Some(nth) => body
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .nth(nth)
            .map_or(0, |(newline, _)| newline + 1),
    };
    (line_start + error.column()).min(body.len())
}
