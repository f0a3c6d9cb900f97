//! What the gateway has counted, held against what clients, upstreams and its own log say.

use tokio::time::{Instant, sleep};

use super::Attempts;
use super::client::Tally;
use crate::support::*;

/// What ends a request is counted just after its client has got its last byte.
const BETWEEN_LOOKS: std::time::Duration = std::time::Duration::from_millis(100);

/// Counters of all routes and targets, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    requests: usize,
    attempts: usize,
}

impl Counters {
    pub(super) async fn of(watched: &Watched) -> Self {
        let response = watched.ask("/metrics").await;
        assert_eq!(response.status(), 200);
        let text = response.text();
        Self {
            requests: sum(&text, "switchback_requests_total"),
            attempts: sum(&text, "switchback_attempts_total"),
        }
    }

    /// Since these were read, each request was counted once, and so was each attempt that its line in the log tells of. An
    /// upstream has seen them all, but those of clients that left before it had the whole request.
    pub(super) async fn check(self, watched: &Watched, tally: &Tally, attempts: Attempts) {
        let expected = Self {
            requests: self.requests + tally.sent,
            attempts: self.attempts + attempts.told,
        };
        let begin = Instant::now();
        loop {
            let counted = Self::of(watched).await;
            if counted == expected {
                break;
            }
            assert!(begin.elapsed() < PATIENCE, "{counted:?} counted, {expected:?} expected");
            sleep(BETWEEN_LOOKS).await;
        }
        assert!(
            attempts.seen <= attempts.told && attempts.told <= attempts.seen + tally.left,
            "{attempts:?}, and {} clients left",
            tally.left
        );
    }
}

fn sum(text: &str, name: &str) -> usize {
    let series = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    series
        .map(|line| {
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<usize>().ok());
            value.unwrap_or_else(|| panic!("a count in {line}"))
        })
        .sum()
}
