//! The header of an HTTP/1 request as it came: where it ends, and how its body is framed.
//!
//! It is checked before any server reads it, and strictly: what two servers could read in two ways is refused, for the second
//! of them may be an upstream that then sees a request which nobody checked (request smuggling; RFC 9112, section 11.2).

use memchr::memchr;
use thiserror::Error;

/// The most bytes of a request's header, its first line included. nginx accepts as many by default.
pub const HEADER_MAX_BYTES: usize = 32 * 1024;
/// No method's name is longer.
const METHOD_MAX_BYTES: usize = 32;
/// The most fields that a header may have.
const FIELDS_MAX: usize = 200;

/// Why a request is refused for its header alone. `Display` is what the client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderFault {
    #[error("this is no HTTP request: its first line must be `METHOD /path HTTP/1.1` (RFC 9112, section 3)")]
    RequestLine,
    #[error("HTTP/1.1 and HTTP/1.0 are spoken here, and HTTP/2 where the listener has TLS or `h2c`")]
    Version,
    #[error("the method CONNECT is not served here")]
    Connect,
    #[error("the request's first line is longer than {HEADER_MAX_BYTES} bytes, the most that is taken here")]
    TargetTooLong,
    #[error(
        "the request header is larger than {HEADER_MAX_BYTES} bytes or {FIELDS_MAX} fields, the most that is taken here"
    )]
    TooLarge,
    #[error("a line of the request header ends with a line feed alone; lines end with CR LF (RFC 9112, section 2.2)")]
    BareLineFeed,
    #[error("a field of the request header goes on in the next line, which is obsolete (RFC 9112, section 5.2)")]
    Folded,
    #[error(
        "a field name in the request header is none: letters, digits and `-` come directly before the `:` (RFC 9112, section 5.1)"
    )]
    FieldName,
    #[error("a field value in the request header has a control character (RFC 9110, section 5.5)")]
    FieldValue,
    #[error(
        "the request needs exactly one valid `host` field, the same as in an absolute target (RFC 9112, section 3.2)"
    )]
    Host,
    #[error("the request's `content-length` must be there once, and be digits alone (RFC 9110, section 8.6)")]
    ContentLength,
    #[error("the request's `transfer-encoding` must be `chunked` alone, in HTTP/1.1 (RFC 9112, section 6.1)")]
    TransferEncoding,
    #[error("the request has both `content-length` and `transfer-encoding`; send one of them (RFC 9112, section 6.1)")]
    TwoFramings,
    #[error("the request header did not arrive in time")]
    Slow,
}

impl HeaderFault {
    /// The status of the refusal.
    pub fn status(self) -> u16 {
        match self {
            Self::Connect => 405,
            Self::Slow => 408,
            Self::TargetTooLong => 414,
            Self::TooLarge => 431,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// The word for programs, as in the error's `code`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Connect => "method_not_allowed",
            Self::Slow => "request_timeout",
            Self::TargetTooLong => "uri_too_long",
            Self::TooLarge => "headers_too_large",
            Self::Version => "http_version_not_supported",
            _ => "malformed_request",
        }
    }
}

/// How a request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// The length that `content-length` gives; 0 where there is neither that nor `transfer-encoding`.
    Length(u64),
    Chunked,
}

/// What the reader of the connection needs to know of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFraming {
    pub body: BodyFraming,
    /// The request asks for another protocol: after a 101, what follows is not HTTP.
    pub asks_upgrade: bool,
}

