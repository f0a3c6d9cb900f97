//! A stream that arrives in any pieces is read as one that arrives whole: its events, its end, where it stands, and the
//! error that it reports.
#![no_main]

use std::ops::ControlFlow;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use switchback::protocol::StreamKind;
use switchback::protocol::sse::Events;
use switchback::protocol::tail::StreamEnd;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    pieces: Vec<u8>,
    stream: &'a [u8],
}

const KINDS: [StreamKind; 5] = [
    StreamKind::Chat,
    StreamKind::Completions,
    StreamKind::Responses,
    StreamKind::Messages,
    StreamKind::Other,
];

fuzz_target!(|input: Input<'_>| {
    let whole = [input.stream];
    let pieces = split(input.stream, &input.pieces);
    assert_eq!(events(&pieces), events(&whole));
    for kind in KINDS {
        let (mut in_pieces, mut at_once) = (end(kind, &pieces), end(kind, &whole));
        assert_eq!(in_pieces.is_complete(), at_once.is_complete(), "{kind:?}");
        assert_eq!(in_pieces.cut(), at_once.cut(), "{kind:?}");
        assert_eq!(in_pieces.take_reported(), at_once.take_reported(), "{kind:?}");
    }
});

fn split<'a>(mut stream: &'a [u8], lengths: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &length in lengths {
        let (piece, rest) = stream.split_at(usize::from(length).min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces.push(stream);
    pieces
}

fn events(pieces: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut parser = Events::default();
    let mut seen = Vec::new();
    for piece in pieces {
        let _ = parser.feed(piece, |event| {
            seen.push((event.name.to_vec(), event.data.to_vec()));
            ControlFlow::<()>::Continue(())
        });
    }
    if let Some(event) = parser.unfinished() {
        seen.push((event.name.to_vec(), event.data.to_vec()));
    }
    seen
}

fn end(kind: StreamKind, pieces: &[&[u8]]) -> StreamEnd {
    let mut end = StreamEnd::new(kind);
    pieces.iter().for_each(|piece| end.feed(piece));
    end
}
