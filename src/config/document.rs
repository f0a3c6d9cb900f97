//! YAML text → a tree of nodes with their places. The tree has no schema: the readers walk it and report every
//! fault, where deserializing into structs would stop at the first.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;
use serde_yaml::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::diagnostic::Diagnostic;
use super::escaped_variables::EscapedVariables;
use super::source::{Place, Source};

/// Deeper than any configuration needs (a target's timeouts are at 6).
const DEPTH_MAX: usize = 24;
/// The most mappings, sequences and scalars, counting what aliases repeat: enough for some ten thousand routes.
const NODES_MAX: usize = 50_000;

const MERGES_MAX: usize = 1_000;
/// The most bytes in all scalars together, counting what aliases repeat.
const TEXT_BYTES_MAX: usize = 8 << 20;
/// Greater than any real offset; the parser gives greater ones where it knows none.
const TEXT_CHARS_MAX: usize = 1 << 30;

/// A YAML node and where it was written (for what came through an alias: at the anchor).
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

pub(super) enum Value {
    Nothing,
    /// The text as it is written, without quotes.
    Scalar(String),
    Sequence(Vec<Node>),
    /// Keys in order, repeated ones too; merge keys are already merged.
    Mapping(Vec<(Node, Node)>),
    /// A number or a boolean, before its text was taken from the source.
    Unquoted,
}

impl Node {
    /// Names the kind of value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Nothing => "nothing",
            Value::Scalar(_) | Value::Unquoted => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// Parses one document within bounds.
///
/// # Errors
/// One diagnostic: the text is not YAML, or exceeds a bound.
pub(super) fn parse(source: &Source) -> Result<Node, Diagnostic> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_documents: 1,
            max_merge_keys: MERGES_MAX,
            max_total_scalar_bytes: TEXT_BYTES_MAX,
            max_recorded_anchor_bytes: TEXT_BYTES_MAX,
        },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: NODES_MAX },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    };
    let escaped = EscapedVariables::new(source.text());
    let mut root: Node =
        serde_yaml::from_str_with_options(&escaped.text, options).map_err(|error| explain(&error, source))?;
    settle(&mut root, source, &escaped);
    Ok(root)
}

/// Restores what was written from what was parsed: places count bytes of the source, variables have their braces, and
/// numbers and booleans their text (`1.10` stays `1.10`).
fn settle(root: &mut Node, source: &Source, escaped: &EscapedVariables<'_>) {
    // Shielding keeps the number of characters, not of bytes.
    let text = source.text();
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let byte = |chars: usize| starts.get(chars).copied().unwrap_or(text.len());
    let mut rest = vec![root];
    while let Some(node) = rest.pop() {
        let (from, to) = (
            byte(node.place.offset_bytes),
            byte(node.place.offset_bytes + node.place.len_bytes),
        );
        node.place = Place {
            offset_bytes: from,
            len_bytes: to - from,
            ..node.place
        };
        match &mut node.value {
            Value::Unquoted => node.value = Value::Scalar(source.at(node.place).trim().to_owned()),
            Value::Scalar(text) => *text = escaped.restore(std::mem::take(text)),
            Value::Nothing | Value::Sequence(_) | Value::Mapping(_) => {}
        }
        match &mut node.value {
            Value::Sequence(items) => rest.extend(items),
            Value::Mapping(entries) => rest.extend(entries.iter_mut().flat_map(|(key, value)| [key, value])),
            Value::Nothing | Value::Scalar(_) | Value::Unquoted => {}
        }
    }
}

fn explain(error: &serde_yaml::Error, source: &Source) -> Diagnostic {
    use serde_yaml::Error;
    use serde_yaml::budget::BudgetBreach;
    let mut error = error.without_snippet();
    let place = error
        .location()
        .map_or(Place::START, |location| source.locate(place(location)));
    while let Error::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    let too_large = |what: String| Diagnostic::error("too-large", place, format!("the file {what}"));
    let syntax = |what: &str| Diagnostic::error("syntax", place, what);
    match error {
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => too_large(format!("is nested more than {DEPTH_MAX} levels deep")),
        Error::Budget {
            breach: BudgetBreach::Documents { .. },
            ..
        }
        | Error::MultipleDocuments { .. } => {
            syntax("a second document begins here: a file must hold a single document")
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => too_large(format!(
            "holds, or expands through aliases to, more than {NODES_MAX} values or too much text"
        )),
        Error::RecursiveReferencesRequireWeakTypes { .. } => syntax("this alias stands within what it refers to"),
        error => {
            let message = error.to_string();
            // The place is told in our own form.
            let message = message
                .lines()
                .next()
                .unwrap_or_default()
                .split(" at line ")
                .next()
                .unwrap_or_default();
            match message {
                // The scanner's own bound on brackets comes before the budget's.
                "recursion limit exceeded" => too_large(format!("is nested more than {DEPTH_MAX} levels deep")),
                _ if source.at(place).starts_with('*') => {
                    let message = "not valid YAML: an unquoted `*` begins a reference to an anchor, and there is none of this name";
                    Diagnostic::error("syntax", place, message).help("to write a glob, quote it: `\"*\"`, `\"*-mini\"`")
                }
                message => syntax(&format!("not valid YAML: {message}")),
            }
        }
    }
}

/// The parser's place, in characters: [`settle`] makes it bytes.
fn place(location: serde_yaml::Location) -> Place {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).max(1);
    let chars = |value: u64| {
        usize::try_from(value)
            .ok()
            .filter(|&chars| chars <= TEXT_CHARS_MAX)
            .unwrap_or(0)
    };
    Place {
        line: number(location.line()),
        column: number(location.column()),
        offset_bytes: chars(location.span().offset()),
        len_bytes: chars(location.span().len()),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            place: place(spanned.defined),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Scalar(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
            within_bounds::<A::Error>(items.len())?;
        }
        Ok(Value::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = mapping.next_entry()? {
            entries.push(entry);
            within_bounds::<A::Error>(entries.len())?;
        }
        Ok(Value::Mapping(entries))
    }
}

fn within_bounds<E: serde::de::Error>(count: usize) -> Result<(), E> {
    if count > NODES_MAX {
        Err(E::custom("too many values"))
    } else {
        Ok(())
    }
}
