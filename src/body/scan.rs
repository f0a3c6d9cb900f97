//! What routing needs from a JSON body, found without a tree and without a copy.

mod walk;

pub use self::walk::members;

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::member::{Member, Seen, Spelling};
use super::{Facts, MODEL_BYTES_MAX, Model, Notation, ScanError};

/// Finds the top-level `model` and `stream` of the JSON object `body`, and whether it is bound to one account's state
/// (`previous_response_id`, `conversation`).
///
/// The whole body is checked against the grammar of RFC 8259, at any depth and without recursion. Only the grammar:
/// numbers of any size, lone surrogates and bytes that are not UTF-8 pass where they are inside other values, since
/// they are forwarded untouched and the upstream is their judge. Top-level keys must be UTF-8. Names that readers may
/// disagree on are refused: of the members that the gateway reads, each may be there once, in its own spelling.
///
/// # Errors
/// See [`ScanError`]. Malformed JSON is reported before anything that is wrong with `model`.
pub fn scan(body: &[u8]) -> Result<Facts, ScanError> {
    let found = match walked(body) {
        Some(found) => found,
        None => parsed(body)?,
    };
    if let Some(fault) = found.dispute(body) {
        return Err(fault);
    }
    Ok(Facts {
        model: found.model(body)?,
        stream: found.stream,
        pinned: found.pinned,
    })
}

/// What the fast walk finds in a body that is in order.
fn walked(body: &[u8]) -> Option<Found<'_>> {
    let mut found = Found::default();
    walk::members(body, |name, value| found.see(name, value))?;
    Some(found)
}

/// The same, and what is wrong with a body that is not.
fn parsed(body: &[u8]) -> Result<Found<'_>, ScanError> {
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    match json.deserialize_map(&mut found).and_then(|()| json.end()) {
        Ok(()) => Ok(found),
        Err(error) => Err(ScanError::from_json(&error, body, found.in_model)),
    }
}

/// The values of interest, borrowed from the body as they stand.
#[derive(Default)]
struct Found<'body> {
    model: Option<&'body str>,
    model_again: Option<&'body str>,
    stream: bool,
    pinned: bool,
    seen: Seen,
    /// The first name that readers disagree on, as it stands in the body.
    disputed: Option<(Member, Spelling, &'body str)>,
    /// A `model` value has been begun and not ended: a fault now lies within it.
    in_model: bool,
}

impl<'body> Found<'body> {
    /// What is wrong with the names that were found, although the body is JSON.
    fn dispute(&self, body: &[u8]) -> Option<ScanError> {
        if let (Some(first), Some(second)) = (self.model, self.model_again) {
            return Some(ScanError::ModelTwice {
                first: span_in(body, first).start,
                second: span_in(body, second).start,
            });
        }
        let (member, spelling, token) = self.disputed?;
        let (member, offset) = (member.name(), span_in(body, token).start);
        Some(match spelling {
            Spelling::Exact => ScanError::MemberTwice { member, offset },
            Spelling::Alike => ScanError::MemberAlike { member, offset },
        })
    }

    fn model(&self, body: &[u8]) -> Result<Option<Model>, ScanError> {
        let Some(token) = self.model else {
            return Ok(None);
        };
        let span = span_in(body, token);
        Ok(Some(Model {
            name: decode_model(token, span.start)?,
            span,
            notation: Notation::Json,
        }))
    }

    /// A member, as it stands. `None`: what is read of it is no UTF-8.
    fn see(&mut self, name: &'body [u8], value: &'body [u8]) -> Option<()> {
        let token = str::from_utf8(name).ok()?;
        match called(token) {
            Some((member, Spelling::Exact)) => self.take(member, token, str::from_utf8(value).ok()?),
            Some((member, spelling)) => self.disputed = self.disputed.or(Some((member, spelling, token))),
            None => {}
        }
        Some(())
    }

    /// The value of a member that is called `token`, with its quotes and escapes.
    fn take(&mut self, member: Member, token: &'body str, value: &'body str) {
        let again = self.seen.again(member);
        match member {
            Member::Model if again => self.model_again = Some(value),
            _ if again => self.disputed = self.disputed.or(Some((member, Spelling::Exact, token))),
            Member::Model => self.model = Some(value),
            Member::Stream => self.stream = value == "true",
            Member::PreviousResponse | Member::Conversation => self.pinned |= value != "null",
            Member::Choices => {}
        }
    }
}

impl<'body> Visitor<'body> for &mut Found<'body> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'body>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<&RawValue>()? {
            let token = key.get();
            match called(token) {
                Some((member, Spelling::Exact)) => {
                    self.in_model = member == Member::Model;
                    let value = members.next_value::<&RawValue>()?;
                    self.in_model = false;
                    self.take(member, token, value.get());
                }
                other => {
                    if let Some((member, spelling)) = other {
                        self.disputed = self.disputed.or(Some((member, spelling, token)));
                    }
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// `token` still has its quotes and escapes.
fn called(token: &str) -> Option<(Member, Spelling)> {
    if !token.contains('\\') {
        return Member::called(token.trim_matches('"'));
    }
    // A key with a lone surrogate can't be decoded, and so is no name of ours.
    let name = serde_json::from_str::<String>(token).ok()?;
    Member::called(&name)
}

fn decode_model(token: &str, offset: usize) -> Result<String, ScanError> {
    if !token.starts_with('"') {
        return Err(ScanError::ModelNotString { offset });
    }
    let model: String = serde_json::from_str(token).map_err(|_| ScanError::ModelNotUnicode { offset })?;
    if model.chars().any(char::is_control) {
        return Err(ScanError::ModelControlCharacter { offset });
    }
    if model.len() > MODEL_BYTES_MAX {
        return Err(ScanError::ModelTooLong { length: model.len() });
    }
    Ok(model)
}

/// `token` was borrowed from `body`, so its address tells its place.
fn span_in(body: &[u8], token: &str) -> Range<usize> {
    let start = token.as_ptr().addr() - body.as_ptr().addr();
    start..start + token.len()
}

#[cfg(test)]
pub(super) mod properties;
#[cfg(test)]
mod tests;