/// Returns the length of the header that `bytes` begin with, its empty line included. `None`: it is not complete yet.
/// `seen` bytes were searched before.
///
/// Lines that end with a line feed alone also end it, so that they are refused at once instead of being waited for.
pub fn header_len(bytes: &[u8], seen: usize) -> Option<usize> {
    let mut at = seen.saturating_sub(3);
    while let Some(found) = memchr(b'\n', &bytes[at..]) {
        at += found + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Returns whether a request may begin with `bytes`, however few they are.
pub fn may_be_request(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(METHOD_MAX_BYTES + 1)];
    let method = start.split(|&byte| byte == b' ').next().unwrap_or(start);
    bytes.is_empty() || (is_token(method) && method.len() <= METHOD_MAX_BYTES)
}

/// Checks a complete header.
///
/// # Errors
/// The first fault that is found.
pub fn check_header(header: &[u8]) -> Result<RequestFraming, HeaderFault> {
    let mut lines = Lines(header);
    let line = lines.next().ok_or(HeaderFault::RequestLine)??;
    let RequestLine { target, is_http_10, .. } = request_line(line)?;
    let mut host = None;
    let mut length = None;
    let mut is_chunked = false;
    let mut asks_upgrade = false;
    let mut fields = 0;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        fields += 1;
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            if host.replace(value).is_some() {
                return Err(HeaderFault::Host);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if length
                .replace(digits(value).ok_or(HeaderFault::ContentLength)?)
                .is_some()
            {
                return Err(HeaderFault::ContentLength);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || is_http_10 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeaderFault::TransferEncoding);
            }
            is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            asks_upgrade = true;
        }
    }
    if fields > FIELDS_MAX {
        return Err(HeaderFault::TooLarge);
    }
    check_host(host, target, is_http_10)?;
    let body = match (length, is_chunked) {
        (Some(_), true) => return Err(HeaderFault::TwoFramings),
        (None, true) => BodyFraming::Chunked,
        (length, false) => BodyFraming::Length(length.unwrap_or(0)),
    };
    Ok(RequestFraming { body, asks_upgrade })
}

/// Extracts what a log may show of the first line: the method, and the path without its query. `None` where there is no
/// such line.
pub fn method_and_path(header: &[u8]) -> Option<(&str, &str)> {
    let line = Lines(header).next()?.ok()?;
    let RequestLine { method, target, .. } = request_line(line).ok()?;
    let end = memchr(b'?', target).unwrap_or(target.len());
    let path = std::str::from_utf8(&target[..end]).ok()?;
    let is_plain = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    Some((std::str::from_utf8(method).ok()?, path)).filter(|_| is_plain)
}

/// A header's lines without their ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], HeaderFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Some(line.strip_suffix(b"\r").ok_or(HeaderFault::BareLineFeed))
    }
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    is_http_10: bool,
}

fn request_line(line: &[u8]) -> Result<RequestLine<'_>, HeaderFault> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HeaderFault::RequestLine);
    };
    let is_target = target.first().is_some_and(|&first| first == b'/')
        || target == b"*"
        || authority(target).is_some()
        || method == b"CONNECT";
    if !is_token(method) || !is_target || target.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return Err(HeaderFault::RequestLine);
    }
    let is_http_10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        other if other.starts_with(b"HTTP/") => return Err(HeaderFault::Version),
        _ => return Err(HeaderFault::RequestLine),
    };
    if method == b"CONNECT" {
        return Err(HeaderFault::Connect);
    }
    Ok(RequestLine {
        method,
        target,
        is_http_10,
    })
}

/// The authority of a target in absolute form: `a:1` of `http://a:1/b`.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let rest =
        strip_prefix_ignoring_case(target, b"http://").or_else(|| strip_prefix_ignoring_case(target, b"https://"))?;
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    Some(&rest[..end])
}

fn strip_prefix_ignoring_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Splits a field line into name and value.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), HeaderFault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(HeaderFault::Folded);
    }
    let colon = memchr(b':', line).ok_or(HeaderFault::FieldName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(HeaderFault::FieldName);
    }
    if value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        return Err(HeaderFault::FieldValue);
    }
    Ok((name, value.trim_ascii()))
}

fn check_host(host: Option<&[u8]>, target: &[u8], is_http_10: bool) -> Result<(), HeaderFault> {
    let Some(host) = host else {
        return if is_http_10 { Ok(()) } else { Err(HeaderFault::Host) };
    };
    let (name, port) = match host.iter().rposition(|&byte| byte == b':') {
        // The colons of an IPv6 address are within brackets.
        Some(colon) if !host.ends_with(b"]") => (&host[..colon], &host[colon + 1..]),
        _ => (host, &b""[..]),
    };
    let is_name = match name.strip_prefix(b"[") {
        Some(address) => address.strip_suffix(b"]").is_some_and(|address| {
            address
                .iter()
                .all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte))
        }),
        None => name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte)),
    };
    let agrees = authority(target).is_none_or(|authority| authority == host);
    if name.is_empty() || !is_name || !port.iter().all(u8::is_ascii_digit) || !agrees {
        return Err(HeaderFault::Host);
    }
    Ok(())
}

/// Returns whether a field value is a valid `content-length`.
pub fn is_length(value: &[u8]) -> bool {
    digits(value).is_some()
}

/// A number without sign, space or list, as RFC 9110 §8.6 writes a length.
fn digits(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A token of RFC 9110 §5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests;
