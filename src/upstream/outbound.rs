//! What a client's request becomes on its way to an upstream, apart from what frames it and belongs to the connection.

use http::header::{ACCEPT_ENCODING, HOST};
use http::{HeaderName, HeaderValue};

use super::credential::CLIENT_CREDENTIALS;
use super::{Upstream, path};
use crate::protocol::Protocol;

/// The gateway's own headers: what a client sends of these goes no further.
pub(super) const OURS: &str = "x-gateway-";

/// The gateway's id of a request, sent to the upstream too.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-gateway-request-id");

/// A stream must come uncompressed, so that it can be judged.
pub static UNCOMPRESSED: (HeaderName, HeaderValue) = (ACCEPT_ENCODING, HeaderValue::from_static("identity"));

impl Upstream {
    /// The request's path and query here, for the client's `path` and `query`.
    pub fn path_and_query(&self, protocol: Protocol, path: &str, query: Option<&str>) -> String {
        path::at_upstream(&self.url.path, protocol, path, query, &self.query)
    }

    /// Whether a header of the client's stays away from here.
    pub fn withholds(&self, name: &HeaderName) -> bool {
        name.as_str().starts_with(OURS)
            || self.remove_headers.contains(name)
            || (CLIENT_CREDENTIALS.contains(name) && !self.credential.is_passthrough())
    }

    /// The headers that every request here carries besides the client's, whose place they take; a later one takes that
    /// of an earlier one.
    pub fn own_headers(&self, protocol: Protocol) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let configured = self.headers.iter().map(|(name, value)| (name, value));
        std::iter::once((&HOST, &self.host))
            .chain(configured)
            .chain(self.credential.header(protocol))
    }
}
