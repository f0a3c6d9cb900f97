//! Walks over JSON at the speed at which it can be read: most of a large body is the inside of long strings.
//!
//! The grammar is checked as `serde_json` checks it (RFC 8259, at any depth, without recursion), but no fault is described: whoever
//! is told that something is no JSON asks `serde_json` what and where.

const BLOCK_BYTES: usize = 16;

/// Calls `member` with the name, its quotes and escapes included, and the value of each member of the object `json`, as they
/// stand. `None`: it is no JSON object, or `member` has said so.
pub fn members<'json>(json: &'json [u8], mut member: impl FnMut(&'json [u8], &'json [u8]) -> Option<()>) -> Option<()> {
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
        match byte(json, at)? {
            b'"' => return Some(at + 1),
            // Text beyond ASCII is often nothing but escapes, one after the other.
            b'\\' => at = after_escape(json, at + 1)?,
            0..0x20 => return None,
            _ => at += 1 + plain_bytes(&json[at + 1..]),
        }
    }
}

/// How many bytes at the beginning of `text` neither end a string, nor escape, nor have no place in one. Fewer where `text`
/// ends.
pub(super) fn plain_bytes(text: &[u8]) -> usize {
    let mut plain = 0;
    while let Some(block) = text[plain..].first_chunk::<BLOCK_BYTES>() {
        if let Some(at) = first_mark(block) {
            return plain + at;
        }
        plain += BLOCK_BYTES;
    }
    if let Some(word) = text[plain..].first_chunk::<8>() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return plain + marks.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    plain
}

/// Finds the first byte of `block` that is a quote, a backslash or a control character, all bytes at once.
#[cfg(target_arch = "x86_64")]
#[allow(
    unsafe_code,
    reason = "the compiler makes four times as many instructions of a loop over the bytes"
)]
#[inline]
fn first_mark(block: &[u8; BLOCK_BYTES]) -> Option<usize> {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: these are instructions of SSE2, which every x86_64 processor has, and only the block is read.
    let marks = unsafe {
        let block = _mm_loadu_si128(block.as_ptr().cast());
        let each = |byte: u8| _mm_set1_epi8(byte.cast_signed());
        let quotes = _mm_cmpeq_epi8(block, each(b'"'));
        let backslashes = _mm_cmpeq_epi8(block, each(b'\\'));
        let controls = _mm_cmpeq_epi8(block, _mm_min_epu8(block, each(0x1f)));
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls))
    };
    (marks != 0).then(|| marks.trailing_zeros() as usize)
}

/// Finds the first byte of `block` that is a quote, a backslash or a control character, eight bytes at a time.
#[cfg(not(target_arch = "x86_64"))]
fn first_mark(block: &[u8; BLOCK_BYTES]) -> Option<usize> {
    let block = u128::from_le_bytes(*block);
    let halves = [(0, block as u64), (8, (block >> 64) as u64)];
    halves.into_iter().find_map(|(offset, half)| {
        let marks = marks(half);
        (marks != 0).then(|| offset + marks.trailing_zeros() as usize / 8)
    })
}

/// The high bit of the first byte of `word`, and perhaps of some behind it, that is a quote, a backslash or a control character.
/// (Subtracting borrows from the byte behind only where the byte itself is one of these.)
fn marks(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let zeros = |word: u64| word.wrapping_sub(EACH) & !word;
    let quotes = zeros(word ^ (EACH * u64::from(b'"')));
    let backslashes = zeros(word ^ (EACH * u64::from(b'\\')));
    let controls = word.wrapping_sub(EACH * u64::from(b' ')) & !word;
    (quotes | backslashes | controls) & (EACH << 7)
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
