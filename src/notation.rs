//! How dates, durations, patterns, names and keys are written; every other module may use it.

pub mod date;
pub mod duration;
pub mod glob;
pub mod key_like;
pub mod nearest;
