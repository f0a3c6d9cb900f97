//! A request's body, ready to be sent to one target after the other.

use bytes::Bytes;

use super::{Encoding, EncodingError, Facts, Segments, segments};

/// A body as it came, and what was read from it.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// As the client sent it.
    raw: Bytes,
    /// Where `raw` is compressed: what `facts` was read from.
    decoded: Option<Bytes>,
    facts: Facts,
}

/// A body as it goes to one target.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub segments: Segments,
    /// It came compressed and goes plain: its `content-encoding` no longer holds.
    pub is_decoded: bool,
}

impl Replay {
    /// Takes a whole body, and reads `facts` from what it says once its `encoding` is undone.
    ///
    /// # Errors
    /// Those of [`Encoding::decode`], which takes `max_bytes`, and those of `read`.
    pub fn new<E: From<EncodingError>>(
        raw: Bytes,
        encoding: Option<Encoding>,
        max_bytes: usize,
        read: impl FnOnce(&[u8]) -> Result<Facts, E>,
    ) -> Result<Self, E> {
        let decoded = match encoding {
            Some(encoding) if !raw.is_empty() => Some(encoding.decode(&raw, max_bytes)?),
            _ => None,
        };
        let facts = read(decoded.as_ref().unwrap_or(&raw))?;
        Ok(Self { raw, decoded, facts })
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What was read for its facts: the body without its `content-encoding`.
    pub fn plain(&self) -> &Bytes {
        self.decoded.as_ref().unwrap_or(&self.raw)
    }

    /// Bytes as they came.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The body for a target that knows the model as `model`; `None`: by the name that the body has. What came goes
    /// out as it came, unless the name changes.
    #[must_use]
    pub fn outgoing(&self, model: Option<&str>) -> Outgoing {
        let renamed = model.filter(|model| self.facts.model.as_ref().is_some_and(|own| own.name != *model));
        match (&self.decoded, renamed) {
            (Some(decoded), Some(_)) => Outgoing {
                segments: segments(decoded, &self.facts, renamed),
                is_decoded: true,
            },
            _ => Outgoing {
                segments: segments(&self.raw, &self.facts, renamed),
                is_decoded: false,
            },
        }
    }
}
