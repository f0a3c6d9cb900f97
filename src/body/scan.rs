//! What routing needs from a JSON body, found without a tree and without a copy.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Facts, MODEL_BYTES_MAX, Model, Notation, ScanError};

/// Finds the top-level `model` and `stream` of the JSON object `body`, and whether it is bound to one account's state
/// (`previous_response_id`, `conversation`).
///
/// The whole body is checked against the grammar of RFC 8259, at any depth and without recursion. Only the grammar:
/// numbers of any size, lone surrogates and bytes that are not UTF-8 pass where they are inside other values, since
/// they are forwarded untouched and the upstream is their judge. Top-level keys must be UTF-8.
///
/// # Errors
/// See [`ScanError`]. Malformed JSON is reported before anything that is wrong with `model`.
pub fn scan(body: &[u8]) -> Result<Facts, ScanError> {
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    if let Err(error) = json.deserialize_map(&mut found).and_then(|()| json.end()) {
        return Err(ScanError::from_json(&error, body, found.in_model));
    }
    Ok(Facts {
        model: found.model(body)?,
        stream: found.stream,
        pinned: found.pinned,
    })
}

/// The values of interest, borrowed from the body as they stand.
#[derive(Default)]
struct Found<'body> {
    model: Option<&'body RawValue>,
    model_again: Option<&'body RawValue>,
    stream: bool,
    pinned: bool,
    /// A `model` value has been begun and not ended: a fault now lies within it.
    in_model: bool,
}

impl Found<'_> {
    fn model(&self, body: &[u8]) -> Result<Option<Model>, ScanError> {
        let Some(token) = self.model.map(RawValue::get) else {
            return Ok(None);
        };
        let span = span_in(body, token);
        if let Some(again) = self.model_again {
            return Err(ScanError::ModelTwice {
                first: span.start,
                second: span_in(body, again.get()).start,
            });
        }
        Ok(Some(Model {
            name: decode_model(token, span.start)?,
            span,
            notation: Notation::Json,
        }))
    }
}

impl<'body> Visitor<'body> for &mut Found<'body> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'body>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<&RawValue>()? {
            match Key::of(key.get()) {
                Key::Model => {
                    self.in_model = true;
                    let value = members.next_value::<&RawValue>()?;
                    self.in_model = false;
                    match self.model {
                        None => self.model = Some(value),
                        Some(_) => self.model_again = Some(value),
                    }
                }
                Key::Stream => self.stream = members.next_value::<&RawValue>()?.get() == "true",
                Key::Binding => self.pinned |= members.next_value::<&RawValue>()?.get() != "null",
                Key::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

enum Key {
    Model,
    Stream,
    /// Its value names state that one account keeps: an earlier answer, a conversation.
    Binding,
    Other,
}

impl Key {
    /// `token` still has its quotes and escapes.
    fn of(token: &str) -> Self {
        if !token.contains('\\') {
            return Self::named(token.trim_matches('"'));
        }
        // A key with a lone surrogate can't be decoded, and so is neither name.
        serde_json::from_str::<String>(token).map_or(Self::Other, |name| Self::named(&name))
    }

    fn named(name: &str) -> Self {
        match name {
            "model" => Self::Model,
            "stream" => Self::Stream,
            "previous_response_id" | "conversation" => Self::Binding,
            _ => Self::Other,
        }
    }
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
pub(super) mod tests;
