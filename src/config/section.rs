//! What a mapping of the file may hold: its keys, what each means, and what may be written as its value.

/// A mapping with known keys.
pub(super) struct Section {
    /// The section's name in the schema; a page of the documentation has it too.
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) keys: &'static [Key],
    /// Another section whose keys may be written in the same mapping.
    pub(super) and: Option<&'static Section>,
}

pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) absent: Absent,
    pub(super) meaning: &'static str,
}

/// What a key's absence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// It must be there.
    Required,
    /// The same as this, written.
    Written(&'static str),
    /// A description of what applies instead.
    Told(&'static str),
}

/// The values that may be written. Any single value may be, or contain, a variable.
pub(super) enum Shape {
    /// Any single value.
    Text,
    /// Whatever JSON can say.
    Json,
    Duration,
    /// Zero or more, with a fraction.
    Amount,
    Size,
    Flag,
    Number {
        least: u32,
        most: u32,
    },
    Word(fn() -> Vec<&'static str>),
    /// One of these is usual, others may be.
    Suggested(fn() -> Vec<&'static str>),
    Section(&'static Section),
    List(&'static Shape),
    /// The keys are the user's own names.
    Names {
        usual: fn() -> Vec<&'static str>,
        /// A regular expression for the other names.
        others: &'static str,
        shape: &'static Shape,
        /// It may be empty.
        empty: bool,
    },
    OneOf(&'static [Shape]),
    /// The key is for a later version: to write it is an error, which says so.
    Reserved,
}

impl Section {
    /// Lists its own keys, and those of the other section.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static Key> + use<> {
        let others = self.and.map_or(&[] as &[Key], |section| section.keys);
        self.keys.iter().chain(others)
    }

    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.all().find(|key| key.name == name)
    }
}

impl Key {
    pub(super) fn is_reserved(&self) -> bool {
        matches!(self.shape, Shape::Reserved)
    }
}
