//! The parameters of a header value: `form-data; name="model"` (RFC 9110 §5.6.6).

/// Each parameter behind the value's first `;`. Ends at a fault.
pub(super) struct Parameters<'value> {
    rest: &'value [u8],
}

/// One parameter, with quotes and escapes taken off its value.
pub(super) struct Parameter<'value> {
    pub(super) name: &'value [u8],
    pub(super) value: Vec<u8>,
    /// Its value had a backslash, which not every reader takes for an escape.
    pub(super) has_escape: bool,
}

impl Parameter<'_> {
    /// Whether this is `name` in extended notation: `name*`, `name*0` (RFC 2231, RFC 8187).
    pub(super) fn is_extended(&self, name: &[u8]) -> bool {
        self.name.get(name.len()) == Some(&b'*') && self.name[..name.len()].eq_ignore_ascii_case(name)
    }
}

/// A parameter without `=`, or a quote that does not end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'value> Parameters<'value> {
    pub(super) fn of(value: &'value [u8]) -> Self {
        let first = memchr::memchr(b';', value).unwrap_or(value.len());
        Self { rest: &value[first..] }
    }

    fn parameter(&mut self) -> Result<Parameter<'value>, Malformed> {
        let equals = memchr::memchr2(b'=', b';', self.rest).ok_or(Malformed)?;
        if self.rest[equals] == b';' {
            return Err(Malformed);
        }
        let name = self.rest[..equals].trim_ascii();
        let value = self.rest[equals + 1..].trim_ascii_start();
        if let Some(quoted) = value.strip_prefix(b"\"") {
            let (value, rest) = unquoted(quoted)?;
            let has_escape = quoted.len() - rest.len() > value.len() + 1;
            self.rest = rest.trim_ascii_start();
            let ends = self.rest.is_empty() || self.rest.starts_with(b";");
            let parameter = Parameter {
                name,
                value,
                has_escape,
            };
            return if ends { Ok(parameter) } else { Err(Malformed) };
        }
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        self.rest = &value[end..];
        let value = value[..end].trim_ascii_end().to_vec();
        let has_escape = value.contains(&b'\\');
        Ok(Parameter {
            name,
            value,
            has_escape,
        })
    }
}

/// What stands before the closing quote, and what behind it.
fn unquoted(quoted: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((value, &quoted[at + 1..])),
            b'\\' => value.push(*bytes.next().ok_or(Malformed)?.1),
            _ => value.push(byte),
        }
    }
    Err(Malformed)
}

impl<'value> Iterator for Parameters<'value> {
    type Item = Result<Parameter<'value>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        // Empty parameters are no fault (`; ;`).
        while let Some(rest) = self.rest.strip_prefix(b";") {
            self.rest = rest.trim_ascii_start();
        }
        if self.rest.is_empty() {
            return None;
        }
        let parameter = self.parameter();
        if parameter.is_err() {
            self.rest = &[];
        }
        Some(parameter)
    }
}
