//! Base URLs: split once, here.

use super::BaseUrl;
use super::diagnostic::Complaint;

const CODE: &str = "invalid-url";
const HELP: &str = "give the base URL that the provider's own SDK takes, as in `https://api.openai.com/v1`";

impl BaseUrl {
    /// Stands in for a valid URL: after a fault, or for an unset variable.
    pub(super) fn placeholder() -> Self {
        let host = "placeholder.invalid".to_owned();
        Self {
            https: true,
            authority: host.clone(),
            host,
            port: 443,
            path: String::new(),
        }
    }

    /// Returns whether there was no valid URL.
    pub(super) fn is_placeholder(&self) -> bool {
        *self == Self::placeholder()
    }

    /// Returns whether requests stay on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let name = self.host.as_str();
        name == "localhost"
            || name.ends_with(".localhost")
            || name
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

/// `http[s]://HOST[:PORT][/PATH]`, host in lower case.
pub(super) fn parse(text: &str) -> Result<BaseUrl, Complaint> {
    let bad = |reason: &str| Complaint::new(CODE, format!("is not a valid URL: {reason}"), HELP);
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| bad("it does not begin with `https://` or `http://`"))?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(bad("only `https` and `http` are supported")),
    };
    if rest.contains(['?', '#']) {
        return Err(Complaint::new(
            CODE,
            "is not a base URL: it has a query or a fragment",
            "write the query under `query`",
        ));
    }
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return Err(Complaint::new(
            CODE,
            "is not a base URL: it holds a user name",
            "write the credential under `key`",
        ));
    }
    let (host, port) = split_port(authority).ok_or_else(|| bad("its port is not a number between 1 and 65535"))?;
    let host = host.to_ascii_lowercase();
    let bare = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) if inside.parse::<std::net::Ipv6Addr>().is_ok() => inside,
        Some(_) => return Err(bad("what is in brackets is not an IPv6 address")),
        None if is_host(&host) => &host,
        None if host.is_empty() => return Err(bad("it has no host")),
        None => return Err(bad("its host has a character that is not allowed there")),
    };
    if path.parse::<http::uri::PathAndQuery>().is_err() && !path.is_empty() {
        return Err(bad("its path has a character that must be percent-encoded"));
    }
    let usual = if https { 443 } else { 80 };
    let port = port.unwrap_or(usual);
    let authority = if port == usual {
        host.clone()
    } else {
        format!("{host}:{port}")
    };
    Ok(BaseUrl {
        https,
        host: bare.to_owned(),
        port,
        path: path.trim_end_matches('/').to_owned(),
        authority,
    })
}

/// Splits host and port; `None` where the port is invalid.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_brackets..].rfind(':') {
        None => Some((authority, None)),
        Some(at) => {
            let (host, port) = authority.split_at(after_brackets + at);
            let port = &port[1..];
            let number = port
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| port.parse::<u16>().ok())
                .flatten();
            number.filter(|&number| number != 0).map(|number| (host, Some(number)))
        }
    }
}

/// Checks for letters, digits, `-`, `_` and `.`, in labels that are not empty: RFC 1123 and the `_` that private zones
/// use.
pub(super) fn is_host(host: &str) -> bool {
    host.len() <= 253
        && host.trim_end_matches('.').split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        for (text, https, host, port, path, authority) in [
            (
                "https://api.openai.com/v1",
                true,
                "api.openai.com",
                443,
                "/v1",
                "api.openai.com",
            ),
            (
                "https://API.anthropic.com",
                true,
                "api.anthropic.com",
                443,
                "",
                "api.anthropic.com",
            ),
            (
                "http://127.0.0.1:8000/v1/",
                false,
                "127.0.0.1",
                8000,
                "/v1",
                "127.0.0.1:8000",
            ),
            ("http://[::1]:80/", false, "::1", 80, "", "[::1]"),
            (
                "https://[2001:db8::1]:8443/a/b//",
                true,
                "2001:db8::1",
                8443,
                "/a/b",
                "[2001:db8::1]:8443",
            ),
            ("HTTPS://a.example:443", true, "a.example", 443, "", "a.example"),
        ] {
            let url = parse(text).unwrap();
            let parts = (
                url.https,
                url.host.as_str(),
                url.port,
                url.path.as_str(),
                url.authority.as_str(),
            );
            assert_eq!(parts, (https, host, port, path, authority), "{text}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for text in [
            "",
            "api.openai.com",
            "ftp://a",
            "https://",
            "https:///v1",
            "https://a b/",
            "https://a:0/",
            "https://a:65536/",
            "https://a:+1",
            "https://a:/",
            "https://[::1/",
            "https://[x]/",
            "https://a..b/",
            "https://a/?key=1",
            "https://a/#x",
            "https://user:pass@a/",
            "https://ü.example/",
            "https://a/ b",
        ] {
            assert_eq!(parse(text).map_err(|complaint| complaint.code), Err(CODE), "{text}");
        }
    }

    #[test]
    fn loopback() {
        for (text, loopback) in [
            ("http://localhost:1", true),
            ("http://a.localhost", true),
            ("http://127.1.2.3", true),
            ("http://[::1]", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
