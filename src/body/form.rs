//! What routing needs from a form (RFC 7578), found by its boundary: a file is passed over, whatever is in it.

use memchr::memmem::{self, Finder};
use thiserror::Error;

use super::{Facts, MODEL_BYTES_MAX, Model, Notation};
use parameters::Parameters;

mod parameters;

/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;
/// The header lines of one part. Real ones take a tenth of it.
const PART_HEADER_MAX_BYTES: usize = 8 * 1024;
/// Far more than any endpoint takes.
const PARTS_MAX: usize = 1000;

/// A form that can't be routed. `Display` is meant for the client; offsets count bytes from the body's start. No text
/// holds any part of the form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormError {
    #[error("`content-type` names no boundary: a form needs `multipart/form-data; boundary=…`")]
    NoBoundary,
    #[error("`content-type` has a boundary that is none: it is one value of 1 to {max} bytes", max = BOUNDARY_BYTES_MAX)]
    BadBoundary,
    #[error("the request body is not the form that `content-type` says: its boundary is not there")]
    BoundaryNotFound,
    #[error("the form is cut short: it has no closing boundary (byte {offset})")]
    Truncated { offset: usize },
    /// More than its bound, or without an end.
    #[error("a part of the form has more than {max} bytes of headers (byte {offset})", max = PART_HEADER_MAX_BYTES)]
    PartHeaderTooLong { offset: usize },
    /// A line without a colon, a folded line, a quote that does not end, a disposition or a name that is given twice.
    #[error("a part of the form has malformed headers (byte {offset})")]
    PartHeader { offset: usize },
    #[error("the form has more than {max} parts", max = PARTS_MAX)]
    TooManyParts,
    #[error("the form's `model` is given twice: at byte {first} and at byte {second}; send it once")]
    ModelTwice { first: usize, second: usize },
    #[error("the form's `model` has no content (byte {offset})")]
    ModelEmpty { offset: usize },
    #[error("the form's `model` is not valid UTF-8 (byte {offset})")]
    ModelNotUtf8 { offset: usize },
    #[error("the form's `model` holds a control character (byte {offset})")]
    ModelControlCharacter { offset: usize },
    #[error("the form's `model` is {length} bytes long; at most {max} are taken", max = MODEL_BYTES_MAX)]
    ModelTooLong { length: usize },
}

/// The boundary that a `content-type` of a `multipart` type names.
///
/// # Errors
/// [`FormError::NoBoundary`] and [`FormError::BadBoundary`].
pub fn boundary(content_type: &[u8]) -> Result<Vec<u8>, FormError> {
    let mut found = None;
    for parameter in Parameters::of(content_type) {
        let (name, value) = parameter.map_err(|_| FormError::BadBoundary)?;
        if name.eq_ignore_ascii_case(b"boundary") && found.replace(value).is_some() {
            return Err(FormError::BadBoundary);
        }
    }
    let found = found.ok_or(FormError::NoBoundary)?;
    let printable = found.iter().all(|byte| (0x20..0x7f).contains(byte)) && !found.ends_with(b" ");
    if found.is_empty() || found.len() > BOUNDARY_BYTES_MAX || !printable {
        return Err(FormError::BadBoundary);
    }
    Ok(found)
}

/// Finds the fields `model` and `stream` of the form `body`, wherever they stand. Lines end in CRLF.
///
/// What follows a delimiter decides whether it is one, as in other readers of forms: the boundary at a line's start with
/// more behind it is content. What follows the closing delimiter is not read.
///
/// # Errors
/// See [`FormError`].
pub fn scan_form(body: &[u8], boundary: &[u8]) -> Result<Facts, FormError> {
    let delimiter = [b"\r\n--", boundary].concat();
    let delimiters = Delimiters {
        body,
        finder: Finder::new(&delimiter),
    };
    let mut facts = Facts::default();
    let mut at = delimiters.first()?;
    for _ in 0..PARTS_MAX {
        let Delimiter::Opening { line_end } = at else {
            return Ok(facts);
        };
        let content = header_end(body, line_end)?;
        let field = field_name(&body[line_end..content], line_end)?;
        // A part without content has one line's end between its headers and the next delimiter.
        let (end, next) = delimiters.next(content - CRLF.len())?;
        let value = content..end.max(content);
        match field.as_deref() {
            // It shares its line's end with the delimiter, so there is no place for another name.
            Some(b"model") if end < content => return Err(FormError::ModelEmpty { offset: content }),
            Some(b"model") => {
                let model = decode_model(value.start, &body[value.clone()])?;
                if let Some(first) = &facts.model {
                    return Err(FormError::ModelTwice {
                        first: first.span.start,
                        second: value.start,
                    });
                }
                facts.model = Some(model);
            }
            Some(b"stream") => {
                facts.stream = body[value.clone()].eq_ignore_ascii_case(b"true") || body[value] == *b"1";
            }
            _ => {}
        }
        at = next;
    }
    match at {
        Delimiter::Closing => Ok(facts),
        Delimiter::Opening { .. } => Err(FormError::TooManyParts),
    }
}

