//! A stream's bytes in whole events, so that what the client gets never ends within one.

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use crate::protocol::HELD_MAX_BYTES;

/// Splits bytes that come in any pieces after each blank line. Nothing is changed or dropped.
#[derive(Debug)]
pub(super) struct WholeEvents {
    /// The part of an incomplete event that has arrived.
    pending: BytesMut,
    /// How much of `pending` has been examined.
    looked_at: usize,
    /// The current line is empty so far.
    line_is_empty: bool,
    after_cr: bool,
}

impl Default for WholeEvents {
    fn default() -> Self {
        Self {
            pending: BytesMut::new(),
            looked_at: 0,
            line_is_empty: true,
            after_cr: false,
        }
    }
}

impl WholeEvents {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
    }

    /// The next whole event with the blank line that ends it.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        while let Some(offset) = memchr2(b'\n', b'\r', &self.pending[self.looked_at..]) {
            let at = self.looked_at + offset;
            let is_lf_of_crlf = offset == 0 && self.after_cr && self.pending[at] == b'\n';
            self.after_cr = self.pending[at] == b'\r';
            self.looked_at = at + 1;
            if is_lf_of_crlf {
                continue;
            }
            if offset > 0 {
                self.line_is_empty = false;
            }
            if std::mem::replace(&mut self.line_is_empty, true) {
                // The LF of a CR that has come already goes with its event.
                let length = match self.pending.get(at + 1) {
                    Some(b'\n') if self.after_cr => at + 2,
                    _ => at + 1,
                };
                self.after_cr &= length == at + 1;
                self.looked_at = 0;
                return Some(self.pending.split_to(length).freeze());
            }
        }
        if self.looked_at < self.pending.len() {
            self.line_is_empty = false;
            self.after_cr = false;
            self.looked_at = self.pending.len();
        }
        None
    }

    /// Takes what follows the last whole event.
    pub(super) fn rest(&mut self) -> Bytes {
        self.looked_at = 0;
        std::mem::take(&mut self.pending).freeze()
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Returns whether an event is longer than may be held.
    pub(super) fn is_too_long(&self) -> bool {
        self.pending.len() > HELD_MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, String) {
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        let mut events = WholeEvents::default();
        let mut seen = Vec::new();
        for piece in pieces {
            events.push(piece);
            seen.extend(std::iter::from_fn(|| events.next().map(text)));
        }
        (seen, text(events.rest()))
    }

    #[test]
    fn events_are_whole_however_they_come() {
        for ending in ["\n", "\r", "\r\n"] {
            let events =
                ["event: a\ndata: 1\n\n", ": note\n\n", "\n", "data:2\n\n"].map(|event| event.replace('\n', ending));
            let stream = format!("{}data: ha", events.concat());
            for chunk in 1..=stream.len() {
                let (seen, rest) = split(stream.as_bytes().chunks(chunk));
                assert_eq!(seen.concat() + &rest, stream, "nothing is lost");
                // The LF of a blank line's CRLF may come too late for its event.
                let trimmed = |event: &String| event.trim_start_matches('\n').replace("\r\n", "\r");
                let expected: Vec<_> = events.iter().map(|event| event.replace("\r\n", "\r")).collect();
                if ending == "\n" {
                    assert_eq!(seen, events, "chunks of {chunk}");
                } else {
                    assert_eq!(
                        seen.iter().map(trimmed).collect::<Vec<_>>(),
                        expected,
                        "{ending:?}, chunks of {chunk}"
                    );
                }
                assert_eq!(rest.trim_start_matches('\n'), "data: ha");
            }
        }
    }
}
