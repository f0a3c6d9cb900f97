//! The ledger: what was tried for a request, in order. It becomes `x-gateway-attempts` and the log's `ledger`.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use super::plan::LeftOut;
use crate::classify::Class;
use crate::protocol::errors::{GatewayError, Tried};
use crate::protocol::percent;

/// Enough room for a typical entry.
const ENTRY_BYTES: usize = 96;
/// The greatest integer that a structured field may hold (RFC 9651 §3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

#[derive(Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    /// The result of [`Self::to_header`], until the next entry: both the client's header and the log need it.
    rendered: OnceLock<String>,
}

pub struct Entry {
    /// `upstream/model`.
    pub target: Arc<str>,
    /// The status of its answer, if it gave one.
    pub status: Option<u16>,
    /// `None`: this one served.
    pub class: Option<Class>,
    /// The clock that ran out, by its name in the configuration.
    pub clock: Option<&'static str>,
    /// Why there was no connection, in a few words.
    pub unreachable: Option<&'static str>,
    pub ms: u64,
}

impl Entry {
    /// Makes the entry of a target to which no attempt was made, because the upstream has its `max_inflight` requests.
    pub fn saturated(target: Arc<str>) -> Self {
        Self {
            target,
            status: None,
            class: Some(Class::Saturated),
            clock: None,
            unreachable: None,
            ms: 0,
        }
    }
}

impl Ledger {
    pub fn push(&mut self, entry: Entry) {
        self.rendered.take();
        self.entries.push(entry);
    }

    /// Notes that the answer of the attempt that serves has broken off.
    pub fn broke_off(&mut self) {
        self.rendered.take();
        if let Some(served) = self.entries.iter_mut().rfind(|entry| entry.class.is_none()) {
            served.class = Some(Class::Broken);
        }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns how many attempts were made: a full upstream was not asked.
    pub fn attempts(&self) -> u32 {
        let made = self
            .entries
            .iter()
            .filter(|entry| entry.class != Some(Class::Saturated));
        u32::try_from(made.count()).unwrap_or(u32::MAX)
    }

    /// Returns whether the last target was not asked because the gateway could open no connection.
    pub fn is_short_of_descriptors(&self) -> bool {
        self.entries
            .last()
            .is_some_and(|entry| entry.class == Some(Class::NoDescriptors))
    }

    /// Writes it for people: `openai/gpt-4o: timeout (headers clock) after 30000 ms; …`.
    fn in_words(&self) -> String {
        let words = self.entries.iter().map(|entry| {
            if entry.class == Some(Class::Saturated) {
                return format!("{}: saturated (`max_inflight`)", entry.target);
            }
            if entry.class == Some(Class::NoDescriptors) {
                return format!(
                    "{}: not asked, for the gateway has reached its limit on open files",
                    entry.target
                );
            }
            let class = entry.class.map_or("served", Class::name);
            let why = match (entry.clock, entry.unreachable) {
                (Some(clock), _) => format!(" ({clock} clock)"),
                (None, Some(why)) => format!(" ({why})"),
                (None, None) => String::new(),
            };
            format!("{}: {class}{why} after {} ms", entry.target, entry.ms)
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// Makes the gateway's own answer where no upstream gave one: 503 if there was no descriptor for a connection, 504
    /// if the last attempt ended by a clock, 503 if all upstreams were full, else 502. It lists the target, the class
    /// and the time of each attempt.
    pub fn account(&self, left_out: &LeftOut) -> GatewayError {
        let timed_out = self
            .entries
            .last()
            .is_some_and(|entry| entry.clock.is_some() || entry.class == Some(Class::Timeout));
        let full = !self.entries.is_empty() && self.entries.iter().all(|entry| entry.class == Some(Class::Saturated));
        let (status, code) = if self.is_short_of_descriptors() {
            (503, "too_many_open_files")
        } else if timed_out {
            (504, "upstream_timeout")
        } else if full {
            (503, "upstream_saturated")
        } else {
            (502, "upstream_unavailable")
        };
        let message = match self.entries.len() {
            0 => "the gateway failed before any upstream was asked; its log has the request id".to_owned(),
            _ => format!("no upstream answered: {}{}", self.in_words(), left_out.in_words),
        };
        let tried = self.entries.iter().map(|entry| Tried {
            target: entry.target.to_string(),
            class: entry.class.map_or("none", Class::name),
            status: entry.status,
            ms: entry.ms,
        });
        GatewayError::new(status, code, message).with_attempts(tried.collect())
    }

    /// An RFC 9651 list of strings with parameters; empty if nothing was tried.
    pub fn to_header(&self) -> &str {
        self.rendered.get_or_init(|| self.render())
    }

    fn render(&self) -> String {
        let mut list = String::with_capacity(ENTRY_BYTES * self.entries.len());
        for entry in &self.entries {
            if !list.is_empty() {
                list.push_str(", ");
            }
            entry.write_to(&mut list);
        }
        list
    }
}

impl Entry {
    /// Writes the entry as a string with parameters; the names of classes and clocks are tokens (RFC 9651 §3.3).
    fn write_to(&self, list: &mut String) {
        list.push('"');
        // Structured strings are ASCII only (RFC 9651 §3.3.3).
        for part in percent::encoded(&self.target, percent::UNPRINTABLE) {
            for char in part.chars() {
                if matches!(char, '"' | '\\') {
                    list.push('\\');
                }
                list.push(char);
            }
        }
        list.push('"');
        // Writing to a string can't fail.
        let _ = match self.status {
            Some(status) => write!(list, ";status={status}"),
            None => Ok(()),
        };
        if let Some(class) = self.class {
            list.push_str(";class=");
            list.push_str(class.name());
        }
        if let Some(clock) = self.clock {
            list.push_str(";clock=");
            list.push_str(clock);
        }
        let _ = write!(list, ";ms={}", self.ms.min(INTEGER_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_structured_list() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.to_header(), "");
        let entry = |target: &str, status, class, clock| Entry {
            target: target.into(),
            status,
            class,
            clock,
            unreachable: None,
            ms: 182,
        };
        ledger.push(entry("openai/gpt-4o", Some(429), Some(Class::RateLimited), None));
        ledger.push(entry("local/\"ü\\", None, Some(Class::Timeout), Some("headers")));
        ledger.push(entry("b/c", Some(200), None, None));
        assert_eq!(
            ledger.to_header(),
            r#""openai/gpt-4o";status=429;class=rate_limited;ms=182, "local/\"%C3%BC\\";class=timeout;clock=headers;ms=182, "b/c";status=200;ms=182"#
        );
    }
}
