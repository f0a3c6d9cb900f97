//! Waiting until a clock runs out.

use pingora::time::timeout;
use tokio::time::Instant;

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
