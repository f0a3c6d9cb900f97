//! The replayable request body: collected once, decoded if it came compressed, read for what routing needs, and sent to
//! every target with at most the `model` value replaced.
//!
//! JSON is read by `serde_json`'s own skipping of values (iterative, grammar-checked, 2 to 7 GB/s): sonic-rs, no faster
//! here, recurses over its input, and a scanner of our own gained only on base64. Raw values give the spans.

mod buffer;
mod collect;
mod edit;
mod encoding;
mod error;
mod facts;
mod form;
mod member;
mod replay;
mod scan;
mod splice;

pub use collect::{Collector, TooLarge};
pub use edit::Edits;
pub use encoding::{Decoding, Encoding, EncodingError};
pub use error::ScanError;
pub use facts::{Facts, MODEL_BYTES_MAX, Model, Notation};
pub use form::{FormError, boundary, scan_form};
pub use replay::{BEGINNING_BYTES, Outgoing, Replay, Uses};
pub use scan::{members, scan};
pub use splice::{Segments, segments};
