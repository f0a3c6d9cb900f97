//! A provider's words, made fit to be kept and shown: short, on one line, without keys, and without the prompt, which a
//! provider may quote.

use crate::notation::key_like;
use memchr::memmem;

mod texts;

/// How much is kept, in characters.
const KEPT_MAX_CHARS: usize = 200;
/// How much is examined, in characters.
const READ_MAX_CHARS: usize = 400;
/// A run of this length that is in the request too is a quotation of it. Shorter ones are ordinary words: `messages`,
/// the name of a model or of a parameter. It counts bytes, so fewer characters suffice if each takes several.
const QUOTED_MIN_BYTES: usize = 24;
/// A run of this length is a quotation of what somebody wrote; so is the whole of a text, however short, from
/// [`SECRET_MIN_BYTES`] on.
const SAID_MIN_BYTES: usize = 12;
/// If the same few bytes occur in the request more often, they are taken for a quotation.
const PLACES_MAX: usize = 64;
/// Larger requests are not searched, since that takes some milliseconds for each part of a message. Nothing is kept of
/// what is said about them.
const REQUEST_MAX_BYTES: usize = 2 << 20;
/// Shorter values are not treated as secrets; they would be found in any text.
const SECRET_MIN_BYTES: usize = 4;

const GAP: char = '…';

/// Returns `message` as it may be kept, or `None` if nothing is left of it. Hidden parts leave a `…`.
///
/// `request` is the body that it is about, as the client sent it (decompressed).
pub fn clean<'a>(message: &str, secrets: impl Iterator<Item = &'a str>, request: &[u8]) -> Option<String> {
    let message = beginning(message);
    let mut hidden = vec![request.len() > REQUEST_MAX_BYTES; message.len()];
    for secret in secrets.filter(|secret| secret.len() >= SECRET_MIN_BYTES) {
        for (at, _) in message.match_indices(secret) {
            hidden[at..at + secret.len()].fill(true);
        }
    }
    for key in key_like::perhaps(message) {
        hidden[key].fill(true);
    }
    if request.len() <= REQUEST_MAX_BYTES {
        hide_quotations(message.as_bytes(), request, QUOTED_MIN_BYTES, &mut hidden);
        if memchr::memchr(b'\\', request).is_some() {
            hide_quotations(message.as_bytes(), &unescaped(request), QUOTED_MIN_BYTES, &mut hidden);
        }
        hide_texts(message, &texts::of(request), &mut hidden);
    }
    let shown = on_one_line(message, &hidden);
    (!shown.is_empty()).then_some(shown)
}

/// Returns the first [`READ_MAX_CHARS`], without the word that the cut goes through: half a key is not recognised as
/// one.
fn beginning(message: &str) -> &str {
    match message.char_indices().nth(READ_MAX_CHARS) {
        None => message,
        Some((end, _)) => {
            let cut = &message[..end];
            &cut[..cut.rfind(char::is_whitespace).unwrap_or(0)]
        }
    }
}

/// Marks the parts of `message` that quote `texts`.
fn hide_texts(message: &str, texts: &[String], hidden: &mut [bool]) {
    // No message has a NUL, so no quotation spans two texts.
    hide_quotations(message.as_bytes(), texts.join("\0").as_bytes(), SAID_MIN_BYTES, hidden);
    let short = texts.iter().map(|text| text.trim());
    for text in short.filter(|text| (SECRET_MIN_BYTES..SAID_MIN_BYTES).contains(&text.len())) {
        for (at, _) in message.match_indices(text) {
            hidden[at..at + text.len()].fill(true);
        }
    }
}

/// Marks the parts that `message` has in common with `request`, in runs of at least `min_bytes`.
fn hide_quotations(message: &[u8], request: &[u8], min_bytes: usize, hidden: &mut [bool]) {
    // Each quotation has one of these whole, wherever it begins.
    let step_bytes = min_bytes / 2;
    for (index, window) in message.chunks_exact(step_bytes).enumerate() {
        let start = index * step_bytes;
        for (place, at) in memmem::find_iter(request, window).enumerate() {
            if place == PLACES_MAX {
                hidden[start..start + step_bytes].fill(true);
                break;
            }
            let before = std::iter::zip(message[..start].iter().rev(), request[..at].iter().rev());
            let from = start - before.take_while(|(a, b)| a == b).count();
            let after = std::iter::zip(&message[start..], &request[at..]);
            let to = start + after.take_while(|(a, b)| a == b).count();
            if to - from >= min_bytes {
                hidden[from..to].fill(true);
            }
        }
    }
}

/// Undoes JSON's escapes, wherever they are. Invalid ones stay.
fn unescaped(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (char, length) = escape(rest).unwrap_or(('\\', 1));
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
    out
}

/// The escape at the start of `text`, and its length.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let char = match text.get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        &plain @ (b'"' | b'\\' | b'/') => char::from(plain),
        b'u' => {
            let high = unit(text)?;
            if let Some(char) = char::from_u32(high) {
                return Some((char, 6));
            }
            let low = unit(&text[6..])?;
            let pair = char::decode_utf16([u16::try_from(high).ok()?, u16::try_from(low).ok()?]).next()?;
            return Some((pair.ok()?, 12));
        }
        _ => return None,
    };
    Some((char, 2))
}

/// Reads `\u12AB`.
fn unit(text: &[u8]) -> Option<u32> {
    let hex = text.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

/// Replaces white space and control characters by one space, and what is `hidden` by one [`GAP`]; keeps at most
/// [`KEPT_MAX_CHARS`].
fn on_one_line(message: &str, hidden: &[bool]) -> String {
    let mut out = String::new();
    let mut chars = 0;
    for (at, char) in message.char_indices() {
        let char = if hidden[at..at + char.len_utf8()].contains(&true) {
            GAP
        } else if char.is_whitespace() || char.is_control() || is_invisible(char) {
            ' '
        } else {
            char
        };
        let is_repeated = matches!(char, GAP | ' ') && out.ends_with(char) || char == ' ' && out.is_empty();
        if is_repeated {
            continue;
        }
        if chars == KEPT_MAX_CHARS - 1 {
            out.push(GAP);
            break;
        }
        out.push(char);
        chars += 1;
    }
    out.trim_end().to_owned()
}

/// Returns whether `char` changes how others are shown: marks of direction, joiners, and the like.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
