//! Events that say nothing about how their stream ends: nearly all of them, so this is looked at first.
//!
//! Inside of JSON text every quote is escaped, so a name between bare quotes is a key or a whole value, never a part of
//! what a model says.

use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;

use super::outline::EventType;
use crate::protocol::StreamKind;

static FINISH_REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"finish_reason\""));
static INDEX: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"index\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"error\""));
static RESPONSE_FAILED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"response.failed\""));

/// Whether `data`, all that its event has, certainly says nothing about the end, reports no error, and is about no choice
/// but choice 0: all that an [`Outline`](super::outline::Outline) would find, be it JSON or not: which of the two looks
/// at an event depends on the pieces in which it came.
pub(super) fn is_plain(kind: StreamKind, data: &[u8]) -> bool {
    let data = data.trim_ascii();
    match kind {
        StreamKind::Other => !names_failure(data) && FINISH_REASON.find(data).is_none(),
        StreamKind::Chat | StreamKind::Completions => is_plain_chunk(data),
        StreamKind::Responses | StreamKind::Messages => {
            type_at_start(data).is_some_and(|name| EventType::of(name) == EventType::Other)
        }
    }
}

fn is_plain_chunk(chunk: &[u8]) -> bool {
    // In an object, which stands in no list, `[DONE]` is not the stream's end.
    if !(chunk.starts_with(b"{") && chunk.ends_with(b"}")) || names_failure(chunk) {
        return false;
    }
    all_are(&FINISH_REASON, b"null", chunk) && all_are(&INDEX, b"0", chunk)
}

fn names_failure(data: &[u8]) -> bool {
    ERROR.find(data).is_some() || RESPONSE_FAILED.find(data).is_some()
}

/// Whether each `"NAME"` is a key with this value, which needs no white space to be told from a longer one.
fn all_are(name: &Finder<'static>, value: &[u8], chunk: &[u8]) -> bool {
    name.find_iter(chunk).all(|at| {
        let after = chunk[at + name.needle().len()..].trim_ascii_start();
        let after = after.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        let after = after.and_then(|after| after.strip_prefix(value));
        matches!(after, Some([b',' | b'}', ..]))
    })
}

/// The type of an event that names it first, as providers do.
fn type_at_start(data: &[u8]) -> Option<&[u8]> {
    let value = data.strip_prefix(b"{\"type\":")?.trim_ascii_start();
    let name = value.strip_prefix(b"\"")?;
    Some(&name[..memchr(b'"', name)?])
}
