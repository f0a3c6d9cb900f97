//! What a client's request becomes on its way to an upstream, apart from its framing and what belongs to the
//! connection.

use std::borrow::Cow;

use http::header::{ACCEPT_ENCODING, HOST};
use http::{HeaderName, HeaderValue};

use super::{Upstream, path};
use crate::protocol::Protocol;
use crate::protocol::meant::{self, Stays};

/// The gateway's own headers: a client's headers with these names are not sent on.
pub(super) const OURS: &str = "x-gateway-";

/// The gateway's id of a request, sent to the upstream too.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-gateway-request-id");

/// A stream must come uncompressed, so that it can be judged.
pub static UNCOMPRESSED: (HeaderName, HeaderValue) = (ACCEPT_ENCODING, HeaderValue::from_static("identity"));

impl Upstream {
    /// The request's path and query here, for the client's `path`, in its normal form, and `query`.
    pub fn path_and_query(&self, protocol: Protocol, path: &str, query: Option<&str>) -> String {
        let query = self.client_query(query.unwrap_or_default());
        path::at_upstream(&self.url.path, protocol, path, &query, &self.query)
    }

    /// Returns the part of the client's query that is sent here: no credential, and nothing that the configuration
    /// sets.
    pub fn client_query<'q>(&self, query: &'q str) -> Cow<'q, str> {
        let is_sent = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            let is_withheld = !self.credential.is_passthrough() && meant::is_credential_parameter(name);
            let is_replaced = !self.parameters.is_empty() && self.parameters.contains(&meant::parameter_name(name));
            !is_withheld && !is_replaced
        };
        if query.is_empty() || query.split('&').all(|pair| is_sent(&pair)) {
            return Cow::Borrowed(query);
        }
        let sent: Vec<&str> = query.split('&').filter(is_sent).collect();
        Cow::Owned(sent.join("&"))
    }

    /// Returns whether a header of the client's is not sent here.
    pub fn withholds(&self, name: &HeaderName) -> bool {
        let is_meant = || match meant::stays(name.as_str()) {
            None | Some(Stays::Never) => true,
            Some(Stays::WithCredential) => self.credential.is_passthrough() || self.forward_headers.contains(name),
            Some(Stays::Always) => self.forward_headers.contains(name),
        };
        name.as_str().starts_with(OURS) || self.remove_headers.contains(name) || !is_meant()
    }

    /// Returns which of the subprotocols that a client offers for a websocket are offered here: not those that carry
    /// its credential. `None` if all are.
    pub fn offered_subprotocols<'v>(&self, values: impl Iterator<Item = &'v HeaderValue>) -> Option<String> {
        if self.credential.is_passthrough() {
            return None;
        }
        // A value that is no ASCII offers nothing that anybody knows.
        let items = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let (withheld, offered): (Vec<&str>, Vec<&str>) =
            items.partition(|item| meant::is_credential_subprotocol(item));
        let offered: Vec<&str> = offered.into_iter().map(str::trim).collect();
        (!withheld.is_empty()).then(|| offered.join(", "))
    }

    /// Lists the headers of every request here besides the client's, which they replace; a later one replaces an
    /// earlier one.
    pub fn own_headers(&self, protocol: Protocol) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let configured = self.headers.iter().map(|(name, value)| (name, value));
        std::iter::once((&HOST, &self.host))
            .chain(configured)
            .chain(self.credential.header(protocol))
    }
}
