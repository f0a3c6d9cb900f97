//! Percent-encoding (RFC 3986 §2.1), in one place.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode};

/// Everything but unreserved characters (RFC 3986 §2.3): for a name or a value of a query.
pub const QUERY_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Everything that must be escaped in a segment of a path (RFC 3986 §3.3, `pchar`).
pub const SEGMENT: &AsciiSet = &QUERY_PART
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Everything but printable ASCII.
pub const UNPRINTABLE: &AsciiSet = CONTROLS;

/// A `%` that two hexadecimal digits do not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Decodes `text` to bytes.
///
/// # Errors
/// An escape is malformed, like `%+A` or a `%` at the end.
pub fn decoded(text: &str) -> Result<Cow<'_, [u8]>, Malformed> {
    let bytes = text.as_bytes();
    let is_escape = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    match memchr::memchr_iter(b'%', bytes).all(is_escape) {
        true => Ok(percent_decode_str(text).into()),
        false => Err(Malformed),
    }
}

/// Escapes every byte of `text` that is in `set` or beyond ASCII.
pub fn encoded<'a>(text: &'a str, set: &'static AsciiSet) -> PercentEncode<'a> {
    utf8_percent_encode(text, set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_two_hexadecimal_digits() {
        assert_eq!(decoded("a%2Fb%c3%BC").as_deref(), Ok("a/bü".as_bytes()));
        assert_eq!(decoded("plain").as_deref(), Ok(&b"plain"[..]));
        for text in ["%", "%2", "%+A", "% A", "%-1", "a%2", "%zz", "%%41"] {
            assert_eq!(decoded(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let text: String = (0..=0x2ff).filter_map(char::from_u32).collect();
        for set in [QUERY_PART, SEGMENT] {
            let encoded: String = encoded(&text, set).to_string();
            assert!(encoded.is_ascii() && !encoded.contains(['/', '?', '#', ' ', '\\']));
            assert_eq!(decoded(&encoded).as_deref(), Ok(text.as_bytes()));
        }
    }
}
