//! Requests to the admin listener are checked for who may ask. The listener has no password; it is protected by being reachable from this machine only. Every
//! web site can send requests through a browser on this machine, so a request of a foreign page is refused, and so is
//! one with a foreign host name: its owner could make the name lead here (DNS rebinding), and the page would count as
//! one of ours.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Uri};

use crate::proxy::host::{Hosts, only};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request uses a host name that is not known to lead here.
    ForeignHost,
    /// A page of another site asks.
    ForeignOrigin,
}

#[derive(Debug, Clone)]
pub(super) struct Guard {
    hosts: Hosts,
}

impl Guard {
    pub(super) fn new(hosts: Vec<String>) -> Self {
        Self {
            hosts: Hosts::new(hosts),
        }
    }

    /// Checks a request. `local` is the address that the connection was accepted on, which cannot be rebound.
    ///
    /// # Errors
    /// The reason why the request must not be answered.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap, local: Option<IpAddr>) -> Result<(), Refusal> {
        let host = only(headers, &HOST).ok_or(Refusal::ForeignHost)?;
        self.hosts
            .check(uri, headers, local)
            .map_err(|_| Refusal::ForeignHost)?;
        if headers.contains_key(&ORIGIN) && !only(headers, &ORIGIN).is_some_and(|origin| is_of(origin, host)) {
            return Err(Refusal::ForeignOrigin);
        }
        match headers.contains_key(&SEC_FETCH_SITE) {
            true if !is_our_own(uri, headers) => Err(Refusal::ForeignOrigin),
            _ => Ok(()),
        }
    }
}

/// Returns whether a page of that origin was itself loaded from here. The scheme may differ behind a proxy that adds
/// TLS.
fn is_of(origin: &str, host: &str) -> bool {
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Returns whether a browser says that our own page or a person asks (W3C Fetch Metadata). A link on another site that
/// leads to the page counts as a person: that site sees nothing of it.
fn is_our_own(uri: &Uri, headers: &HeaderMap) -> bool {
    match only(headers, &SEC_FETCH_SITE) {
        Some("same-origin" | "none") => true,
        Some("same-site" | "cross-site") => {
            uri.path() == "/"
                && only(headers, &SEC_FETCH_MODE) == Some("navigate")
                && only(headers, &SEC_FETCH_DEST) == Some("document")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let guard = Guard::new(vec!["status.example".to_owned(), "10.0.0.9".to_owned()]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        guard.check(&uri.parse().unwrap(), &map, Some("10.0.0.1".parse().unwrap()))
    }

    #[test]
    fn names_that_lead_here() {
        for host in [
            "127.0.0.1:9091",
            "127.0.0.1",
            "127.9.9.9:1",
            "localhost:9091",
            "LOCALHOST",
            "localhost.:9091",
            "[::1]:9091",
            "[::ffff:127.0.0.1]:9091",
            "10.0.0.1:9091",
            "10.0.0.9",
            "Status.Example:443",
        ] {
            assert_eq!(check("/status", &[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn names_that_may_be_somebody_elses() {
        for host in [
            "evil.example:9091",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "10.0.0.2",
            "x@localhost",
            "",
            " ",
            ":9091",
        ] {
            assert_eq!(check("/status", &[("host", host)]), Err(Refusal::ForeignHost), "{host}");
        }
        assert_eq!(check("/status", &[]), Err(Refusal::ForeignHost));
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(check("/status", &twice), Err(Refusal::ForeignHost));
        let absolute = check("http://evil.example/status", &[("host", "localhost")]);
        assert_eq!(absolute, Err(Refusal::ForeignHost));
    }

    #[test]
    fn pages_of_our_own_and_of_others() {
        let ask = |name, value| check("/status", &[("host", "localhost:9091"), (name, value)]);
        for origin in [
            "http://localhost:9091",
            "https://localhost:9091",
            "http://LOCALHOST:9091",
        ] {
            assert_eq!(ask("origin", origin), Ok(()), "{origin}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost:3000",
            "http://localhost",
            "localhost:9091",
            "",
        ] {
            assert_eq!(ask("origin", origin), Err(Refusal::ForeignOrigin), "{origin}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(ask("sec-fetch-site", site), Ok(()));
        }
        for site in ["same-site", "cross-site", "", "whatever"] {
            assert_eq!(ask("sec-fetch-site", site), Err(Refusal::ForeignOrigin), "{site}");
        }
    }

    #[test]
    fn a_link_may_lead_to_the_page_and_to_nothing_else() {
        let follow = |uri, mode, dest| {
            let headers = [
                ("host", "localhost"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
            ];
            check(uri, &headers)
        };
        assert_eq!(follow("/", "navigate", "document"), Ok(()));
        assert_eq!(follow("/status", "navigate", "document"), Err(Refusal::ForeignOrigin));
        assert_eq!(follow("/", "navigate", "iframe"), Err(Refusal::ForeignOrigin));
        assert_eq!(follow("/", "no-cors", "script"), Err(Refusal::ForeignOrigin));
    }
}
