//! The names of the log's fields, in one place: what an operator searches for must not drift. Text and JSON use them
//! unchanged; [`journal_name`] gives the journal's.

use log::kv::{Error, Key, Value, VisitSource};

/// The request's id, as in `x-gateway-request-id`.
pub const ID: &str = "id";
/// The client's address, or `unix`.
pub const CLIENT: &str = "client";
pub const METHOD: &str = "method";
/// The path, without the query, which may carry a key.
pub const PATH: &str = "path";
/// `HTTP/1.1` or `HTTP/2`.
pub const HTTP: &str = "http";
/// `openai` or `anthropic`.
pub const PROTOCOL: &str = "protocol";
/// The model that the client asked for.
pub const MODEL: &str = "model";
/// The route that matched it.
pub const ROUTE: &str = "route";
/// Upstream and model there: `openrouter/openai/gpt-4o`.
pub const TARGET: &str = "target";
pub const STATUS: &str = "status";
/// Why the gateway itself refused a request: the `code` of its error.
pub const REFUSED: &str = "refused";
/// How many attempts were made.
pub const ATTEMPTS: &str = "attempts";
/// How often another attempt resumed a stream that had broken off.
pub const RESUMED: &str = "resumed";
/// The number of this attempt in its request, from 1.
pub const ATTEMPT: &str = "attempt";
/// The ledger, as it is in `x-gateway-attempts`.
pub const LEDGER: &str = "ledger";
/// The time from receiving the request (or beginning the attempt) to its end.
pub const MS: &str = "ms";
/// The time from receiving the request to the first byte of the response for the client.
pub const FIRST_BYTE_MS: &str = "first_byte_ms";
/// Bytes of the request's body.
pub const BYTES_IN: &str = "bytes_in";
/// Bytes of the response's body.
pub const BYTES_OUT: &str = "bytes_out";
pub const STREAM: &str = "stream";
pub const OUTCOME: &str = "outcome";
pub const CLASS: &str = "class";
pub const ACTION: &str = "action";
/// The upstream's own `x-request-id` or `request-id`.
pub const UPSTREAM_REQUEST_ID: &str = "upstream_request_id";
/// The clock that ran out, by its name in the configuration.
pub const CLOCK: &str = "clock";
/// Why there was no answer: `could not connect: ConnectRefused: …`.
pub const REASON: &str = "reason";
/// The rule that found the class from the answer.
pub const RULE: &str = "rule";

/// The configuration's file.
pub const FILE: &str = "file";
/// The first 12 hex digits of the SHA-256 of that file.
pub const HASH: &str = "hash";
/// Counts the configurations that were applied, from 1.
pub const GENERATION: &str = "generation";
/// What made the configuration be read: `signal` or `change`.
pub const TRIGGER: &str = "trigger";
/// A configuration's fault, by its stable name: `unknown-key`.
pub const CODE: &str = "code";
/// `FILE:LINE:COLUMN`.
pub const AT: &str = "at";
/// What to do about it.
pub const HELP: &str = "help";
pub const ERRORS: &str = "errors";
pub const WARNINGS: &str = "warnings";
/// Names, as `a, b`; this applies to the next six fields too.
pub const ROUTES_ADDED: &str = "routes_added";
pub const ROUTES_REMOVED: &str = "routes_removed";
pub const ROUTES_CHANGED: &str = "routes_changed";
pub const UPSTREAMS_ADDED: &str = "upstreams_added";
pub const UPSTREAMS_REMOVED: &str = "upstreams_removed";
/// The upstreams that changed, including those of which only the content of the key's file has changed.
pub const UPSTREAMS_CHANGED: &str = "upstreams_changed";
/// `policy`, `server`, `log`.
pub const SETTINGS_CHANGED: &str = "settings_changed";
/// Listeners whose certificate or key was replaced.
pub const CERTIFICATES_CHANGED: &str = "certificates_changed";

/// How long a cooldown takes.
pub const SECONDS: &str = "seconds";
/// What is left on an upstream's account.
pub const REMAINING: &str = "remaining";
/// ISO 4217.
pub const CURRENCY: &str = "currency";
/// Less than this is worth a warning.
pub const LOW: &str = "low";

/// journald takes names of at most 64 bytes.
const JOURNAL_NAME_BYTES_MAX: usize = 64;

/// Hands out the fields that have a value.
pub(super) fn visit<'kvs, const N: usize>(
    fields: [(&'static str, Option<Value<'kvs>>); N],
    visitor: &mut dyn VisitSource<'kvs>,
) -> Result<(), Error> {
    for (name, value) in fields {
        if let Some(value) = value {
            visitor.visit_pair(Key::from_str(name), value)?;
        }
    }
    Ok(())
}

/// Writes the journal's name of a field: `model` is `SWITCHBACK_MODEL`, `id` is `SWITCHBACK_REQUEST_ID`.
/// Names there are `[A-Z0-9_]` (systemd.journal-fields(7)).
pub(super) fn journal_name(out: &mut Vec<u8>, name: &str) {
    let name = if name == ID { "REQUEST_ID" } else { name };
    let start = out.len();
    out.extend_from_slice(b"SWITCHBACK_");
    out.extend(name.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() {
            byte.to_ascii_uppercase()
        } else {
            b'_'
        }
    }));
    out.truncate(start + JOURNAL_NAME_BYTES_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> String {
        let mut out = b"before".to_vec();
        journal_name(&mut out, name);
        String::from_utf8(out)
            .unwrap()
            .strip_prefix("before")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn journal_names_are_what_operators_search_for() {
        assert_eq!(named(ID), "SWITCHBACK_REQUEST_ID");
        assert_eq!(named(MODEL), "SWITCHBACK_MODEL");
        assert_eq!(named(UPSTREAM_REQUEST_ID), "SWITCHBACK_UPSTREAM_REQUEST_ID");
    }

    #[test]
    fn journal_names_are_always_valid() {
        assert_eq!(named("a-b.ü\n="), "SWITCHBACK_A_B_____");
        assert_eq!(named(&"x".repeat(100)).len(), JOURNAL_NAME_BYTES_MAX);
    }
}
