//! Walks over JSON at the speed at which it can be read: most of a large body is the inside of long strings.
//!
//! The grammar is checked as `serde_json` checks it (RFC 8259, at any depth, without recursion), but no fault is described: whoever
//! is told that something is no JSON asks `serde_json` what and where.

use memchr::memchr2;

/// Calls `member` with the name, its quotes and escapes included, and the value of each member of the object `json`, as they
/// stand. `None`: it is no JSON object, or `member` has said so.
pub(super) fn members<'json>(
    json: &'json [u8],
    mut member: impl FnMut(&'json [u8], &'json [u8]) -> Option<()>,
) -> Option<()> {
    let mut open = Vec::new();
    let mut at = after_blank(json, 0);
    at = expect(json, at, b'{')?;
    at = after_blank(json, at);
    if byte(json, at)? == b'}' {
        return is_end(json, at + 1);
    }
    loop {
        let name = at;
        at = after_name(json, at)?;
        let name_end = at;
        at = expect(json, after_blank(json, at), b':')?;
        let value = after_blank(json, at);
        at = after_value(json, value, &mut open)?;
        member(&json[name..name_end], &json[value..at])?;
        at = after_blank(json, at);
        match byte(json, at)? {
            b',' => at = after_blank(json, at + 1),
            b'}' => return is_end(json, at + 1),
            _ => return None,
        }
    }
}

/// Only blanks follow.
fn is_end(json: &[u8], at: usize) -> Option<()> {
    (after_blank(json, at) == json.len()).then_some(())
}

/// The end of the value that begins at `at`. `open` is empty before and after; it is lent so that it is allocated once.
fn after_value(json: &[u8], mut at: usize, open: &mut Vec<u8>) -> Option<usize> {
    loop {
        at = after_blank(json, at);
        match byte(json, at)? {
            b'"' => at = after_string(json, at + 1)?,
            b'-' | b'0'..=b'9' => at = after_number(json, at)?,
            b't' => at = after_literal(json, at, b"true")?,
            b'f' => at = after_literal(json, at, b"false")?,
            b'n' => at = after_literal(json, at, b"null")?,
            kind @ (b'{' | b'[') => {
                at = after_blank(json, at + 1);
                if byte(json, at)? == closing(kind) {
                    at += 1;
                } else {
                    open.push(kind);
                    if kind == b'{' {
                        at = after_name_and_colon(json, at)?;
                    }
                    continue;
                }
            }
            _ => return None,
        }
        // A value has ended; with it may end those that it is in.
        loop {
            let Some(&kind) = open.last() else {
                return Some(at);
            };
            at = after_blank(json, at);
            match byte(json, at)? {
                b',' if kind == b'{' => {
                    at = after_name_and_colon(json, after_blank(json, at + 1))?;
                    break;
                }
                b',' => {
                    at += 1;
                    break;
                }
                other if other == closing(kind) => {
                    open.pop();
                    at += 1;
                }
                _ => return None,
            }
        }
    }
}

fn closing(opening: u8) -> u8 {
    if opening == b'{' { b'}' } else { b']' }
}

fn after_name_and_colon(json: &[u8], at: usize) -> Option<usize> {
    let at = after_name(json, at)?;
    expect(json, after_blank(json, at), b':')
}

fn after_name(json: &[u8], at: usize) -> Option<usize> {
    after_string(json, expect(json, at, b'"')?)
}

/// `at` is behind the opening quote.
fn after_string(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = json.get(at..)?;
        let run = memchr2(b'"', b'\\', rest)?;
        // Control characters have no place in a string.
        if rest[..run].iter().fold(u8::MAX, |least, &byte| least.min(byte)) < b' ' {
            return None;
        }
        at += run + 1;
        if rest[run] == b'"' {
            return Some(at);
        }
        at = after_escape(json, at)?;
    }
}

/// `at` is behind the backslash.
fn after_escape(json: &[u8], at: usize) -> Option<usize> {
    match byte(json, at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = json.get(at + 1..at + 5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
        }
        _ => None,
    }
}

fn after_number(json: &[u8], mut at: usize) -> Option<usize> {
    if json[at] == b'-' {
        at += 1;
    }
    at = match byte(json, at)? {
        b'0' => at + 1,
        b'1'..=b'9' => after_digits(json, at),
        _ => return None,
    };
    // `01`
    if json.get(at).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if json.get(at) == Some(&b'.') {
        at = after_some_digits(json, at + 1)?;
    }
    if matches!(json.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(json.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = after_some_digits(json, at)?;
    }
    Some(at)
}

fn after_some_digits(json: &[u8], at: usize) -> Option<usize> {
    Some(after_digits(json, at)).filter(|&end| end > at)
}

fn after_digits(json: &[u8], at: usize) -> usize {
    let digits = json[at..].iter().take_while(|byte| byte.is_ascii_digit());
    at + digits.count()
}

fn after_literal(json: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    json[at..].starts_with(literal).then_some(at + literal.len())
}

fn after_blank(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    let blanks = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'\r'));
    at + blanks.count()
}

fn expect(json: &[u8], at: usize, wanted: u8) -> Option<usize> {
    (byte(json, at)? == wanted).then_some(at + 1)
}

fn byte(json: &[u8], at: usize) -> Option<u8> {
    json.get(at).copied()
}
