//! The host name of a request. A browser resolves a name for every page anew, and its owner may let it lead to this
//! machine (DNS rebinding). Accepting only names that nobody else owns keeps such a page from counting as one of ours.

use std::net::IpAddr;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Uri};

/// The names of a listener besides those of loopback and its own address; lower case, without ports.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that the request asks by a known name; `local` is the address that the connection was accepted on, which
    /// cannot be rebound, because its owner is this machine.
    ///
    /// # Errors
    /// The name that is not known; empty where there is none.
    pub fn check<'r>(&self, uri: &'r Uri, headers: &'r HeaderMap, local: Option<IpAddr>) -> Result<(), &'r str> {
        // RFC 9112, section 3.2.2: the target's authority, where it has one, is what counts. Over HTTP/2 it is all there is.
        let authority = uri.authority().map(Authority::as_str);
        let host = match headers.contains_key(HOST) {
            true => Some(only(headers, &HOST).unwrap_or_default()),
            false => None,
        };
        let mut named = [authority, host].into_iter().flatten().peekable();
        if named.peek().is_none() {
            return Err("");
        }
        named.find(|name| !self.know(name, local)).map_or(Ok(()), Err)
    }

    fn know(&self, authority: &str, local: Option<IpAddr>) -> bool {
        let Some(host) = host_of(authority) else { return false };
        match host.parse::<IpAddr>() {
            Ok(address) => {
                let address = address.to_canonical();
                address.is_loopback()
                    || local.is_some_and(|local| local.to_canonical() == address)
                    || self.0.contains(&address.to_string())
            }
            Err(_) => host == "localhost" || self.0.contains(&host),
        }
    }
}

/// The value of a header that must be there once.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// `localhost` of `LOCALHOST:9091`, `::1` of `[::1]:9091`.
pub(super) fn host_of(authority: &str) -> Option<String> {
    let authority: Authority = authority.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}
