//! Did a committed stream reach its protocol's end, has its upstream reported an error, and where was it cut? SDKs take
//! any clean end for success, so the gateway must know (docs: behaviour, "after commit").
//!
//! Bytes are looked at once, as they come, and only the members of an event that tell are read ([`Outline`]). Most
//! events are whole lines that say nothing about the end, which a few short searches tell ([`plain`]). Nothing is kept
//! but a few words of state, however long the stream and its events are, and the beginning of an event that may report
//! an error.

use memchr::memchr2;

use self::choices::Choices;
use self::outline::{EventType, Outline};
use self::plain::is_plain;
use super::StreamKind;

mod choices;
mod cut;
mod outline;
mod plain;

pub use self::cut::Cut;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// `event:`, the longest field name that matters, with its colon.
const FIELD_BYTES: usize = 6;
/// So much of an event's data is kept for the case that it reports an error, in a buffer that serves one event after the
/// other. An error is shorter; an event that is longer is part of an answer.
const REPORT_BYTES_MAX: usize = 8 * 1024;
/// A little longer than ` error`, the only event's name that matters.
const NAME_BYTES: usize = 8;

/// Watches one stream from its first byte, the held ones included.
#[derive(Debug)]
pub struct StreamEnd {
    kind: StreamKind,
    /// How many bytes of a byte order mark have come, which stands before the first line if anywhere.
    mark_bytes: usize,
    line: Line,
    /// The last line ended with CR, so an LF that follows belongs to it.
    after_cr: bool,
    event: Event,
    choices: Choices,
    /// The protocol's own end has come.
    is_over: bool,
    /// The upstream has reported an error.
    has_failed: bool,
    /// The data of the event by which it has.
    reported: Option<Vec<u8>>,
}

/// The line that is being read.
#[derive(Debug, Default)]
struct Line {
    field: Field,
    /// What has come of the field's name while it is not known, and of an event's name afterwards.
    start: [u8; NAME_BYTES],
    length: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Field {
    #[default]
    Unknown,
    Data,
    Name,
    Other,
}

/// The event that is being read: its lines since the last blank one.
#[derive(Debug)]
struct Event {
    has_lines: bool,
    has_data: bool,
    is_named_error: bool,
    outline: Outline,
    /// The beginning of its data, as far as it may matter.
    data: Vec<u8>,
}

impl Event {
    fn new(kind: StreamKind) -> Self {
        Self {
            has_lines: false,
            has_data: false,
            is_named_error: false,
            outline: Outline::new(kind),
            data: Vec::new(),
        }
    }
}

impl StreamEnd {
    pub fn new(kind: StreamKind) -> Self {
        Self {
            kind,
            mark_bytes: 0,
            line: Line::default(),
            after_cr: false,
            event: Event::new(kind),
            choices: Choices::default(),
            is_over: false,
            has_failed: false,
            reported: None,
        }
    }

    /// The next bytes, as they came.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while let (Some(expected), Some(byte)) = (BYTE_ORDER_MARK.get(self.mark_bytes), piece.first()) {
            if byte == expected {
                self.mark_bytes += 1;
                piece = &piece[1..];
            } else {
                self.mark_bytes = BYTE_ORDER_MARK.len();
            }
        }
        if piece.is_empty() {
            return;
        }
        if std::mem::take(&mut self.after_cr) {
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(at) = memchr2(b'\n', b'\r', piece) {
            let (line, ending) = piece.split_at(at);
            piece = match ending {
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => ending,
            };
            self.end_line(line, piece);
        }
        self.read_line(piece);
    }

    /// Whether a clean end now is the end of the whole answer. `[DONE]` and `message_stop` carry nothing and count at
    /// once; a `finish_reason`, a `response.completed` and an error count with the blank line after them, without which
    /// SDKs drop their event. Where choices are told apart, each that has begun must have ended.
    pub fn is_complete(&self) -> bool {
        self.kind == StreamKind::Other
            || self.is_over
            || self.choices.have_ended() && self.event.outline.choices_so_far().are_among(self.choices)
    }

    /// Returns whether everything was said: the protocol's own end has come, and is an event of its own. (Behind an error that
    /// an upstream reports, more may follow.)
    pub fn has_said_all(&self) -> bool {
        self.is_over && !self.has_failed && self.cut() == Cut::Boundary
    }

    /// Whether the protocol's own end has come, so that nothing of the answer is missing whatever comes now.
    pub fn has_come(&self) -> bool {
        self.kind != StreamKind::Other && self.is_complete()
    }

    /// The beginning of the data of an event by which the upstream has reported an error, once.
    pub fn take_reported(&mut self) -> Option<Vec<u8>> {
        self.reported.take()
    }

