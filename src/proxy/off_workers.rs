//! Work on large bodies, on threads that serve nobody: a worker that decodes for a second keeps all its other clients waiting.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Larger bodies are read and decoded off the workers. Smaller ones take a worker a fraction of a millisecond.
pub(super) const INLINE_MAX_BYTES: usize = 256 * 1024;
/// How long a body waits for its turn. Seconds of work would have to be queued before it to exceed this.
const TURN_WAIT: Duration = Duration::from_secs(10);

/// Bounds how many work at once: one per core. Clones share the bound.
#[derive(Debug, Clone)]
pub struct OffWorkers(Arc<Semaphore>);

/// Permission to work, for as long as this is kept.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Default for OffWorkers {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores)))
    }
}

impl OffWorkers {
    /// Waits for a turn, in the order of asking. `None`: it did not come in time.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let permit = timeout(TURN_WAIT, Arc::clone(&self.0).acquire_owned()).await;
        permit.ok()?.ok().map(|permit| Turn { _permit: permit })
    }
}

impl Turn {
    /// Returns the result of `work`, which runs to its end even if nobody waits for it any more, and keeps the turn
    /// until then.
    pub(super) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> (Self, T) {
        match spawn_blocking(move || (self, work())).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is going down, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_turn_lasts_until_the_work_is_done() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let off_workers = OffWorkers::default();
        let mut finish = Vec::new();
        for _ in 0..cores {
            let turn = off_workers.turn().await.unwrap();
            let (done, until) = channel::<()>();
            let mut running = Box::pin(turn.run(move || until.recv()));
            assert!(poll!(&mut running).is_pending());
            // Nobody waits for it any more.
            drop(running);
            finish.push(done);
        }
        let mut next = Box::pin(off_workers.turn());
        assert!(poll!(&mut next).is_pending());
        finish.pop();
        assert!(next.await.is_some());
    }
}
