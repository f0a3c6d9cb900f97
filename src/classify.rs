//! Answer → class → action. Pure: the same table judges production, `explain` and `classify`.
//!
//! An answer is first [read](reading), whatever its shape, into codes, numbers and text; then the first rule of the
//! [table](rules) that applies names its class. What the answer repeats of [the request](said) does not count, and a verdict
//! says what [it stands on](basis).

pub mod hint;
pub mod message;

mod basis;
mod class;
mod letters;
mod matching;
mod pattern;
mod reading;
mod rules;
mod said;
mod signals;
mod wording;

pub use basis::{Basis, Testimony};
pub use class::{Action, Class, Scope};
pub use said::Request;
pub use signals::Signals;

use basis::Status;
use reading::Reading;
use said::Said;

/// What a failed answer means, and the name of the rule that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub class: Class,
    pub rule: &'static str,
    pub basis: Basis,
    /// The failure is due to what this request asks for: the same target may serve the next one.
    pub is_requests_own: bool,
}

/// The name that stands for a rule where none applies.
pub const NO_RULE: &str = "no-rule";

/// Classifies a failed answer. Its work is bounded, whatever the body is.
pub fn classify(answer: &Signals<'_>) -> Verdict {
    let reading = Reading::of(answer);
    let said = Said::new(answer.request);
    let status = Status::of(answer.status, &reading, &said);
    let found = matching::first(&reading, &status, &said);
    found.map_or(
        Verdict {
            class: Class::ServerError,
            rule: NO_RULE,
            basis: Basis::Status,
            is_requests_own: false,
        },
        |found| Verdict {
            class: found.rule.class,
            rule: found.rule.name,
            basis: found.basis,
            is_requests_own: found.rule.is_requests_own,
        },
    )
}

#[cfg(test)]
mod tests;
