//! Targets that a cooldown has kept out of a request.

use std::time::Duration;

use tokio::time::Instant;

use super::plan::Plan;
use crate::upstream::Standing;

/// What the client is told of them.
#[derive(Debug, Default)]
pub struct LeftOut {
    /// Until the first of them is used again.
    soonest_return: Option<Duration>,
    /// For people: `; cooling down: openai/gpt-4o (auth, 12 s more)`, or nothing.
    pub(super) in_words: String,
}

impl LeftOut {
    /// As they stand `now`, in a request for the model `requested`.
    pub fn of(plan: &Plan, requested: Option<&str>, now: Instant) -> Self {
        let words = plan.resting.iter().filter_map(|step| {
            let name = step.name(requested);
            match step.standing(now) {
                Standing::Open { class, until } => {
                    let seconds = whole_seconds(until.duration_since(now));
                    Some(format!("{name} ({}, {seconds} s more)", class.name()))
                }
                Standing::OnTrial { class } => Some(format!("{name} ({}, being tried)", class.name())),
                Standing::Closed | Standing::Due => None,
            }
        });
        let words: Vec<_> = words.collect();
        let in_words = match &words[..] {
            [] => String::new(),
            words => format!("; cooling down: {}", words.join(", ")),
        };
        Self {
            soonest_return: plan.soonest_return(now),
            in_words,
        }
    }

    /// When to ask again, for a `retry-after` in seconds; `None` if nothing was left out.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.soonest_return.map(whole_seconds)
    }
}

/// Not earlier, and never at once.
fn whole_seconds(wait: Duration) -> u64 {
    let rounded_up = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    rounded_up.max(1)
}
