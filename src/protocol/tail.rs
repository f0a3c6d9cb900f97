//! Did a committed stream reach its protocol's end, and where was it cut? SDKs take any clean end for success, so
//! the gateway must know (docs: behaviour, "after commit").
//!
//! Nothing is parsed: inside of JSON text every quote is escaped and every line break too, so `"finish_reason"` with
//! bare quotes is a key, and `data:` after a line break begins a field. One pass of a substring search over each
//! piece, and a window of [`CARRY_BYTES`] for what is split between two, is all it costs, however long the stream.

use std::sync::LazyLock;

use memchr::memchr2;
use memchr::memmem::Finder;

use super::{Protocol, StreamKind};

/// What is kept of the bytes before: longer than any mark with its value and some white space.
const CARRY_BYTES: usize = 96;

/// Where a stream stands after its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Between two events, or before the first.
    Boundary,
    /// After a whole line that isn't data: an event's name, a comment.
    AfterField,
    /// Inside of such a line.
    InsideField,
    /// After a whole line of data.
    AfterData,
    /// Inside of a line of data.
    InsideData,
}

impl Cut {
    /// What must be sent first so that the client's parser takes the next event for one of its own. A line end after
    /// CR may be taken as part of it, so a line that must be ended for sure gets two.
    ///
    /// Half an event can't be called back. Anthropic's SDKs skip it unread once it is named `ping`; OpenAI's have no
    /// such word, and raise over the half event instead of over the error that follows: it is an exception either way.
    pub fn resync(self, protocol: Protocol) -> &'static [u8] {
        match (self, protocol) {
            // A name without data is taken over by the next event: dispatched alone, SDKs would parse its empty data.
            (Self::Boundary | Self::AfterField, _) => b"",
            (Self::InsideField, _) => b"\n",
            (Self::AfterData, _) | (Self::InsideData, Protocol::OpenAi) => b"\n\n",
            (Self::InsideData, Protocol::Anthropic) => b"\nevent: ping\n\n",
        }
    }
}

/// Watches one stream from its first byte, the held ones included.
#[derive(Debug)]
pub struct StreamEnd {
    kind: StreamKind,
    state: State,
    carry: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// The mark was seen; SDKs drop its event unless a blank line follows.
    Marked,
    Complete,
}

impl StreamEnd {
    pub fn new(kind: StreamKind) -> Self {
        let state = if kind == StreamKind::Other {
            State::Complete
        } else {
            State::Running
        };
        let mut carry = Vec::with_capacity(2 * CARRY_BYTES);
        // A stream begins as if a line had just ended.
        carry.push(b'\n');
        Self { kind, state, carry }
    }

    /// The next bytes, as they came.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.state != State::Complete {
            self.search(piece);
        }
        if piece.len() >= CARRY_BYTES {
            self.carry.clear();
            self.carry.extend_from_slice(&piece[piece.len() - CARRY_BYTES..]);
        } else {
            self.carry.extend_from_slice(piece);
            let surplus = self.carry.len().saturating_sub(CARRY_BYTES);
            self.carry.drain(..surplus);
        }
    }

    /// Whether a clean end now is the end of the whole answer. `[DONE]` and `message_stop` carry nothing and count at
    /// once; a `finish_reason`, a `response.completed` and an error count with the blank line after them.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Whether the protocol's own end has come, so that nothing of the answer is missing whatever comes now.
    pub fn has_come(&self) -> bool {
        self.kind != StreamKind::Other && self.is_complete()
    }

    /// Where an event of the gateway's own would be put now.
    pub fn cut(&self) -> Cut {
        let lines = self.carry.as_slice();
        if ends_with_blank_line(lines) {
            return Cut::Boundary;
        }
        let at_line_end = matches!(lines.last(), Some(b'\n' | b'\r'));
        let text = if at_line_end {
            lines.strip_suffix(b"\r\n").unwrap_or(&lines[..lines.len() - 1])
        } else {
            lines
        };
        let start = memchr::memrchr2(b'\n', b'\r', text).map(|at| at + 1);
        // A longer line than the carry is one of data, for all others are short.
        let line = match start {
            Some(start) => &text[start..],
            None => b"data:",
        };
        let is_data = line.starts_with(b"data");
        match (at_line_end, is_data) {
            (true, false) => Cut::AfterField,
            (false, false) => Cut::InsideField,
            (true, true) => Cut::AfterData,
            (false, true) => Cut::InsideData,
        }
    }

    fn search(&mut self, piece: &[u8]) {
        // What is split between the carry and this piece.
        let mut joint = [0; 2 * CARRY_BYTES];
        let carried = self.carry.len();
        let joined = carried + piece.len().min(CARRY_BYTES);
        joint[..carried].copy_from_slice(&self.carry);
        joint[carried..joined].copy_from_slice(&piece[..joined - carried]);
        let joint = &joint[..joined];

        if self.state == State::Marked && (blank_line(&joint[carried.saturating_sub(3)..]) || blank_line(piece)) {
            self.state = State::Complete;
            return;
        }
        for mark in marks(self.kind) {
            // Past the joint, a piece has all the context that a mark needs.
            let (at, rest) = match mark.find_in(joint) {
                Some(at) => (at, &piece[at.saturating_sub(carried)..]),
                None => match mark.find_in(piece) {
                    Some(at) => (joined, &piece[at..]),
                    None => continue,
                },
            };
            if mark.is_closing || blank_line(&joint[at..]) || blank_line(rest) {
                self.state = State::Complete;
                return;
            }
            self.state = State::Marked;
        }
    }
}

