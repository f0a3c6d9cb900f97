//! Answer → class → action. Pure: the same table judges production, `explain` and `classify`.
//!
//! An answer is first [read](reading), whatever its shape, into codes, numbers and text; then the first rule of the
//! [table](rules) that applies names its class.

use http::HeaderMap;

pub mod hint;
pub mod message;

mod class;
mod pattern;
mod reading;
mod rules;
mod wording;

pub use class::{Action, Class, Scope};
use reading::Reading;

/// What is known of a failed answer.
#[derive(Debug, Clone, Copy)]
pub struct Signals<'a> {
    /// The response's status; 200 where an error came under it.
    pub status: u16,
    pub headers: &'a HeaderMap,
    /// The body's start, decoded, or what [`error_payload`](crate::protocol::judge::Judge::error_payload) gives.
    pub body: &'a [u8],
    /// The upstream's provider, where it is known: some rules hold for one provider only.
    pub provider: Option<&'a str>,
}

/// What a failed answer means, and the name of the rule that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub class: Class,
    pub rule: &'static str,
    /// What this request asks for is the reason: the same target may do well with the next one.
    pub is_requests_own: bool,
}

/// Classifies a failed answer. Its work is bounded, whatever the body is.
pub fn classify(answer: &Signals<'_>) -> Verdict {
    let reading = Reading::of(answer);
    let rule = rules::first(&reading);
    rule.map_or(
        Verdict {
            class: Class::ServerError,
            rule: "no-rule",
            is_requests_own: false,
        },
        |rule| Verdict {
            class: rule.class,
            rule: rule.name,
            is_requests_own: rule.is_requests_own,
        },
    )
}

#[cfg(test)]
mod tests;
