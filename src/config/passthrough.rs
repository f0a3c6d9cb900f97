//! `server.passthrough`: where requests go that no model routes.

use super::diagnostic::{Complaint, Diagnostic};
use super::document::{Node, Value};
use super::names::{Names, Reference};
use super::reader::{Reader, quote};
use super::source::Place;
use super::{Passthrough, keys};
use crate::protocol::account::{Guard, guard_of};
use crate::protocol::endpoint::endpoint;
use crate::protocol::path;

/// `UPSTREAM`, or `{ upstream, paths }`. `None` after a fault.
pub(super) fn passthrough(
    reader: &mut Reader<'_>,
    node: &Node,
    at: Place,
    upstreams: &Names<'_>,
) -> Option<Passthrough> {
    let Value::Mapping(_) = &node.value else {
        let upstream = named(reader, node, upstreams)?;
        return Some(Passthrough {
            upstream,
            paths: Vec::new(),
        });
    };
    let fields = reader.fields(node, at, "`passthrough`", &keys::PASSTHROUGH)?;
    let mut paths = Vec::new();
    if let Some((node, at)) = fields.section("paths") {
        for item in reader.items(node, at, "`paths`").unwrap_or_default() {
            if let Some(glob) = reader.value(item, "a path", glob) {
                warn_of_open_path(reader, item, &glob);
                paths.push(glob.into());
            }
        }
    }
    let node = fields.required(reader, "upstream")?;
    let upstream = named(reader, node, upstreams)?;
    Some(Passthrough { upstream, paths })
}

fn named(reader: &mut Reader<'_>, node: &Node, upstreams: &Names<'_>) -> Option<usize> {
    let text = reader.text(node, "`passthrough`")?;
    let reference = Reference {
        name: &text.value,
        written: text.written,
        place: text.place,
    };
    upstreams.find(reader, &reference, None)
}

/// The endpoint that a written path stands for, in lower case, as it is compared.
fn glob(text: &str) -> Result<String, Complaint> {
    let bad = |reason: &str| {
        let help = "write a path as clients ask for it, decoded and without a query: `/v1/organization/usage/*`";
        Complaint::new("bad-path", reason, help)
    };
    if !text.starts_with('/') {
        return Err(bad("does not begin with `/`"));
    }
    match path::normal(text) {
        Ok(normal) if *normal == *text => Ok(endpoint(text).to_lowercase()),
        Ok(_) => Err(bad("is not a path in its normal form")),
        Err(_) => Err(bad("is a path that no request can have")),
    }
}

/// Warns because whoever writes such a path may believe that nothing else passes.
fn warn_of_open_path(reader: &mut Reader<'_>, item: &Node, glob: &str) {
    let literal = glob.strip_suffix("/*").unwrap_or(glob);
    if literal.is_empty() || literal.contains('*') || guard_of(literal) == Some(Guard::Administered) {
        return;
    }
    let message = format!(
        "{} is open with `passthrough` alone",
        quote(item.text().unwrap_or_default())
    );
    let help = "`paths` is for paths that administer the account (docs/security.md has the list)";
    reader.report(Diagnostic::warning("open-path", item.place, message).help(help));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_without_version_and_case() {
        for (text, expected) in [
            ("/v1/Organization/usage/*", "/organization/usage/*"),
            ("/keys", "/keys"),
            ("/*", "/*"),
            ("/v1/*", "/*"),
        ] {
            assert_eq!(glob(text).ok().as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "keys",
            "*",
            "/v1//keys",
            "/v1/keys/",
            "/v1/../keys",
            "/v1/%6beys",
            "/v1/keys?x=1",
        ] {
            assert_eq!(
                glob(text).map_err(|complaint| complaint.code),
                Err("bad-path"),
                "{text}"
            );
        }
    }
}