    /// Where an event of the gateway's own would be put now.
    pub fn cut(&self) -> Cut {
        let is_inside = self.line.length > 0 || self.line.field != Field::Unknown;
        let in_data = match self.line.field {
            Field::Data => true,
            Field::Unknown => self.line.text() == b"data",
            Field::Name | Field::Other => false,
        };
        match (is_inside, self.event.has_data || in_data) {
            (false, _) if !self.event.has_lines => Cut::Boundary,
            (false, false) => Cut::AfterField,
            (false, true) => Cut::AfterData,
            (true, false) => Cut::InsideField,
            (true, true) => Cut::InsideData,
        }
    }

    /// Takes the last bytes of a line, which may be all of it. `after` is what has come after it.
    fn end_line(&mut self, rest: &[u8], after: &[u8]) {
        let is_whole = self.line.field == Field::Unknown && self.line.length == 0;
        if is_whole && rest.is_empty() {
            return self.end_event();
        }
        self.event.has_lines = true;
        match rest.strip_prefix(b"data:") {
            // Nearly all events are one line of data that says nothing.
            Some(data) if is_whole && self.may_skip(after) && is_plain(self.kind, data) => self.event.has_data = true,
            _ => {
                self.read_line(rest);
                match self.line.field {
                    Field::Name => self.event.is_named_error = self.line.text().trim_ascii_start() == b"error",
                    Field::Data => self.event.has_data = true,
                    Field::Unknown => self.event.has_data |= self.line.text() == b"data",
                    Field::Other => {}
                }
            }
        }
        self.line = Line::default();
    }

    fn read_line(&mut self, mut piece: &[u8]) {
        if self.line.field == Field::Unknown {
            piece = self.line.read_field(piece);
            if self.line.field == Field::Data && self.event.has_data {
                self.read_data(b"\n");
            }
        }
        match self.line.field {
            Field::Data => self.read_data(piece),
            Field::Name => self.line.keep(piece, NAME_BYTES),
            Field::Unknown | Field::Other => {}
        }
    }

    /// Whether the data of a line, behind which this has come, need not be read if it is [plain](is_plain): it is the
    /// event's only one, and that choice 0 has begun is known.
    fn may_skip(&self, after: &[u8]) -> bool {
        let is_known = match self.kind {
            StreamKind::Chat | StreamKind::Completions => self.choices.has_begun(0),
            _ => true,
        };
        is_known && !self.event.has_data && !self.event.is_named_error && matches!(after, [b'\n' | b'\r', ..])
    }

    fn read_data(&mut self, piece: &[u8]) {
        if self.is_over {
            return;
        }
        let event = &mut self.event;
        let told = event.outline.feed(piece);
        let kept = if event.is_named_error { piece.len() } else { told };
        let room = REPORT_BYTES_MAX.saturating_sub(event.data.len());
        event.data.extend_from_slice(&piece[..kept.min(room)]);
        self.is_over = match self.kind {
            StreamKind::Other => false,
            StreamKind::Messages => event.outline.event_type() == Some(EventType::MessageStop),
            _ => event.outline.is_done(),
        };
    }

    /// A blank line: what the event says counts now.
    fn end_event(&mut self) {
        if !self.event.has_lines {
            return;
        }
        let Event {
            is_named_error,
            outline,
            mut data,
            ..
        } = std::mem::replace(&mut self.event, Event::new(self.kind));
        self.choices.add(outline.choices());
        let ends = match self.kind {
            StreamKind::Responses => matches!(
                outline.event_type(),
                Some(EventType::ResponseCompleted | EventType::ResponseIncomplete | EventType::ResponseFailed)
            ),
            _ => false,
        };
        // The first error tells why; what is said after the end changes nothing.
        let is_error = is_named_error || outline.reports_error();
        self.has_failed |= is_error;
        if is_error && !self.is_over && self.reported.is_none() {
            self.reported = Some(std::mem::take(&mut data));
        }
        data.clear();
        self.event.data = data;
        self.is_over |= ends || is_named_error || outline.raises_in_sdks();
    }
}

impl Line {
    /// Reads on until the field's name is known. What is left of `piece` is its value.
    fn read_field<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let before = self.length;
        self.keep(piece, FIELD_BYTES);
        let Some(colon) = self.text().iter().position(|&byte| byte == b':') else {
            if self.length == FIELD_BYTES {
                self.field = Field::Other;
            }
            return &[];
        };
        self.field = match &self.text()[..colon] {
            b"data" => Field::Data,
            b"event" => Field::Name,
            _ => Field::Other,
        };
        self.length = 0;
        &piece[colon + 1 - before..]
    }

    /// Keeps what fits into `bytes_max`; a value that is longer is none of those that matter.
    fn keep(&mut self, piece: &[u8], bytes_max: usize) {
        let kept = piece.len().min(bytes_max - self.length);
        self.start[self.length..self.length + kept].copy_from_slice(&piece[..kept]);
        self.length += kept;
    }

    fn text(&self) -> &[u8] {
        &self.start[..self.length]
    }
}

#[cfg(test)]
mod tests;
