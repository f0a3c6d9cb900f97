//! The body as it goes to one target: the same bytes, with at most the `model` value replaced.

use std::array;

use bytes::Bytes;

use super::Facts;

/// A body in at most three pieces, to be written one after the other: what stands before the `model` value, the
/// value, what follows. Cloning and iterating copy nothing.
#[derive(Debug, Clone)]
pub struct Segments {
    pieces: [Bytes; 3],
}

impl Segments {
    /// The body's length in bytes: the request's `content-length`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(Bytes::is_empty)
    }

    /// The pieces in order; none of them is empty.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().filter(|piece| !piece.is_empty())
    }
}

/// A body that goes as it is.
impl From<Bytes> for Segments {
    fn from(body: Bytes) -> Self {
        Self {
            pieces: [body, Bytes::new(), Bytes::new()],
        }
    }
}

/// Owned pieces in order, none of them empty.
impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = std::iter::Filter<array::IntoIter<Bytes, 3>, fn(&Bytes) -> bool>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter().filter(|piece| !piece.is_empty())
    }
}

/// `body` with its `model` value replaced by `model`. `None`, or the name that it has already, leaves the value's own
/// spelling as it is; so does a body that names no model.
///
/// `facts` must come from a scan of this very `body`.
#[must_use]
pub fn segments(body: &Bytes, facts: &Facts, model: Option<&str>) -> Segments {
    match (&facts.model, model) {
        (Some(own), Some(model)) if model != own.name => Segments {
            pieces: [
                body.slice(..own.span.start),
                Bytes::from(own.notation.spell(model)),
                body.slice(own.span.end..),
            ],
        },
        _ => Segments::from(body.clone()),
    }
}

#[cfg(test)]
mod tests;
