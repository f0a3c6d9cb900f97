//! `headers`, `remove_headers`, `forward_headers`, `key_header` and `query`: what every request to an upstream gains,
//! loses or keeps.

use http::{HeaderName, HeaderValue};

use super::diagnostic::{Complaint, Diagnostic};
use super::document::Node;
use super::reader::{Reader, quote};
use super::source::Place;
use crate::protocol::meant::{self, Stays};

/// Headers that belong to the connection, to the message's framing or to the gateway (RFC 9110 §7.6.1).
const OWN_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-gateway-request-id",
];

/// A header's name that may be written, in lower case.
pub(super) fn header_name(text: &str) -> Result<HeaderName, Complaint> {
    const CODE: &str = "bad-header";
    let name: HeaderName = text.parse().map_err(|_| {
        Complaint::new(
            CODE,
            "is not a header's name",
            "a name consists of letters, digits and `-`, without colon or space",
        )
    })?;
    if OWN_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("x-gateway-") {
        return Err(Complaint::new(
            CODE,
            "is a header that Switchback manages itself",
            "remove it",
        ));
    }
    Ok(name)
}

/// `headers`: a mapping of names to values.
pub(super) fn added(reader: &mut Reader<'_>, node: &Node, at: Place) -> Vec<(HeaderName, HeaderValue)> {
    let mut out = Vec::new();
    for entry in reader.entries(node, at, "`headers`").unwrap_or_default() {
        let name = header_name(&entry.name.value)
            .map_err(|complaint| reader.complain(&entry.name, complaint))
            .ok();
        let Some(text) = reader.text(entry.value, "a header's value") else {
            continue;
        };
        match HeaderValue::from_str(text.value.trim()) {
            Ok(mut value) => {
                // It may be a credential: `Debug` shows no sensitive value.
                value.set_sensitive(true);
                out.extend(name.map(|name| (name, value)));
            }
            Err(_) => {
                let message = format!(
                    "the value of {} has a character that is not allowed in a header",
                    quote(entry.name.written)
                );
                reader.error("bad-header", text.place, message);
            }
        }
    }
    out
}

/// `remove_headers`: a list of names.
pub(super) fn removed(reader: &mut Reader<'_>, node: &Node, at: Place) -> Vec<HeaderName> {
    let items = reader.items(node, at, "`remove_headers`").unwrap_or_default();
    items
        .iter()
        .filter_map(|item| reader.value(item, "a header's name", header_name))
        .collect()
}

/// `forward_headers`: a list of names.
pub(super) fn forwarded(reader: &mut Reader<'_>, node: &Node, at: Place, removed: &[HeaderName]) -> Vec<HeaderName> {
    let items = reader.items(node, at, "`forward_headers`").unwrap_or_default();
    let mut out = Vec::new();
    for item in items {
        let Some(name) = reader.value(item, "a header's name", header_name) else {
            continue;
        };
        let shown = quote(item.text().unwrap_or_default());
        if removed.contains(&name) {
            let message = format!("{shown} is in `remove_headers` too");
            reader.report(Diagnostic::error("bad-header", item.place, message).help("keep one of them"));
        } else if matches!(meant::stays(name.as_str()), None | Some(Stays::Never)) {
            let message = format!("{shown} is forwarded to every upstream anyway");
            let help = "`forward_headers` is for headers that are otherwise withheld (docs/security.md has the list)";
            reader.report(Diagnostic::warning("idle-header", item.place, message).help(help));
        }
        out.push(name);
    }
    out
}

/// `query`: a mapping of parameters to values, not yet percent-encoded.
pub(super) fn query(reader: &mut Reader<'_>, node: &Node, at: Place) -> Vec<(String, String)> {
    let entries = reader.entries(node, at, "`query`").unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|entry| Some((entry.name.value, reader.text(entry.value, "a parameter")?.value)))
        .collect()
}
