//! What routing needs from a form (RFC 7578), found by its boundary: a file is passed over, whatever is in it.

use memchr::memmem::{self, Finder};

use super::member::{Member, Seen};
use super::{Facts, MODEL_BYTES_MAX, Model, Notation};
use fault::{BOUNDARY_BYTES_MAX, PART_HEADER_MAX_BYTES, PARTS_MAX};
use field::Field;
use parameters::Parameters;

mod fault;
mod field;
mod parameters;

pub use fault::FormError;

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
