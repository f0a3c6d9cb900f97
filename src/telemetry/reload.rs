//! The log's lines about a reload: one for its outcome, and one for each fault of a configuration.

use log::Level;
use log::kv::{Error, Key, Source, Value, VisitSource};

use super::fields;

/// The `log` crate's target of these records.
const MODULE: &str = "switchback::reload";

/// A configuration that is used from now on.
#[derive(Debug, Clone, Copy)]
pub struct Reloaded<'a> {
    pub file: &'a str,
    pub hash: &'a str,
    pub generation: u64,
    pub trigger: &'a str,
    /// A field's name and the names that were added, removed or changed. Not there: none.
    pub changes: &'a [(&'static str, String)],
}

/// A configuration that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Rejected<'a> {
    pub file: &'a str,
    /// `None`: it could not be read.
    pub hash: Option<&'a str>,
    pub trigger: &'a str,
    pub errors: usize,
    pub warnings: usize,
    /// When the configuration that stays in use was applied.
    pub in_use_since: &'a str,
}

/// One fault of a configuration. Holds no secret.
#[derive(Debug, Clone, Copy)]
pub struct Fault<'a> {
    pub error: bool,
    pub code: &'a str,
    pub message: &'a str,
    /// `FILE:LINE:COLUMN`.
    pub at: &'a str,
    pub help: Option<&'a str>,
}

impl Reloaded<'_> {
    pub fn emit(&self) {
        let message = if self.changes.is_empty() {
            "configuration reloaded: nothing in it has changed"
        } else {
            "configuration reloaded"
        };
        super::emit(Level::Info, MODULE, message, self);
    }
}

impl Source for Reloaded<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        visitor.visit_pair(Key::from_str(fields::FILE), Value::from(self.file))?;
        visitor.visit_pair(Key::from_str(fields::HASH), Value::from(self.hash))?;
        visitor.visit_pair(Key::from_str(fields::GENERATION), Value::from(self.generation))?;
        visitor.visit_pair(Key::from_str(fields::TRIGGER), Value::from(self.trigger))?;
        for (name, names) in self.changes {
            visitor.visit_pair(Key::from_str(name), Value::from(names.as_str()))?;
        }
        Ok(())
    }
}

impl Rejected<'_> {
    pub fn emit(&self) {
        let message = format!("reload failed: the configuration of {} stays in use", self.in_use_since);
        super::emit(Level::Error, MODULE, &message, self);
    }
}

impl Source for Rejected<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        fields::visit(
            [
                (fields::FILE, Some(Value::from(self.file))),
                (fields::HASH, self.hash.map(Value::from)),
                (fields::TRIGGER, Some(Value::from(self.trigger))),
                (fields::ERRORS, Some(Value::from(self.errors))),
                (fields::WARNINGS, Some(Value::from(self.warnings))),
            ],
            visitor,
        )
    }
}

impl Fault<'_> {
    pub fn emit(&self) {
        let level = if self.error { Level::Error } else { Level::Warn };
        super::emit(level, MODULE, self.message, self);
    }
}

impl Source for Fault<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        fields::visit(
            [
                (fields::AT, Some(Value::from(self.at))),
                (fields::CODE, Some(Value::from(self.code))),
                (fields::HELP, self.help.map(Value::from)),
            ],
            visitor,
        )
    }
}

#[cfg(test)]
mod tests {
    use log::Record;

    use super::*;
    use crate::telemetry::text;

    fn line(source: &dyn Source) -> String {
        let record = Record::builder()
            .target(MODULE)
            .level(Level::Error)
            .args(format_args!("-"))
            .key_values(&source)
            .build();
        text::with_priority(
            record.level(),
            &crate::telemetry::journald::Datagram::of(&record).message(),
        )
    }

    #[test]
    fn a_reload_says_what_changed() {
        let reloaded = Reloaded {
            file: "/etc/c.yaml",
            hash: "ba7816bf8f01",
            generation: 2,
            trigger: "change",
            changes: &[(fields::ROUTES_ADDED, "a, b".to_owned())],
        };
        assert_eq!(
            line(&reloaded),
            "<3>- file=/etc/c.yaml hash=ba7816bf8f01 generation=2 trigger=change routes_added=\"a, b\"\n"
        );
    }

    #[test]
    fn a_fault_says_where_it_is_and_what_helps() {
        let fault = Fault {
            error: true,
            code: "unknown-key",
            message: "unknown key `kye`",
            at: "/etc/c.yaml:2:5",
            help: Some("did you mean `key`?"),
        };
        assert_eq!(
            line(&fault),
            "<3>- at=/etc/c.yaml:2:5 code=unknown-key help=\"did you mean `key`?\"\n"
        );
    }
}
