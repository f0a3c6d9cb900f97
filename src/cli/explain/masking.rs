//! What a request carries, without what nobody but its upstream may see.

use http::HeaderName;

use super::asked::Asked;
use crate::config::{self, Key};
use crate::protocol::meant::CREDENTIALS;
use crate::upstream::outbound::{REQUEST_ID, UNCOMPRESSED};
use crate::upstream::{Upstream, path};

pub(super) const MASK: &str = "***";
const UNSET: &str = "(unset)";
/// This many of the first of [`CREDENTIALS`] are shown.
const USUAL_CREDENTIALS: usize = 5;

/// Configured headers and parameters may be credentials, whatever they are called: only these are shown.
const SHOWN_HEADERS: [&str; 9] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "http-referer",
    "openai-beta",
    "referer",
    "user-agent",
    "x-title",
];
const SHOWN_PARAMETERS: [&str; 4] = ["alt", "api-version", "beta", "version"];

/// A request to one upstream, fit to be shown.
pub(super) struct Shown {
    pub(super) url: String,
    /// The headers that the gateway sets, by name and masked value.
    pub(super) headers: Vec<(HeaderName, String)>,
    /// The client's headers that go no further: the usual credentials, and those that the configuration removes.
    pub(super) withheld: Vec<HeaderName>,
    pub(super) key: &'static str,
}

pub(super) fn shown(upstream: &Upstream, written: &config::Upstream, asked: &Asked) -> Shown {
    let scheme = if upstream.url.https { "https" } else { "http" };
    let target = path::at_upstream(
        &upstream.url.path,
        asked.protocol,
        &asked.path,
        &upstream.client_query(asked.query.as_deref().unwrap_or_default()),
        &query(&written.query),
    );
    Shown {
        url: format!("{scheme}://{}{target}", upstream.url.authority),
        headers: headers(upstream, written, asked),
        withheld: withheld(upstream),
        key: match &written.key {
            Key::None => "none",
            Key::Passthrough => "passthrough",
            Key::Secret(secret) if secret.is_placeholder() => "unset",
            Key::Secret(_) => "set",
        },
    }
}

fn withheld(upstream: &Upstream) -> Vec<HeaderName> {
    let usual = CREDENTIALS
        .iter()
        .take(USUAL_CREDENTIALS)
        .map(|name| HeaderName::from_static(name));
    let known = usual.chain(upstream.remove_headers.iter().cloned());
    known.filter(|name| upstream.withholds(name)).collect()
}

fn headers(upstream: &Upstream, written: &config::Upstream, asked: &Asked) -> Vec<(HeaderName, String)> {
    let credential = upstream.credential.header(asked.protocol).map(|(name, _)| name);
    let unset = matches!(&written.key, Key::Secret(secret) if secret.is_placeholder());
    let mut out: Vec<(HeaderName, String)> = Vec::new();
    let mut set = |name: &HeaderName, value: String| {
        out.retain(|(earlier, _)| earlier != name);
        out.push((name.clone(), value));
    };
    set(&REQUEST_ID, "(the request's id)".to_owned());
    for (name, value) in upstream.own_headers(asked.protocol) {
        let value = match value.to_str() {
            Ok(value) if !is_secret(name, credential) => value.to_owned(),
            Ok(value) if credential == Some(name) && value.starts_with("Bearer ") => {
                format!("Bearer {}", if unset { UNSET } else { MASK })
            }
            _ if credential == Some(name) && unset => UNSET.to_owned(),
            _ => MASK.to_owned(),
        };
        set(name, value);
    }
    if asked.stream {
        let (name, value) = &UNCOMPRESSED;
        set(name, value.to_str().unwrap_or_default().to_owned());
    }
    out
}

fn is_secret(name: &HeaderName, credential: Option<&HeaderName>) -> bool {
    credential == Some(name) || !(*name == http::header::HOST || SHOWN_HEADERS.contains(&name.as_str()))
}

/// The upstream's own parameters as `at_upstream` takes them; encoding only matters where something is sent.
fn query(pairs: &[(String, String)]) -> String {
    let shown = pairs.iter().map(|(name, value)| {
        let value = if SHOWN_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
            value
        } else {
            MASK
        };
        format!("{name}={value}")
    });
    shown.collect::<Vec<_>>().join("&")
}
