//! `switchback check`, driven as a person drives it: the real binary, real files, its output and exit status.

// Clippy knows functions that are tests, not a whole target.
#![allow(clippy::unwrap_used)]

mod bombs;
mod builder;
mod golden;
mod options;
mod schema;
mod secrets;
mod shipped;
mod values;
