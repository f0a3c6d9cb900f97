//! The headers of one part of a form: what its field is called.

use super::fault::FormError;
use super::parameters::{Parameter, Parameters};
use crate::body::member::{Member, Spelling};

#[derive(Default)]
pub(super) struct Field {
    /// `name` of its `content-disposition`.
    name: Option<Vec<u8>>,
    /// It names an encoding that some readers undo.
    is_encoded: bool,
}

impl Field {
    /// `offset` is where `header`, a part's header lines, stands in the body.
    pub(super) fn read(header: &[u8], offset: usize) -> Result<Self, FormError> {
        let malformed = || FormError::PartHeader { offset };
        if has_bare_line_end(header) {
            return Err(malformed());
        }
        let mut field = Self::default();
        let mut disposed = false;
        for line in header.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end) {
            if line.is_empty() {
                continue;
            }
            let colon = memchr::memchr(b':', line).ok_or_else(malformed)?;
            let (key, value) = (&line[..colon], &line[colon + 1..]);
            if key.is_empty() || key.iter().any(u8::is_ascii_whitespace) {
                return Err(malformed());
            }
            if key.eq_ignore_ascii_case(b"content-transfer-encoding") {
                field.is_encoded |= !is_identity(value.trim_ascii());
            }
            if !key.eq_ignore_ascii_case(b"content-disposition") {
                continue;
            }
            if std::mem::replace(&mut disposed, true) {
                return Err(malformed());
            }
            for parameter in Parameters::of(value) {
                let parameter = parameter.map_err(|_| malformed())?;
                if is_disputed(&parameter) {
                    return Err(malformed());
                }
                if parameter.name.eq_ignore_ascii_case(b"name") && field.name.replace(parameter.value).is_some() {
                    return Err(malformed());
                }
            }
        }
        Ok(field)
    }

    /// The member that the field is; its content stands at `offset`.
    pub(super) fn member(&self, offset: usize) -> Result<Option<Member>, FormError> {
        let Some((member, spelling)) = self.name.as_deref().and_then(Member::field_called) else {
            return Ok(None);
        };
        let field = member.name();
        match spelling {
            Spelling::Alike => Err(FormError::FieldAlike { field, offset }),
            Spelling::Exact if self.is_encoded => Err(FormError::FieldEncoded { field, offset }),
            Spelling::Exact => Ok(Some(member)),
        }
    }
}

/// Whether a CR or an LF stands alone: only some readers take it for the end of a line.
fn has_bare_line_end(header: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', b'\n', header).any(|at| match header[at] {
        b'\r' => header.get(at + 1) != Some(&b'\n'),
        _ => at == 0 || header[at - 1] != b'\r',
    })
}

/// Encodings that leave content as it is (RFC 2045 §6.2).
fn is_identity(encoding: &[u8]) -> bool {
    [&b"7bit"[..], b"8bit", b"binary"]
        .iter()
        .any(|identity| encoding.eq_ignore_ascii_case(identity))
}

/// Whether readers may disagree on what a `content-disposition` names because of this parameter: `name*` (RFC 8187), a
/// name with escapes, or a value in which those that know no escapes see a `name`.
fn is_disputed(parameter: &Parameter<'_>) -> bool {
    let hides_name = || {
        let value = parameter.value.to_ascii_lowercase();
        value.contains(&b'"') && memchr::memmem::find(&value, b"name").is_some()
    };
    parameter.is_extended(b"name")
        || (parameter.has_escape && (parameter.name.eq_ignore_ascii_case(b"name") || hides_name()))
}
