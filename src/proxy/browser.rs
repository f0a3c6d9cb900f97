//! Which page sends a request. A browser lets every page that it shows send requests to every address that it reaches,
//! this machine's loopback included, and requests to a gateway cost its operator money. It also says which site's page
//! it was (`origin`, `sec-fetch-site`), which no page can change. Requests from another site's page are refused, unless
//! the configuration names that site. (Fetch: <https://fetch.spec.whatwg.org/>; Fetch Metadata:
//! <https://www.w3.org/TR/fetch-metadata/>.)

mod refused;
mod rules;

use std::net::SocketAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::l4::socket::SocketAddr as Local;

use super::host::{host_of, only};
use refused::SHOWN_CHARS_MAX;

pub(super) use refused::Refused;
pub(super) use rules::BrowserRules;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
static ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The methods that a page may use, once it may send requests at all.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// Two hours: the longest that Chromium honours.
const MAX_AGE_S: u64 = 7200;
/// A page's own headers are few; more are not repeated to it.
const REQUESTED_HEADERS_BYTES_MAX: usize = 4096;
/// Schemes of the web, and of pages from anywhere. Others belong to installed programs: their own pages (`app://`,
/// `tauri://`, `capacitor://`, `vscode-webview://`) and browser extensions (`chrome-extension://`, …).
const FOREIGN_SCHEMES: [&str; 9] = ["http", "https", "ws", "wss", "ftp", "file", "data", "blob", "about"];
/// Headers that a page may read without permission (Fetch, "CORS-safelisted response-header name"), and those that
/// belong to the connection or to the browser.
const NOT_EXPOSED: [&str; 14] = [
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
    "connection",
    "date",
    "set-cookie",
    "transfer-encoding",
    "upgrade",
    "vary",
    "access-control-allow-origin",
];

/// The CORS headers for answers of a listener with `cors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The origin whose page may read the answer; `None`: the request comes from no such page.
    allowed: Option<HeaderValue>,
}

/// A request that may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admitted {
    /// `None`: the listener has no `cors`, and no page may read its answers.
    pub cors: Option<Cors>,
    /// The request is a browser's question whether a page may send another.
    pub is_preflight: bool,
}

/// Judges a request by the origin of the page that sends it. `local` is the address that its connection was accepted
/// on.
///
/// # Errors
/// The reason why it must not be answered.
pub(super) fn admit(rules: &BrowserRules, request: &RequestHeader, local: Option<&Local>) -> Result<Admitted, Refused> {
    let headers = &request.headers;
    let is_browsers = headers.contains_key(ORIGIN) || headers.contains_key(&SEC_FETCH_SITE);
    let listener = match rules.is_empty() {
        true => None,
        false => rules.of(local),
    };
    let local = local.and_then(Local::as_inet);
    if let Some(listener) = listener {
        listener.check_host(request, local.map(SocketAddr::ip))?;
    }
    let cors = listener.filter(|listener| listener.has_cors()).map(|listener| Cors {
        allowed: headers.get(ORIGIN).and_then(|origin| listener.allowed(origin)),
    });
    let is_allowed = cors.as_ref().is_some_and(|cors| cors.allowed.is_some());
    let is_preflight = is_preflight(request);
    if is_preflight && !is_allowed {
        return Err(Refused::Preflight {
            origin: shown(headers, &ORIGIN),
        });
    }
    if is_browsers && !is_allowed {
        check_site(request, local)?;
    }
    Ok(Admitted { cors, is_preflight })
}

fn is_preflight(request: &RequestHeader) -> bool {
    let headers = &request.headers;
    request.method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// A request that a browser made, for a page that no `cors` names.
fn check_site(request: &RequestHeader, local: Option<&SocketAddr>) -> Result<(), Refused> {
    let headers = &request.headers;
    let site = only(headers, &SEC_FETCH_SITE);
    if matches!(site, Some("same-origin" | "none")) {
        return Ok(());
    }
    if headers.contains_key(ORIGIN) {
        let is_harmless = only(headers, &ORIGIN).is_some_and(|origin| match origin.split_once("://") {
            Some(("http" | "https", authority)) => is_loopback(local) && is_of_loopback(authority),
            Some((scheme, _)) => !FOREIGN_SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()),
            None => false,
        });
        return match is_harmless {
            true => Ok(()),
            false => Err(Refused::Origin {
                origin: shown(headers, &ORIGIN),
            }),
        };
    }
    // A link or an image of another site: it sees nothing of the answer, and the list of models costs nothing.
    let costs_nothing =
        matches!(request.method, Method::GET | Method::HEAD) && matches!(request.uri.path(), "/v1/models" | "/models");
    match costs_nothing {
        true => Ok(()),
        false => Err(Refused::Site {
            site: shown(headers, &SEC_FETCH_SITE),
        }),
    }
}

/// Returns whether only this machine's browsers reach the listener. One on a unix socket is reached through another
/// server, by browsers that may be anywhere.
fn is_loopback(local: Option<&SocketAddr>) -> bool {
    local.is_some_and(|local| local.ip().to_canonical().is_loopback())
}

/// Returns whether the page was loaded from a server on its browser's own machine. Browsers never ask DNS for names
/// below `localhost` (<https://w3c.github.io/webappsec-secure-contexts/#localhost>).
fn is_of_loopback(authority: &str) -> bool {
    host_of(authority).is_some_and(|host| {
        let is_address = host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback());
        is_address || host == "localhost" || host.ends_with(".localhost")
    })
}

/// A header's value for messages.
fn shown(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let all: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    all.join(", ").chars().take(SHOWN_CHARS_MAX).collect()
}

impl Cors {
    /// Tells the browser whose page may read the answer, and which of its headers.
    pub(super) fn add_to(&self, header: &mut ResponseHeader) -> Result<()> {
        let varies = header.headers.get_all(VARY).iter().any(|vary| {
            let mut names = vary.to_str().unwrap_or_default().split(',').map(str::trim);
            names.any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
        });
        if !varies {
            header.append_header(VARY, "origin")?;
        }
        let Some(allowed) = &self.allowed else {
            return Ok(());
        };
        let names = header.headers.keys().map(HeaderName::as_str);
        let exposed: Vec<&str> = names.filter(|name| !NOT_EXPOSED.contains(name)).collect();
        let exposed = exposed.join(", ");
        header.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone())?;
        if !exposed.is_empty() {
            header.insert_header(ACCESS_CONTROL_EXPOSE_HEADERS, exposed)?;
        }
        Ok(())
    }
}

/// Removes the upstream's CORS headers: they concern pages that send requests there, not here.
pub(super) fn remove_upstreams(header: &mut ResponseHeader) {
    let names = header
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"));
    for name in names.cloned().collect::<Vec<_>>() {
        header.remove_header(&name);
    }
}

/// The answer to a preflight that was admitted.
pub(super) fn preflight(request: &RequestHeader) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(StatusCode::NO_CONTENT, Some(8))?;
    header.insert_header(ACCESS_CONTROL_ALLOW_METHODS, METHODS)?;
    let requested = request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(requested) = requested.filter(|requested| requested.len() <= REQUESTED_HEADERS_BYTES_MAX) {
        header.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, requested.clone())?;
    }
    if request.headers.contains_key(&REQUEST_PRIVATE_NETWORK) {
        header.insert_header(ALLOW_PRIVATE_NETWORK.clone(), "true")?;
    }
    header.insert_header(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S)?;
    header.insert_header(
        VARY,
        "access-control-request-method, access-control-request-headers, access-control-request-private-network",
    )?;
    Ok(header)
}

#[cfg(test)]
mod tests;
