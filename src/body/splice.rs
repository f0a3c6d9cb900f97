//! The body as it goes to one target: the same bytes, but for the `model` value and the members that its configuration
//! changes.

use bytes::Bytes;

use super::{Edits, Facts, Notation};

/// A body in pieces, to be written one after the other, none of them empty. Cloning and iterating copy no bytes.
#[derive(Debug, Clone)]
pub struct Segments {
    pieces: Vec<Bytes>,
}

impl Segments {
    fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
        }
    }

    /// The body's length in bytes: the request's `content-length`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The pieces in order.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }
}

/// A body that goes as it is.
impl From<Bytes> for Segments {
    fn from(body: Bytes) -> Self {
        Self::new([body])
    }
}

/// Owned pieces in order.
impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = std::vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter()
    }
}

/// `body` with its `model` value replaced by `model`, and with these edits. `None`, or the name that it has already, leaves the
/// value's own spelling as it is; so does a body that names no model. A form is not edited.
///
/// `facts` must come from a scan of this very `body`.
#[must_use]
pub fn segments(body: &Bytes, facts: &Facts, model: Option<&str>, edits: Edits<'_>) -> Segments {
    let own = facts.model.as_ref();
    let renamed = own
        .zip(model)
        .filter(|(own, model)| *model != own.name)
        .map(|(own, model)| (own.span.clone(), Bytes::from(own.notation.spell(model))));
    let is_form = own.is_some_and(|own| own.notation != Notation::Json);
    if !edits.is_empty()
        && !is_form
        && let Some(pieces) = edits.apply(body, renamed.as_ref())
    {
        return Segments::new(pieces);
    }
    match renamed {
        Some((span, name)) => Segments::new([body.slice(..span.start), name, body.slice(span.end..)]),
        None => Segments::from(body.clone()),
    }
}

#[cfg(test)]
mod tests;
