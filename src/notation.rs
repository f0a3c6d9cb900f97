//! How dates, durations, patterns, names and keys are written: what every other module may read and write them with.

pub mod date;
pub mod duration;
pub mod glob;
pub mod key_like;
pub mod nearest;
