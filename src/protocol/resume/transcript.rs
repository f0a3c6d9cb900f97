//! What a client has got of a stream, over all the upstreams that told it.

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

/// Follows one answer from its first byte. What it is fed goes to the client by way of it: in whole events, so that
/// another upstream can go on after any of them.
pub struct Transcript {
    dialect: Dialect,
    answer: AnswerText,
    events: WholeEvents,
    /// What comes now continues what another attempt began.
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

    /// Takes the next bytes of an upstream's stream, and gives those that go to the client now.
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

    /// What is held back of an event that is not whole. For the end of a stream that is complete.
    pub fn rest(&mut self) -> Bytes {
        self.events.rest()
    }

    /// Whether the client has whole events only.
    pub fn holds_back(&self) -> bool {
        self.is_continued || !self.answer.is_final()
    }

    pub fn can_resume(&self) -> bool {
        !self.answer.is_final()
    }

    /// What the upstream says in an error that it has reported, and that the client doesn't get before it is known whether
    /// another attempt goes on.
    pub fn withheld_error(&self) -> Option<Bytes> {
        Some(self.withheld.as_ref()?.error.clone())
    }

    /// Nobody goes on: what was withheld, for the client to get as it came. The answer can't be continued any more.
    pub fn release(&mut self) -> Bytes {
        self.answer.close();
        self.withheld
            .take()
            .map(|withheld| withheld.bytes.freeze())
            .unwrap_or_default()
    }

    /// What has been said, for the next upstream to go on with. Several refuse a text that ends in white space.
    pub fn text(&self) -> &str {
        self.answer.told()
    }

    /// What is kept of the stream: its text, and an event that is not whole.
    pub fn held_bytes(&self) -> usize {
        self.answer.text_bytes() + self.events.pending_bytes()
    }

    /// Remembers nothing from here on: the stream can't be resumed.
    pub fn give_up(&mut self) {
        self.answer.close();
    }

    /// About how many tokens that was.
    pub fn tokens(&self) -> u64 {
        self.answer.pieces
    }

    /// What is fed from now on comes from an upstream that was given [`Self::text`] to go on with.
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
    /// Nothing that this protocol has.
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

/// Writes an event as both protocols do: those of Anthropic's are named by their type.
fn write(event: &Value, to: &mut BytesMut) {
    if let Some(name) = event.get("type").and_then(Value::as_str) {
        to.extend_from_slice(format!("event: {name}\n").as_bytes());
    }
    to.extend_from_slice(format!("data: {event}\n\n").as_bytes());
}

#[cfg(test)]
mod tests;
