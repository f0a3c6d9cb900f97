//! What a client has received of a stream, from all the upstreams that contributed to it.

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::answer_text::AnswerText;
use super::chat::Chat;
use super::messages::Messages;
use super::whole_events::WholeEvents;
use crate::protocol::StreamKind;
use crate::protocol::event::reports_error;
use crate::protocol::reported_error::error_in;
use crate::protocol::sse::Events;

/// Follows one answer from its first byte. Everything fed in is passed on to the client in whole events, so that
/// another upstream can continue after any of them.
pub struct Transcript {
    dialect: Dialect,
    answer: AnswerText,
    events: WholeEvents,
    /// What arrives now continues what another attempt began.
    is_continued: bool,
    withheld: Option<Withheld>,
}

/// An event by which the upstream has reported an error, and all that came after it.
struct Withheld {
    error: Bytes,
    bytes: BytesMut,
}

enum Dialect {
    Chat(Chat),
    Messages(Messages),
}

impl Transcript {
    /// `None`: streams of this kind are never resumed. At most `max_bytes` of text are remembered.
    pub fn new(kind: StreamKind, max_bytes: usize) -> Option<Self> {
        let dialect = match kind {
            StreamKind::Chat => Dialect::Chat(Chat::default()),
            StreamKind::Messages => Dialect::Messages(Messages::default()),
            StreamKind::Completions | StreamKind::Responses | StreamKind::Other => return None,
        };
        Some(Self {
            dialect,
            answer: AnswerText::new(max_bytes),
            events: WholeEvents::default(),
            is_continued: false,
            withheld: None,
        })
    }

    /// Takes the next bytes of an upstream's stream, and returns those that are sent to the client now.
    pub fn feed(&mut self, piece: Bytes) -> Bytes {
        if let Some(withheld) = &mut self.withheld {
            withheld.bytes.extend_from_slice(&piece);
            return Bytes::new();
        }
        if !self.holds_back() {
            return piece;
        }
        self.events.push(&piece);
        let mut passed = BytesMut::with_capacity(piece.len());
        while let Some(event) = self.events.next() {
            self.take_event(&event, &mut passed);
            if let Some(withheld) = &mut self.withheld {
                withheld.bytes.extend_from_slice(&self.events.rest());
                return passed.freeze();
            }
        }
        if self.events.is_too_long() {
            self.answer.close();
        }
        // Nothing is held of what can't be continued; a continuation still has to be made to fit.
        if !self.holds_back() || self.events.is_too_long() {
            passed.extend_from_slice(&self.events.rest());
        }
        passed.freeze()
    }

    /// Returns what is held back of an incomplete event, at the end of a stream that is complete.
    pub fn rest(&mut self) -> Bytes {
        self.events.rest()
    }

    /// Returns whether the client gets whole events only.
    pub fn holds_back(&self) -> bool {
        self.is_continued || !self.answer.is_final()
    }

    pub fn can_resume(&self) -> bool {
        !self.answer.is_final()
    }

    /// Returns the error that the upstream has reported, and that is withheld from the client until it is known whether
    /// another attempt continues.
    pub fn withheld_error(&self) -> Option<Bytes> {
        Some(self.withheld.as_ref()?.error.clone())
    }

    /// Returns what was withheld, for the client to get unchanged, because no other attempt continues. The answer
    /// cannot be continued any more.
    pub fn release(&mut self) -> Bytes {
        self.answer.close();
        self.withheld
            .take()
            .map(|withheld| withheld.bytes.freeze())
            .unwrap_or_default()
    }

    /// Returns what has been said so far, for the next upstream to continue. Several refuse a text that ends in white
    /// space.
    pub fn text(&self) -> &str {
        self.answer.told()
    }

    /// Returns how many bytes are kept of the stream: its text, and an incomplete event.
    pub fn held_bytes(&self) -> usize {
        self.answer.text_bytes() + self.events.pending_bytes()
    }

    /// Stops remembering: the stream cannot be resumed.
    pub fn give_up(&mut self) {
        self.answer.close();
    }

    /// Estimates how many tokens have been said.
    pub fn tokens(&self) -> u64 {
        self.answer.pieces
    }

    /// Notes that what is fed from now on comes from an upstream that was given [`Self::text`] to continue.
    pub fn go_on(&mut self) {
        self.is_continued = true;
        self.withheld = None;
        self.events = WholeEvents::default();
        self.answer.tell();
        match &mut self.dialect {
            Dialect::Chat(chat) => chat.go_on(&self.answer),
            Dialect::Messages(messages) => messages.go_on(&self.answer),
        }
    }

    fn take_event(&mut self, raw: &Bytes, passed: &mut BytesMut) {
        match parsed(raw) {
            Parsed::Nothing => passed.extend_from_slice(raw),
            Parsed::Error(error) if self.can_resume() => {
                let bytes = BytesMut::from(&raw[..]);
                self.withheld = Some(Withheld { error, bytes });
            }
            Parsed::Foreign | Parsed::Error(_) => {
                self.answer.close();
                passed.extend_from_slice(raw);
            }
            Parsed::Json(value) if self.is_continued => {
                for event in self.rewrite(value) {
                    self.observe(&event);
                    write(&event, passed);
                }
            }
            Parsed::Json(value) => {
                self.observe(&value);
                passed.extend_from_slice(raw);
            }
        }
    }

    fn observe(&mut self, event: &Value) {
        match &mut self.dialect {
            Dialect::Chat(chat) => chat.observe(event, &mut self.answer),
            Dialect::Messages(messages) => messages.observe(event, &mut self.answer),
        }
    }

    /// An event of a continuation as the client is to see it: as none, one or several.
    fn rewrite(&mut self, event: Value) -> Vec<Value> {
        match &mut self.dialect {
            Dialect::Chat(chat) => chat.rewrite(event, &mut self.answer).into_iter().collect(),
            Dialect::Messages(messages) => messages.rewrite(event, &mut self.answer),
        }
    }
}

enum Parsed {
    /// A comment, `[DONE]`, a ping without data: says nothing of the answer.
    Nothing,
    /// The upstream reports this error.
    Error(Bytes),
    /// An event that this protocol does not have.
    Foreign,
    Json(Value),
}

fn parsed(raw: &[u8]) -> Parsed {
    let mut parsed = Parsed::Nothing;
    let _ = Events::default().feed(raw, |event| {
        let data = event.data.trim_ascii();
        parsed = match serde_json::from_slice::<Value>(data) {
            _ if event.name == b"error" => Parsed::Error(error_in(data)),
            _ if data.is_empty() || data == b"[DONE]" => Parsed::Nothing,
            Ok(value) if reports_error(&value) => Parsed::Error(error_in(data)),
            Ok(value) if value.is_object() => Parsed::Json(value),
            _ => Parsed::Foreign,
        };
        std::ops::ControlFlow::<()>::Continue(())
    });
    parsed
}

/// Writes an event as either protocol does: Anthropic's are named by their type.
fn write(event: &Value, to: &mut BytesMut) {
    if let Some(name) = event.get("type").and_then(Value::as_str) {
        to.extend_from_slice(format!("event: {name}\n").as_bytes());
    }
    to.extend_from_slice(format!("data: {event}\n\n").as_bytes());
}

#[cfg(test)]
mod tests;
