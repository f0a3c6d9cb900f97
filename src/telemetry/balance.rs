//! Lines about an upstream's account: it runs low, or cannot be read. There is one when that begins, and one when it
//! ends.

use log::Level;
use log::kv::{Error, Source, Value, VisitSource};

use super::fields;

/// The `log` crate's target of these records.
const MODULE: &str = "switchback::balance";

/// What has changed about an account.
#[derive(Debug, Clone, Copy)]
pub struct Balance<'a> {
    pub upstream: &'a str,
    pub change: Change<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// Less is left than `low`.
    Low {
        remaining: f64,
        currency: Option<&'a str>,
        low: f64,
    },
    /// The shortage is over. `None`: the provider knows of no limit any more.
    Enough {
        remaining: Option<f64>,
        currency: Option<&'a str>,
    },
    /// Polls have begun to fail.
    Unknown { reason: &'a str },
    /// Polls succeed again.
    Known,
}

impl Balance<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        let (level, message) = match self.change {
            Change::Low { .. } => (Level::Warn, "the balance is low"),
            Change::Enough { .. } => (Level::Info, "the balance is no longer low"),
            Change::Unknown { .. } => (
                Level::Warn,
                "the balance can't be read: what was known of it stands, and no more is said until it can",
            ),
            Change::Known => (Level::Info, "the balance can be read again"),
        };
        super::emit(level, MODULE, message, self);
    }
}

impl Source for Balance<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        let (remaining, currency, low, reason) = match self.change {
            Change::Low {
                remaining,
                currency,
                low,
            } => (Some(remaining), currency, Some(low), None),
            Change::Enough { remaining, currency } => (remaining, currency, None, None),
            Change::Unknown { reason } => (None, None, None, Some(reason)),
            Change::Known => (None, None, None, None),
        };
        let fields = [
            (fields::TARGET, Some(Value::from(self.upstream))),
            (fields::REMAINING, remaining.map(Value::from)),
            (fields::CURRENCY, currency.map(Value::from)),
            (fields::LOW, low.map(Value::from)),
            (fields::REASON, reason.map(Value::from)),
        ];
        fields::visit(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use log::Record;

    use super::*;
    use crate::telemetry::text;

    fn line(change: Change<'_>) -> String {
        let balance = Balance {
            upstream: "openrouter",
            change,
        };
        let record = Record::builder()
            .target(MODULE)
            .level(Level::Info)
            .args(format_args!("-"))
            .key_values(&balance)
            .build();
        text::with_priority(
            record.level(),
            &crate::telemetry::journald::Datagram::of(&record).message(),
        )
    }

    #[test]
    fn a_line_says_whose_account_and_how_much() {
        let low = Change::Low {
            remaining: 0.5,
            currency: Some("USD"),
            low: 1.0,
        };
        assert_eq!(line(low), "<6>- target=openrouter remaining=0.5 currency=USD low=1\n");
        let enough = Change::Enough {
            remaining: None,
            currency: None,
        };
        assert_eq!(line(enough), "<6>- target=openrouter\n");
        let unknown = Change::Unknown { reason: "it is late" };
        assert_eq!(line(unknown), "<6>- target=openrouter reason=\"it is late\"\n");
    }
}