/// A text that may be a mark, and what must stand around it for it to be one.
struct Mark {
    finder: Finder<'static>,
    is_mark: fn(before: &[u8], after: &[u8]) -> bool,
    /// Its event carries nothing but the end: half of it is enough.
    is_closing: bool,
}

impl Mark {
    fn new(text: &'static str, is_closing: bool, is_mark: fn(&[u8], &[u8]) -> bool) -> Self {
        Self {
            finder: Finder::new(text),
            is_mark,
            is_closing,
        }
    }

    fn find_in(&self, bytes: &[u8]) -> Option<usize> {
        let length = self.finder.needle().len();
        self.finder
            .find_iter(bytes)
            .find(|&at| (self.is_mark)(&bytes[..at], &bytes[at + length..]))
    }
}

fn marks(kind: StreamKind) -> &'static [Mark] {
    static CHAT: LazyLock<[Mark; 3]> = LazyLock::new(|| {
        [
            Mark::new("\"finish_reason\"", false, |_, after| has_reason(after)),
            Mark::new("[DONE]", true, |before, _| is_data_start(before)),
            Mark::new("error", false, is_error_event),
        ]
    });
    static RESPONSES: LazyLock<[Mark; 5]> = LazyLock::new(|| {
        [
            Mark::new("response.completed", false, is_type),
            Mark::new("response.incomplete", false, is_type),
            Mark::new("response.failed", false, is_type),
            Mark::new("[DONE]", true, |before, _| is_data_start(before)),
            Mark::new("error", false, is_error_event),
        ]
    });
    static MESSAGES: LazyLock<[Mark; 2]> = LazyLock::new(|| {
        [
            Mark::new("message_stop", true, is_type),
            Mark::new("error", false, is_error_event),
        ]
    });
    match kind {
        StreamKind::Chat | StreamKind::Completions => &*CHAT,
        StreamKind::Responses => &*RESPONSES,
        StreamKind::Messages => &*MESSAGES,
        StreamKind::Other => &[],
    }
}

/// A value follows that is neither `null` nor an empty text (some providers send `""` with every chunk).
fn has_reason(after: &[u8]) -> bool {
    let Some(value) = after.trim_ascii_start().strip_prefix(b":") else {
        return false;
    };
    matches!(value.trim_ascii_start(), [b'"', first, ..] if *first != b'"')
}

/// `"type": "TEXT"`.
fn is_type(before: &[u8], after: &[u8]) -> bool {
    let key = || before.strip_suffix(b"\"")?.trim_ascii_end().strip_suffix(b":");
    after.first() == Some(&b'"') && key().is_some_and(|key| key.trim_ascii_end().ends_with(b"\"type\""))
}

/// `data:` at the beginning of a line.
fn is_data_start(before: &[u8]) -> bool {
    is_field_start(before, b"data:")
}

fn is_field_start(before: &[u8], field: &[u8]) -> bool {
    let before = before.strip_suffix(b" ").unwrap_or(before);
    before
        .strip_suffix(field)
        .is_some_and(|line| matches!(line, [.., b'\n' | b'\r']))
}

/// `event: error`, `data: {"error": …` with a value, or `data: {"type": "error"`. An `error` further inside may be
/// part of an answer.
fn is_error_event(before: &[u8], after: &[u8]) -> bool {
    if matches!(after, [b'\n' | b'\r', ..]) && is_field_start(before, b"event:") {
        return true;
    }
    let (Some(before), [b'"', after @ ..]) = (before.strip_suffix(b"\""), after) else {
        return false;
    };
    let opened = |before: &[u8]| {
        before
            .strip_suffix(b"{")
            .is_some_and(|line| is_data_start(line.trim_ascii_end()))
    };
    let before = before.trim_ascii_end();
    if let Some(before) = before.strip_suffix(b":") {
        let key = before.trim_ascii_end().strip_suffix(b"\"type\"");
        return key.is_some_and(|before| opened(before.trim_ascii_end()));
    }
    let value = after
        .trim_ascii_start()
        .strip_prefix(b":")
        .map(<[u8]>::trim_ascii_start);
    opened(before) && value.is_some_and(|value| matches!(value, [b'{' | b'[', ..] | [b'"', b'!' | b'#'..=b'~', ..]))
}

/// Whether a blank line ends within `bytes`, of which the first may be the end of the line before.
fn blank_line(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = memchr2(b'\n', b'\r', rest) {
        let ending = &rest[at..];
        let after = ending.strip_prefix(b"\r\n").unwrap_or(&ending[1..]);
        if matches!(after, [b'\n' | b'\r', ..]) {
            return true;
        }
        rest = after;
    }
    false
}

fn ends_with_blank_line(bytes: &[u8]) -> bool {
    let ([before @ .., b'\r', b'\n'] | [before @ .., b'\n' | b'\r']) = bytes else {
        return false;
    };
    matches!(before, [] | [.., b'\n' | b'\r'])
}

#[cfg(test)]
mod tests;
