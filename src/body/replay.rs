//! A request's body, ready to be sent to one target after the other.

use bytes::Bytes;

use super::{Edits, Facts, Segments, segments};
use crate::memory::Share;

/// What is kept of what a body says where that is not sent: its words are told from an upstream's by it.
pub const BEGINNING_BYTES: usize = 1024 * 1024 + 1;
/// Up to this size it is not worth the while to let go of one of two forms.
const KEPT_TWICE_MAX_BYTES: usize = 2 * BEGINNING_BYTES;

/// A body, and what was read from it.
#[derive(Debug, Clone)]
pub struct Replay {
    form: Form,
    /// The size of the body as the client sent it.
    raw_bytes: usize,
    facts: Facts,
}

#[derive(Debug, Clone)]
enum Form {
    /// It came without a `content-encoding`.
    Plain(Bytes),
    Compressed {
        raw: Bytes,
        decoded: Bytes,
    },
    /// It came compressed, and goes as it came to every target.
    Raw {
        raw: Bytes,
        /// Decoded.
        beginning: Bytes,
    },
    /// It came compressed, and goes so to none.
    Decoded(Bytes),
}

impl Default for Replay {
    fn default() -> Self {
        Self::plain_one(Bytes::new(), Facts::default())
    }
}

/// A body as it goes to one target.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub segments: Segments,
    /// It came compressed and goes plain: its `content-encoding` no longer holds.
    pub is_decoded: bool,
}

/// The forms in which a compressed body will be needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// It is needed as it came, for a target that knows the model by the name that the body has.
    pub raw: bool,
    /// It is needed decoded, for a target that does not, or to be gone on with.
    pub plain: bool,
}

impl Replay {
    /// A body that says `facts` as it came.
    pub fn plain_one(raw: Bytes, facts: Facts) -> Self {
        Self {
            raw_bytes: raw.len(),
            form: Form::Plain(raw),
            facts,
        }
    }

    /// A body that says `facts` once it is decoded.
    pub fn compressed(raw: Bytes, decoded: Bytes, facts: Facts) -> Self {
        Self {
            raw_bytes: raw.len(),
            form: Form::Compressed { raw, decoded },
            facts,
        }
    }

    /// Lets go of the form that is not needed, where it takes much. `share` is for what takes its place.
    pub fn keep_for(&mut self, uses: Uses, mut share: Share) {
        let Form::Compressed { raw, decoded } = &self.form else {
            return;
        };
        if raw.len() + decoded.len() <= KEPT_TWICE_MAX_BYTES {
            return;
        }
        if uses.plain && !uses.raw {
            self.form = Form::Decoded(decoded.clone());
        } else if !uses.plain && decoded.len() > KEPT_TWICE_MAX_BYTES && share.try_grow_to(BEGINNING_BYTES) {
            let beginning = share.carry(decoded[..BEGINNING_BYTES].to_vec());
            self.form = Form::Raw {
                raw: raw.clone(),
                beginning,
            };
        }
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What was read for its facts: the body without its `content-encoding`. `None`: it is no longer there.
    pub fn plain(&self) -> Option<&Bytes> {
        match &self.form {
            Form::Plain(bytes) | Form::Compressed { decoded: bytes, .. } | Form::Decoded(bytes) => Some(bytes),
            Form::Raw { .. } => None,
        }
    }

    /// The same as far as it is there: whole, or more than [`BEGINNING_BYTES`] - 1.
    pub fn beginning(&self) -> &Bytes {
        match &self.form {
            Form::Plain(bytes) | Form::Compressed { decoded: bytes, .. } | Form::Decoded(bytes) => bytes,
            Form::Raw { beginning, .. } => beginning,
        }
    }

    /// Bytes as they came.
    pub fn len(&self) -> usize {
        self.raw_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.raw_bytes == 0
    }

    /// The body for a target that knows the model as `model`; `None`: by the name that the body has. What came goes
    /// out as it came, unless the name changes or something is edited.
    #[must_use]
    pub fn outgoing(&self, model: Option<&str>, edits: Edits<'_>) -> Outgoing {
        let renamed = model.filter(|model| self.facts.model.as_ref().is_some_and(|own| own.name != *model));
        let (segments, is_decoded) = match &self.form {
            Form::Plain(body) => (segments(body, &self.facts, renamed, edits), false),
            Form::Compressed { raw, .. } | Form::Raw { raw, .. } if renamed.is_none() && edits.is_empty() => {
                (Segments::from(raw.clone()), false)
            }
            Form::Compressed { decoded, .. } | Form::Decoded(decoded) => {
                (segments(decoded, &self.facts, renamed, edits), true)
            }
            // No target that is asked changes it, or it would be there decoded.
            Form::Raw { raw, .. } => (Segments::from(raw.clone()), false),
        };
        Outgoing { segments, is_decoded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::scan;
    use crate::memory::Budget;

    const PLAIN: &str = r#"{"model":"m"}"#;

    fn replay(pad_bytes: usize) -> Replay {
        let decoded = format!("{PLAIN}{}", " ".repeat(pad_bytes));
        let facts = scan(decoded.as_bytes()).unwrap();
        Replay::compressed(Bytes::from_static(b"raw"), Bytes::from(decoded), facts)
    }

    fn sent(replay: &Replay, model: Option<&str>) -> (String, bool) {
        let outgoing = replay.outgoing(model, Edits::NONE);
        let bytes: Vec<u8> = outgoing.segments.into_iter().flatten().collect();
        let text = String::from_utf8(bytes).unwrap();
        (text.trim_end().to_owned(), outgoing.is_decoded)
    }

    #[test]
    fn what_nobody_needs_is_not_kept_twice() {
        let (as_it_came, renamed) = (("raw".to_owned(), false), (r#"{"model":"x"}"#.to_owned(), true));
        let budget = Budget::new(KEPT_TWICE_MAX_BYTES);
        let both = replay(KEPT_TWICE_MAX_BYTES);
        assert_eq!(
            (sent(&both, None), sent(&both, Some("x"))),
            (as_it_came.clone(), renamed.clone())
        );
        let mut raw = both.clone();
        raw.keep_for(
            Uses {
                raw: true,
                plain: false,
            },
            budget.share(),
        );
        assert_eq!((sent(&raw, Some("m")), raw.plain()), (as_it_came.clone(), None));
        assert_eq!(raw.beginning(), &both.beginning()[..BEGINNING_BYTES]);
        assert_eq!(budget.used_bytes(), BEGINNING_BYTES);
        let mut plain = both.clone();
        plain.keep_for(
            Uses {
                raw: false,
                plain: true,
            },
            budget.share(),
        );
        assert_eq!((sent(&plain, Some("x")), plain.len()), (renamed.clone(), 3));
        assert_eq!(plain.plain(), both.plain());
        let mut small = replay(0);
        small.keep_for(
            Uses {
                raw: true,
                plain: false,
            },
            budget.share(),
        );
        assert!(small.plain().is_some(), "what takes little stays");
    }
}
