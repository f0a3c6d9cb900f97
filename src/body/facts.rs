//! What routing needs to know of a body.

use std::ops::Range;

/// The longest `model`, decoded, that is taken: the longest known names (ARNs, paths of fine-tunes) are a quarter of
/// it, and names are repeated in headers and logs.
pub const MODEL_BYTES_MAX: usize = 1024;

/// What was read from a request's body. The default is what an empty body says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `None`: the body is well-formed and names none.
    pub model: Option<Model>,
    /// The top-level `stream`; `false` if it is absent or not a boolean.
    pub stream: bool,
    /// The request refers to state that one account keeps: only the account's own upstream can answer it.
    pub pinned: bool,
}

/// The model that a body names, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Decoded: `"gpt\u002d4o"` is `gpt-4o`.
    pub name: String,
    /// Where the value stands in the body, in bytes; a JSON string with its quotes.
    pub span: Range<usize>,
    pub notation: Notation,
}

/// How a body spells the name of its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// A JSON string.
    Json,
    /// A form field's value: the name itself, without quotes or escapes.
    Text,
}

impl Notation {
    /// `name` as it stands in a body.
    #[must_use]
    pub fn spell(self, name: &str) -> String {
        match self {
            Self::Json => serde_json::Value::from(name).to_string(),
            Self::Text => name.to_owned(),
        }
    }
}
