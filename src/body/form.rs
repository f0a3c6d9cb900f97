//! What routing needs from a form (RFC 7578), found by its boundary: a file is passed over, whatever is in it.

use memchr::memmem::{self, Finder};
use thiserror::Error;

use super::member::{Member, Seen};
use super::{Facts, MODEL_BYTES_MAX, Model, Notation};
use field::Field;
use parameters::Parameters;

mod field;
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
    /// A line without a colon, a folded line or one that ends in LF alone, a quote that does not end, a disposition or a
    /// name that is given twice, and what readers unescape differently.
    #[error("a part of the form has malformed headers (byte {offset})")]
    PartHeader { offset: usize },
    #[error("the form has more than {max} parts", max = PARTS_MAX)]
    TooManyParts,
    /// Some readers end a line at LF alone, and would find a part where others see content.
    #[error("a line of the form at byte {offset} ends in LF alone; lines end in CRLF")]
    BareLineEnd { offset: usize },
    #[error("the form does not begin with its boundary: something comes before it")]
    Preamble,
    #[error("something comes after the form's closing boundary (byte {offset})")]
    Epilogue { offset: usize },
    #[error(
        "the field at byte {offset} is one that some readers take for `{field}`; call it `{field}`, and send it once"
    )]
    FieldAlike { field: &'static str, offset: usize },
    #[error("the field `{field}` is given twice, the second time at byte {offset}; send it once")]
    FieldTwice { field: &'static str, offset: usize },
    #[error(
        "the field `{field}` at byte {offset} has a `content-transfer-encoding`; send it as it is (RFC 7578, section 4.7)"
    )]
    FieldEncoded { field: &'static str, offset: usize },
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
        let parameter = parameter.map_err(|_| FormError::BadBoundary)?;
        let is_boundary = parameter.name.eq_ignore_ascii_case(b"boundary");
        if parameter.is_extended(b"boundary") || (is_boundary && parameter.has_escape) {
            return Err(FormError::BadBoundary);
        }
        if is_boundary && found.replace(parameter.value).is_some() {
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
/// more behind it is content. What readers may disagree on is refused: lines that end in LF alone where they matter,
/// anything before the first delimiter or behind the closing one, and names that some take for one of ours.
///
/// # Errors
/// See [`FormError`].
pub fn scan_form(body: &[u8], boundary: &[u8]) -> Result<Facts, FormError> {
    let delimiter = [b"\n--", boundary].concat();
    let delimiters = Delimiters {
        body,
        finder: Finder::new(&delimiter),
    };
    let mut facts = Facts::default();
    let mut seen = Seen::default();
    let mut at = delimiters.first()?;
    for _ in 0..PARTS_MAX {
        let Delimiter::Opening { line_end } = at else {
            return Ok(facts);
        };
        let content = header_end(body, line_end)?;
        let field = Field::read(&body[line_end..content], line_end)?;
        // A part without content has one line's end between its headers and the next delimiter.
        let (end, next) = delimiters.next(content - CRLF.len())?;
        let value = content..end.max(content);
        let member = field.member(content)?;
        let again = member.is_some_and(|member| seen.again(member));
        match member {
            // It shares its line's end with the delimiter, so there is no place for another name.
            Some(Member::Model) if end < content => return Err(FormError::ModelEmpty { offset: content }),
            Some(Member::Model) => {
                let model = decode_model(value.start, &body[value.clone()])?;
                if let Some(first) = &facts.model {
                    return Err(FormError::ModelTwice {
                        first: first.span.start,
                        second: value.start,
                    });
                }
                facts.model = Some(model);
            }
            Some(member) if again => {
                return Err(FormError::FieldTwice {
                    field: member.name(),
                    offset: value.start,
                });
            }
            Some(Member::Stream) => {
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
    /// It looks for LF, two dashes and the boundary.
    finder: Finder<'body>,
}

impl Delimiters<'_> {
    /// The form's first delimiter, at its start or behind an empty line.
    fn first(&self) -> Result<Delimiter, FormError> {
        let line = &self.finder.needle()[1..];
        let begin = if self.body.starts_with(CRLF) { CRLF.len() } else { 0 };
        if self.body[begin..].starts_with(line)
            && let Some(delimiter) = self.judge(begin + line.len())?
        {
            return Ok(delimiter);
        }
        match self.next(0) {
            Ok(_) => Err(FormError::Preamble),
            Err(_) => Err(FormError::BoundaryNotFound),
        }
    }

    /// The next delimiter from `from` on, and where the content before it ends.
    fn next(&self, from: usize) -> Result<(usize, Delimiter), FormError> {
        let mut from = from;
        while let Some(found) = self.finder.find(&self.body[from..]) {
            let line_feed = from + found;
            let end = line_feed + self.finder.needle().len();
            if let Some(delimiter) = self.judge(end)? {
                return match self.body[..line_feed].ends_with(b"\r") {
                    true => Ok((line_feed - 1, delimiter)),
                    false => Err(FormError::BareLineEnd { offset: line_feed }),
                };
            }
            from = end;
        }
        Err(FormError::Truncated {
            offset: self.body.len(),
        })
    }

    /// What stands behind the boundary, at `end`: nothing but padding, two dashes, or content after all.
    fn judge(&self, end: usize) -> Result<Option<Delimiter>, FormError> {
        let rest = &self.body[end..];
        if let Some(epilogue) = rest.strip_prefix(b"--") {
            return match epilogue.iter().position(|byte| !byte.is_ascii_whitespace()) {
                None => Ok(Some(Delimiter::Closing)),
                Some(at) => Err(FormError::Epilogue { offset: end + 2 + at }),
            };
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let line_end = end + padding;
        match &rest[padding..] {
            [b'\r', b'\n', ..] => Ok(Some(Delimiter::Opening { line_end })),
            [b'\n', ..] => Err(FormError::BareLineEnd { offset: line_end }),
            _ => Ok(None),
        }
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
