//! One line per failed attempt: what the upstream did, and what was done about it.

use log::Level;
use log::kv::{Error, Source, Value, VisitSource};

use super::fields;

/// The `log` crate's target of these records.
const MODULE: &str = "switchback::attempt";
/// Longer codes and ids are cut.
const TOKEN_BYTES_MAX: usize = 80;

/// The values of a failed attempt's line in the log. Absent ones are left out.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The request's id, as in its access line.
    pub id: &'a str,
    /// The number of the attempt, from 1.
    pub number: u32,
    /// `UPSTREAM/MODEL`.
    pub target: &'a str,
    /// `rate_limited`, `timeout`, …
    pub class: &'a str,
    /// `None` where no response came.
    pub status: Option<u16>,
    pub ms: u64,
    /// What was done about it: `deliver`, `fallback`, `retry`, or `exhausted` where no target was left.
    pub action: &'a str,
    /// The upstream's own id of the request.
    pub upstream_request_id: Option<&'a str>,
    /// The clock that ran out, by its name in the configuration.
    pub clock: Option<&'a str>,
    /// Why there was no answer.
    pub reason: Option<&'a str>,
    /// The rule that found the class from the answer.
    pub rule: Option<&'a str>,
}

impl Attempt<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        super::emit(self.level(), MODULE, "attempt failed", self);
    }

    /// Returns the level. A complete answer that is delivered as it is concerns the client; the rest concerns the
    /// operator.
    fn level(&self) -> Level {
        if self.action == "deliver" && self.class != "broken" {
            Level::Info
        } else {
            Level::Warn
        }
    }
}

/// Returns `text`, cut, if it is a code and not prose.
pub(super) fn token(text: &str) -> Option<&str> {
    let code = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/#".contains(&byte);
    (!text.is_empty() && text.bytes().all(code)).then(|| &text[..text.len().min(TOKEN_BYTES_MAX)])
}

impl Source for Attempt<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        let word = |text: Option<&'kvs str>| text.and_then(token).map(Value::from);
        let fields = [
            (fields::ID, Some(Value::from(self.id))),
            (fields::ATTEMPT, Some(Value::from(self.number))),
            (fields::TARGET, Some(Value::from(self.target))),
            (fields::CLASS, Some(Value::from(self.class))),
            (fields::STATUS, self.status.map(Value::from)),
            (fields::MS, Some(Value::from(self.ms))),
            (fields::ACTION, Some(Value::from(self.action))),
            (fields::UPSTREAM_REQUEST_ID, word(self.upstream_request_id)),
            (fields::CLOCK, self.clock.map(Value::from)),
            (fields::REASON, self.reason.map(Value::from)),
            (fields::RULE, self.rule.map(Value::from)),
        ];
        fields::visit(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use log::Record;

    use super::*;
    use crate::telemetry::text;

    const LIMITED: Attempt<'_> = Attempt {
        id: "0192",
        number: 1,
        target: "openai/gpt-4o",
        class: "rate_limited",
        status: Some(429),
        ms: 182,
        action: "fallback",
        upstream_request_id: Some("req_1"),
        clock: None,
        reason: None,
        rule: Some("status 429"),
    };

    fn line(attempt: &Attempt<'_>) -> String {
        let record = Record::builder()
            .target(MODULE)
            .level(attempt.level())
            .args(format_args!("attempt failed"))
            .key_values(attempt)
            .build();
        text::with_priority(
            record.level(),
            &crate::telemetry::journald::Datagram::of(&record).message(),
        )
    }

    #[test]
    fn a_line_says_who_failed_how_and_what_came_of_it() {
        assert_eq!(
            line(&LIMITED),
            "<4>attempt failed id=0192 attempt=1 target=openai/gpt-4o class=rate_limited status=429 ms=182 \
             action=fallback upstream_request_id=req_1 rule=\"status 429\"\n"
        );
    }

    #[test]
    fn prose_is_no_code_and_may_quote_a_prompt() {
        let attempt = Attempt {
            status: None,
            action: "deliver",
            upstream_request_id: Some("you said: my password is x"),
            rule: None,
            ..LIMITED
        };
        assert_eq!(
            line(&attempt),
            "<6>attempt failed id=0192 attempt=1 target=openai/gpt-4o class=rate_limited ms=182 action=deliver\n"
        );
    }

    #[test]
    fn codes_are_cut() {
        let long = "x".repeat(1000);
        assert_eq!(token(&long).map(str::len), Some(TOKEN_BYTES_MAX));
        assert_eq!(token("é"), None);
    }
}
