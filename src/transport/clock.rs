//! Waiting until a clock runs out.

use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use pingora::time::{sleep, timeout};
use tokio::time::Instant;

use super::turns::Turns;

/// The clock has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOut;

/// What `work` gives, if it does before `until`. In steps of 10 ms, with Pingora's timers: unlike tokio's they wake no
/// other thread to be set, which every wait for an upstream would do.
pub async fn before<T>(until: Instant, work: impl Future<Output = T>) -> Result<T, RunOut> {
    timeout(until.saturating_duration_since(Instant::now()), work)
        .await
        .map_err(|_| RunOut)
}

/// A clock that starts anew with each wait and keeps its timer from one to the next: a stream has a wait for each of its events,
/// and setting a timer costs more than reading an event.
pub(super) struct IdleClock {
    idle: Duration,
    /// The beginning of a wait that was given up before it was over.
    since: Option<Instant>,
    timer: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl IdleClock {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            idle,
            since: None,
            timer: None,
        }
    }

    /// Returns what `work` gives, if it does within the clock. A wait that is given up continues with the next one.
    pub(super) async fn within<T>(&mut self, work: impl Future<Output = T>) -> Result<T, RunOut> {
        let mut work = std::pin::pin!(work);
        if let Some(done) = work.as_mut().now_or_never() {
            self.since = None;
            return Ok(done);
        }
        let until = *self.since.get_or_insert_with(Instant::now) + self.idle;
        let mut turns = Turns::default();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || turns.next().await.is_err() {
                return Err(RunOut);
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(left)));
            tokio::select! {
                biased;
                done = &mut work => {
                    self.since = None;
                    return Ok(done);
                }
                () = timer => self.timer = None,
            }
        }
    }
}
