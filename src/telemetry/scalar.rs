//! A record's fields, one by one, as the few types that the formats tell apart.

use std::fmt::{self, Write};

use log::kv::{Error, Key, Source, Value, VisitSource, VisitValue};

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Unsigned(u64),
    Signed(i64),
    /// Finite.
    Float(f64),
    Bool(bool),
    Text(&'a str),
}

/// Text, JSON and the journal write numbers and booleans the same way, and text unchanged.
impl Scalar<'_> {
    /// Appends it as it is displayed.
    pub(super) fn push_to(self, out: &mut String) {
        match self {
            Self::Unsigned(value) => out.push_str(itoa::Buffer::new().format(value)),
            Self::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Self::Text(value) => out.push_str(value),
            Self::Signed(_) | Self::Float(_) => {
                // Writing to a string can't fail.
                let _ = write!(out, "{self}");
            }
        }
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// Calls `write` with each field that has a value.
pub(super) fn each_field(fields: &dyn Source, write: &mut dyn FnMut(&str, Scalar<'_>)) {
    // Neither visitor ever returns an error.
    let _ = fields.visit(&mut Fields { write });
}

struct Fields<'w> {
    write: &'w mut dyn FnMut(&str, Scalar<'_>),
}

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        value.visit(Field {
            key: key.as_str(),
            write: self.write,
        })
    }
}

struct Field<'k, 'w> {
    key: &'k str,
    write: &'w mut dyn FnMut(&str, Scalar<'_>),
}

impl Field<'_, '_> {
    fn write(&mut self, scalar: Scalar<'_>) -> Result<(), Error> {
        (self.write)(self.key, scalar);
        Ok(())
    }
}

impl<'v> VisitValue<'v> for Field<'_, '_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        self.write(Scalar::Text(&value.to_string()))
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.write(Scalar::Unsigned(value))
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.write(Scalar::Signed(value))
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        if value.is_finite() {
            self.write(Scalar::Float(value))
        } else {
            self.write(Scalar::Text(&value.to_string()))
        }
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.write(Scalar::Bool(value))
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        self.write(Scalar::Text(value))
    }
}
