//! What every loop of this module steps through, so that none of them can turn for ever.
//!
//! What a loop here waits for is up to an upstream. One that is always ready with something that leads nowhere (an empty
//! frame, an end that is not quite the end) would otherwise keep a worker to itself: no clock fires on a task that never
//! gives its worker back. `tests/house.rs` sees to it that no loop is without its turns.

use thiserror::Error;
use tokio::task::coop::consume_budget;

/// Turns that lead nowhere, one after another. An upstream that is healthy needs a handful: the end of a chunked body
/// that comes byte by byte, an empty frame to keep the connection alive.
const TURNS_MAX: u32 = 1024;

/// The turns that one loop has made since it last moved on.
#[derive(Debug, Default)]
pub(super) struct Turns {
    without_progress: u32,
}

/// The loop has turned again and again, and nothing came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{TURNS_MAX} turns without progress")]
pub(super) struct NoProgress;

impl Turns {
    /// Begins another turn. Once the task has had its share of the worker, others get theirs first, however much is
    /// ready here.
    ///
    /// # Errors
    /// After too many turns without [`moved_on`](Self::moved_on).
    pub(super) async fn next(&mut self) -> Result<(), NoProgress> {
        self.count()?;
        consume_budget().await;
        Ok(())
    }

    /// Begins another turn of a loop that can't wait, in a `poll` function.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(super) fn count(&mut self) -> Result<(), NoProgress> {
        self.without_progress += 1;
        if self.without_progress > TURNS_MAX {
            return Err(NoProgress);
        }
        Ok(())
    }

    /// The loop has come closer to its end: bytes were read, sent or thrown away, one attempt less is left.
    pub(super) fn moved_on(&mut self) {
        self.without_progress = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_loop_that_gets_nowhere_ends() {
        let mut turns = Turns::default();
        for _ in 0..TURNS_MAX {
            assert_eq!(turns.next().await, Ok(()));
        }
        assert_eq!(turns.next().await, Err(NoProgress));
        assert_eq!(turns.count(), Err(NoProgress));
    }

    #[tokio::test]
    async fn a_loop_that_moves_on_may_turn_for_ever() {
        let mut turns = Turns::default();
        for _ in 0..10 * TURNS_MAX {
            turns.next().await.unwrap();
            turns.moved_on();
        }
    }

    #[tokio::test]
    async fn a_loop_that_never_waits_lets_others_work() {
        let worked = Arc::new(AtomicBool::new(false));
        let others = tokio::spawn({
            let worked = Arc::clone(&worked);
            async move { worked.store(true, Ordering::Relaxed) }
        });
        // One thread: the other task runs only if this one gives way.
        let mut turns = Turns::default();
        while turns.next().await.is_ok() {}
        assert!(worked.load(Ordering::Relaxed));
        others.await.unwrap();
    }
}
