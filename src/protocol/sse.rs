//! Server-sent events, split out of bytes that arrive in any pieces.
//!
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>.

use std::ops::ControlFlow;

use memchr::memchr2;

use super::HELD_MAX_BYTES;

/// One event: its `event` field (empty if it has none) and its `data` lines joined by `\n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    pub name: &'a [u8],
    pub data: &'a [u8],
}

/// The state between two pieces. What one event or line has beyond [`HELD_MAX_BYTES`] is dropped.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
}

impl Events {
    /// Calls `on_event` for each event that `piece` completes, until it breaks; what follows in `piece` is then lost.
    /// An event without `data` is reported only if it has a name.
    pub fn feed<B>(
        &mut self,
        mut piece: &[u8],
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if piece.is_empty() {
            return ControlFlow::Continue(());
        }
        if std::mem::take(&mut self.after_cr) {
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(at) = memchr2(b'\r', b'\n', piece) {
            let (line, ending) = piece.split_at(at);
            if self.line.is_empty() {
                self.take_line(line, &mut on_event)?;
            } else {
                append(&mut self.line, line);
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, &mut on_event)?;
            }
            piece = match ending {
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => ending,
            };
        }
        append(&mut self.line, piece);
        ControlFlow::Continue(())
    }

    /// What the stream's end cut off: by the standard it is dropped, but it may tell why the stream ended.
    pub fn unfinished(&mut self) -> Option<Event<'_>> {
        let line = std::mem::take(&mut self.line);
        self.take_field(&line);
        self.has_data.then_some(Event {
            name: &self.name,
            data: &self.data,
        })
    }

    fn take_line<B>(&mut self, line: &[u8], on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        if !line.is_empty() {
            self.take_field(line);
            return ControlFlow::Continue(());
        }
        let flow = if self.has_data || !self.name.is_empty() {
            on_event(Event {
                name: &self.name,
                data: &self.data,
            })
        } else {
            ControlFlow::Continue(())
        };
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        flow
    }

    fn take_field(&mut self, line: &[u8]) {
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    append(&mut self.data, b"\n");
                }
                self.has_data = true;
                append(&mut self.data, value);
            }
            b"event" => {
                self.name.clear();
                append(&mut self.name, value);
            }
            // A comment has an empty field name; `id` and `retry` say nothing about the answer.
            _ => {}
        }
    }
}

fn append(buffer: &mut Vec<u8>, bytes: &[u8]) {
    let room = HELD_MAX_BYTES.saturating_sub(buffer.len());
    buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Events::default();
        let mut seen = Vec::new();
        for piece in pieces {
            let _ = parser.feed(piece, |event| -> ControlFlow<()> {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                seen.push((text(event.name), text(event.data)));
                ControlFlow::Continue(())
            });
        }
        seen
    }

    #[test]
    fn every_line_end_and_every_split_gives_the_same_events() {
        let expected = vec![
            ("a".into(), "1\n2".into()),
            (String::new(), "x".into()),
            ("ping".into(), String::new()),
        ];
        for ending in ["\n", "\r", "\r\n"] {
            let text = ": note\nevent: a\ndata: 1\ndata:2\nid: 7\n\n\ndata:x\n\nevent: ping\n\n".replace('\n', ending);
            for at in 0..=text.len() {
                let (head, rest) = text.as_bytes().split_at(at);
                assert_eq!(events(&[head, rest]), expected, "split at {at}, ending {ending:?}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(events(&bytes), expected, "byte by byte, ending {ending:?}");
        }
    }

    #[test]
    fn an_event_keeps_no_more_than_its_bound() {
        let mut parser = Events::default();
        let _ = parser.feed(b"data: ", |_| ControlFlow::<()>::Continue(()));
        for _ in 0..100 {
            let _ = parser.feed(&[b'x'; 4096], |_| ControlFlow::<()>::Continue(()));
        }
        assert!(parser.unfinished().expect("it has data").data.len() <= HELD_MAX_BYTES);
    }
}
