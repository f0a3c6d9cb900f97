//! What can be wrong with a form, and the bounds that it is held to.

use thiserror::Error;

use crate::body::MODEL_BYTES_MAX;

/// RFC 2046 §5.1.1.
pub(super) const BOUNDARY_BYTES_MAX: usize = 70;
/// The header lines of one part. Real ones take a tenth of it.
pub(super) const PART_HEADER_MAX_BYTES: usize = 8 * 1024;
/// Far more than any endpoint takes.
pub(super) const PARTS_MAX: usize = 1000;

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
