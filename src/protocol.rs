//! What the wire says: the two protocols, their streams and their errors. No I/O.

/// The wire protocol that a path, an upstream or an error body speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    OpenAi,
    Anthropic,
}
