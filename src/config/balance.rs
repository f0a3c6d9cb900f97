//! `balance`: where an upstream's remaining credit is read, how often, and when it is low.

use std::time::Duration;

use super::diagnostic::{Complaint, Diagnostic};
use super::document::{Node, Value};
use super::reader::{Fields, Reader};
use super::source::Place;
use super::words::BALANCE_PRESETS;
use super::{Balance, BalancePreset, BalanceSource, Key, Upstream, keys, quantity, url};

const HELP: &str = "write `openrouter`, `deepseek`, `moonshot` or `one-api`, `{ from: one of these, every, low }` or \
                    `{ url, pointer, every, low }`";
const BAD: &str = "bad-balance";

const EVERY: Duration = Duration::from_secs(60);
/// Providers count these requests too, so they must not be frequent.
const EVERY_MIN: Duration = Duration::from_secs(1);
const LOW: f64 = 1.0;
const LOW_MAX: f64 = 1e12;

impl BalancePreset {
    /// The preset's name, as it is written.
    pub fn name(self) -> &'static str {
        BALANCE_PRESETS
            .iter()
            .find(|(_, preset)| *preset == self)
            .map_or("", |(name, _)| name)
    }
}

/// Reads `balance` of `upstream`, whose URL and key are known. `None` after a fault.
pub(super) fn balance(reader: &mut Reader<'_>, node: &Node, at: Place, upstream: &Upstream) -> Option<Balance> {
    if matches!(upstream.key, Key::Passthrough) {
        let message =
            "`balance` needs a key of the upstream's own: with `key: passthrough` every client has its own account";
        reader.report(Diagnostic::error(BAD, at, message).help("remove it, or give the upstream a key"));
    }
    match &node.value {
        Value::Scalar(_) => Some(Balance {
            source: BalanceSource::Preset(reader.one_of(node, "`balance`", &BALANCE_PRESETS)?),
            every: EVERY,
            low: LOW,
        }),
        Value::Mapping(_) => mapping(reader, node, at, upstream),
        Value::Nothing | Value::Sequence(_) | Value::Unquoted => {
            let place = if matches!(node.value, Value::Nothing) {
                at
            } else {
                node.place
            };
            let message = format!("`balance` must be a single value or a mapping, found {}", node.kind());
            reader.report(Diagnostic::error("wrong-type", place, message).help(HELP));
            None
        }
    }
}

fn mapping(reader: &mut Reader<'_>, node: &Node, at: Place, upstream: &Upstream) -> Option<Balance> {
    let fields = reader.fields(node, at, "`balance`", &keys::BALANCE)?;
    let every = fields.get("every").map(|node| reader.value(node, "`every`", every));
    let low = fields.get("low").map(|node| reader.value(node, "`low`", low));
    let source = source(reader, &fields, at, upstream)?;
    Some(Balance {
        source,
        every: every.unwrap_or(Some(EVERY))?,
        low: low.unwrap_or(Some(LOW))?,
    })
}

/// A preset, or a URL and a pointer.
fn source(reader: &mut Reader<'_>, fields: &Fields<'_>, at: Place, upstream: &Upstream) -> Option<BalanceSource> {
    let fault = match (fields.get("from"), fields.get("url"), fields.get("pointer")) {
        (Some(from), None, None) => {
            return reader
                .one_of(from, "`from`", &BALANCE_PRESETS)
                .map(BalanceSource::Preset);
        }
        (None, Some(address), Some(pointer)) => {
            let path_and_query = path_at(reader, address, upstream);
            let pointer = reader.value(pointer, "`pointer`", json_pointer);
            return path_and_query
                .zip(pointer)
                .map(|(path_and_query, pointer)| BalanceSource::At {
                    path_and_query,
                    pointer,
                });
        }
        (Some(_), ..) => "`balance` has both `from` and a `url` or `pointer` of its own",
        (None, None, None) => "`balance` does not say where it comes from",
        (None, Some(_), None) => "`balance` has a `url`, but no `pointer` to the amount in its answer",
        (None, None, Some(_)) => "`balance` has a `pointer`, but no `url`",
    };
    reader.report(Diagnostic::error(BAD, at, fault).help(HELP));
    None
}

