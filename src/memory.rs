//! One bound on what all requests together keep in memory: their bodies, raw and decoded, and answers that are held back.
//!
//! Whatever is kept has a [`Share`] of the [`Budget`], and gives it back when it is dropped. Where there is room, a share
//! grows by one atomic operation. Where there is none, it waits for its turn in a [queue](queue).

mod allocator;
mod budget;
mod global;
mod machine;
mod queue;
mod share;

pub use allocator::{give_back_freed, give_up_own_freed};
pub use budget::{Budget, SMALL_BYTES_MAX, most_alone_bytes};
pub use global::Allocator;
pub use machine::default_bound_bytes;
pub use share::{NeverFits, Share};

#[cfg(test)]
mod tests;