const CRLF: &[u8] = b"\r\n";

enum Delimiter {
    /// A part begins behind it; `line_end` is where the CRLF that ends its line stands.
    Opening {
        line_end: usize,
    },
    Closing,
}

struct Delimiters<'body> {
    body: &'body [u8],
    /// Of CRLF, two dashes and the boundary.
    finder: Finder<'body>,
}

impl Delimiters<'_> {
    /// The form's first delimiter: at its start, or behind a preamble.
    fn first(&self) -> Result<Delimiter, FormError> {
        let line = &self.finder.needle()[CRLF.len()..];
        if self.body.starts_with(line)
            && let Some(delimiter) = self.judge(line.len())
        {
            return Ok(delimiter);
        }
        match self.next(0) {
            Ok((_, delimiter)) => Ok(delimiter),
            Err(_) => Err(FormError::BoundaryNotFound),
        }
    }

    /// The next delimiter from `from` on, and where the content before it ends.
    fn next(&self, from: usize) -> Result<(usize, Delimiter), FormError> {
        let mut from = from;
        while let Some(found) = self.finder.find(&self.body[from..]) {
            let begin = from + found;
            let end = begin + self.finder.needle().len();
            if let Some(delimiter) = self.judge(end) {
                return Ok((begin, delimiter));
            }
            from = end;
        }
        Err(FormError::Truncated {
            offset: self.body.len(),
        })
    }

    /// What stands behind the boundary, at `end`: nothing but padding, two dashes, or content after all.
    fn judge(&self, end: usize) -> Option<Delimiter> {
        let rest = &self.body[end..];
        if rest.starts_with(b"--") {
            return Some(Delimiter::Closing);
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        rest[padding..].starts_with(CRLF).then_some(Delimiter::Opening {
            line_end: end + padding,
        })
    }
}

/// Where a part's content begins; its header lines begin with the CRLF at `line_end`.
fn header_end(body: &[u8], line_end: usize) -> Result<usize, FormError> {
    let until = body.len().min(line_end + PART_HEADER_MAX_BYTES);
    match memmem::find(&body[line_end..until], b"\r\n\r\n") {
        Some(found) => Ok(line_end + found + 4),
        None if until == body.len() => Err(FormError::Truncated { offset: until }),
        None => Err(FormError::PartHeaderTooLong { offset: line_end }),
    }
}

/// The `name` in a part's `content-disposition`. `offset` is where `header` stands in the body.
fn field_name(header: &[u8], offset: usize) -> Result<Option<Vec<u8>>, FormError> {
    let malformed = FormError::PartHeader { offset };
    let mut disposed = false;
    let mut name = None;
    for line in header.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end) {
        if line.is_empty() {
            continue;
        }
        let colon = memchr::memchr(b':', line).ok_or_else(|| malformed.clone())?;
        let (key, value) = (&line[..colon], &line[colon + 1..]);
        if key.is_empty() || key.iter().any(u8::is_ascii_whitespace) {
            return Err(malformed);
        }
        if !key.eq_ignore_ascii_case(b"content-disposition") {
            continue;
        }
        if std::mem::replace(&mut disposed, true) {
            return Err(malformed);
        }
        for parameter in Parameters::of(value) {
            let (key, value) = parameter.map_err(|_| malformed.clone())?;
            if key.eq_ignore_ascii_case(b"name") && name.replace(value).is_some() {
                return Err(malformed);
            }
        }
    }
    Ok(name)
}

fn decode_model(offset: usize, value: &[u8]) -> Result<Model, FormError> {
    if value.len() > MODEL_BYTES_MAX {
        return Err(FormError::ModelTooLong { length: value.len() });
    }
    let name = std::str::from_utf8(value).map_err(|_| FormError::ModelNotUtf8 { offset })?;
    if name.chars().any(char::is_control) {
        return Err(FormError::ModelControlCharacter { offset });
    }
    Ok(Model {
        name: name.to_owned(),
        span: offset..offset + value.len(),
        notation: Notation::Text,
    })
}

#[cfg(test)]
mod tests;
