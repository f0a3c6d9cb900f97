//! Continuing a stream that broke off: what the client has of it, the request for the rest, and the rest made to fit
//! (docs: behaviour, "resuming"). No I/O.
//!
//! An answer can be continued only if it is a single text: any other content (a tool call, reasoning, a second choice,
//! log-probabilities) rules it out.

mod answer_text;
mod chat;
mod messages;
mod request;
mod transcript;
mod whole_events;

pub use request::continuing;
pub use transcript::Transcript;
