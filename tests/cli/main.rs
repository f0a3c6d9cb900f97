//! `switchback classify` and `switchback explain`, driven as a person drives them, and held against the gateway itself;
//! the manual and the completions.

// Clippy knows functions that are tests, not a whole target.
#![allow(clippy::unwrap_used)]

mod agreement;
mod classify;
mod drill;
mod explain;
mod gateway;
mod generated;
mod program;