/// Reads `url`: a path at the upstream, with or without the upstream's own origin before it. The key is sent nowhere
/// else.
fn path_at(reader: &mut Reader<'_>, node: &Node, upstream: &Upstream) -> Option<String> {
    let written = reader.value(node, "`url`", |text| Ok(text.to_owned()))?;
    let (address, query) = match written.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (written.as_str(), String::new()),
    };
    // What stands in a query may be a credential: no message shows this URL.
    let mut refuse = |code, message: &str, help: String| {
        reader.report(Diagnostic::error(code, node.place, message).help(help));
        None
    };
    let path = if address.starts_with('/') {
        address.to_owned()
    } else {
        let found = match url::parse(address) {
            Ok(found) => found,
            Err(complaint) => {
                let help = "write a path at the upstream, as in `/user/balance`".to_owned();
                return refuse(complaint.code, &format!("this URL {}", complaint.reason), help);
            }
        };
        let ours = &upstream.url;
        if !ours.is_placeholder() && (found.https, &found.authority) != (ours.https, &ours.authority) {
            let help = "write a path, or a URL with the scheme, the host and the port of the upstream's own";
            return refuse(
                BAD,
                "this URL is not at the upstream's own address, and the key is sent nowhere else",
                help.to_owned(),
            );
        }
        // The path as it is written: a trailing slash may matter.
        let authority = address.find("://").map_or(0, |scheme| scheme + 3);
        address[authority..]
            .find('/')
            .map_or_else(|| "/".to_owned(), |at| address[authority + at..].to_owned())
    };
    let path_and_query = path + &query;
    if path_and_query.contains('#') || path_and_query.parse::<http::uri::PathAndQuery>().is_err() {
        let help = "leave out a fragment (`#…`), and percent-encode spaces and the like".to_owned();
        return refuse(
            "invalid-url",
            "this URL has a character that is not allowed in a path or query",
            help,
        );
    }
    Some(path_and_query)
}

/// Reads a JSON pointer (RFC 6901 §3): empty, or `/` before each token; `~` only as `~0` and `~1`.
fn json_pointer(text: &str) -> Result<String, Complaint> {
    let begins = text.is_empty() || text.starts_with('/');
    let escapes = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if begins && escapes {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        "bad-pointer",
        "is not a JSON pointer (RFC 6901)",
        "write the path to the amount with a `/` before each name or index, as in `/data/0/balance`; in a name, `~` is written `~0` and `/` is written `~1`",
    ))
}

fn every(text: &str) -> Result<Duration, Complaint> {
    let every = quantity::duration(text)?;
    if every < EVERY_MIN {
        return Err(Complaint::new(
            "bad-duration",
            "is shorter than a second",
            "providers count these requests too: a minute is usual",
        ));
    }
    Ok(every)
}

fn low(text: &str) -> Result<f64, Complaint> {
    let low = text.parse::<f64>().ok().filter(|low| (0.0..=LOW_MAX).contains(low));
    low.ok_or_else(|| Complaint::new("bad-number", "is not an amount", "write a number, as in `5` or `0.5`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers() {
        for text in ["", "/", "/data/limit_remaining", "/a~1b/~0/0", "/a b", "//"] {
            assert_eq!(json_pointer(text), Ok(text.to_owned()), "{text}");
        }
        for text in ["data", "data/x", "/a~", "/a~2", "$.data", "#/data"] {
            let code = json_pointer(text).map_err(|complaint| complaint.code);
            assert_eq!(code, Err("bad-pointer"), "{text}");
        }
    }

    #[test]
    fn amounts() {
        for (text, amount) in [("1", 1.0), ("0", 0.0), ("0.5", 0.5), ("1e3", 1_000.0)] {
            assert_eq!(low(text), Ok(amount), "{text}");
        }
        for text in ["", "-1", "NaN", "inf", "$5", "5 USD", "1e99"] {
            assert_eq!(
                low(text).map_err(|complaint| complaint.code),
                Err("bad-number"),
                "{text}"
            );
        }
    }

    #[test]
    fn often_but_not_too_often() {
        assert_eq!(every("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(every("999ms").map_err(|complaint| complaint.code), Err("bad-duration"));
    }
}
