//! One line for each change of a cooldown: a target or an upstream is left alone, or used again.

use std::time::Duration;

use log::Level;
use log::kv::{Error, Key, Source, Value, VisitSource};

use super::fields;

/// The `log` crate's target of these records.
const MODULE: &str = "switchback::cooldown";

/// A cooldown that has begun or ended.
#[derive(Debug, Clone, Copy)]
pub struct Cooldown<'a> {
    /// `UPSTREAM/MODEL`, or `UPSTREAM` where all its models are meant.
    pub target: &'a str,
    /// The class that began it: `rate_limited`, `auth`, …
    pub class: &'a str,
    pub phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Begun(Duration),
    /// A trial has failed.
    Prolonged(Duration),
    Ended,
}

impl Cooldown<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        let (level, message) = match self.phase {
            Phase::Begun(_) => (Level::Warn, "cooling down"),
            Phase::Prolonged(_) => (Level::Info, "still cooling down"),
            Phase::Ended => (Level::Info, "in use again"),
        };
        super::emit(level, MODULE, message, self);
    }
}

impl Source for Cooldown<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        visitor.visit_pair(Key::from_str(fields::TARGET), Value::from(self.target))?;
        visitor.visit_pair(Key::from_str(fields::CLASS), Value::from(self.class))?;
        match self.phase {
            Phase::Begun(length) | Phase::Prolonged(length) => {
                visitor.visit_pair(Key::from_str(fields::SECONDS), Value::from(length.as_secs_f64()))
            }
            Phase::Ended => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use log::Record;

    use super::*;
    use crate::telemetry::text;

    fn line(phase: Phase) -> String {
        let cooldown = Cooldown {
            target: "openai/gpt-4o",
            class: "rate_limited",
            phase,
        };
        let record = Record::builder()
            .target(MODULE)
            .level(Level::Info)
            .args(format_args!("-"))
            .key_values(&cooldown)
            .build();
        text::with_priority(
            record.level(),
            &crate::telemetry::journald::Datagram::of(&record).message(),
        )
    }

    #[test]
    fn a_line_says_who_why_and_for_how_long() {
        assert_eq!(
            line(Phase::Begun(Duration::from_millis(2500))),
            "<6>- target=openai/gpt-4o class=rate_limited seconds=2.5\n"
        );
        assert_eq!(line(Phase::Ended), "<6>- target=openai/gpt-4o class=rate_limited\n");
    }
}
