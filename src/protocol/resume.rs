//! Continuing a stream that broke off: what the client has of it, the request that asks for the rest, and the rest made
//! to fit (docs: behaviour, "resuming"). No I/O.
//!
//! An answer is continued only if it is one text: any other content that comes (a tool call, reasoning, a second choice,
//! log-probabilities) makes it one that can't be.

mod answer_text;
mod chat;
mod messages;
mod request;
mod transcript;
mod whole_events;

pub use request::continuing;
pub use transcript::Transcript;
