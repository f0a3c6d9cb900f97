//! The header fields of what the gateway asks upstreams for itself: balances and lists of models.

use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderName, HeaderValue};

use crate::protocol::Protocol;
use crate::upstream::Upstream;

static OURS: [(HeaderName, HeaderValue); 3] = [
    (
        USER_AGENT,
        HeaderValue::from_static(concat!("switchback/", env!("CARGO_PKG_VERSION"))),
    ),
    (ACCEPT, HeaderValue::from_static("application/json")),
    (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
];

/// Returns the gateway's own fields and those in `more`, as far as the upstream does not remove them, then the upstream's own.
pub(super) fn headers<'u>(
    upstream: &'u Upstream,
    protocol: Protocol,
    more: Option<&'static (HeaderName, HeaderValue)>,
) -> impl Iterator<Item = (&'u HeaderName, &'u HeaderValue)> {
    let ours = OURS.iter().chain(more).map(|(name, value)| (name, value));
    ours.filter(|(name, _)| !upstream.remove_headers.contains(name))
        .chain(upstream.own_headers(protocol))
}
