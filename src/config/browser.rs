//! What `listen` and `admin` say of browsers: the origins of pages, and the names in the URLs that they ask for.

use std::net::IpAddr;

use super::diagnostic::{Complaint, Diagnostic};
use super::document::Node;
use super::reader::Reader;
use super::source::Place;

/// A name in DNS is no longer (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// The item of `cors` that stands for the pages of every site.
pub const ANY_ORIGIN: &str = "*";
/// The origin of what has none: a local file, a sandboxed frame.
const NO_ORIGIN: &str = "null";

/// The origins of `cors`, as browsers write them.
pub(super) fn cors(reader: &mut Reader<'_>, section: Option<(&Node, Place)>) -> Vec<String> {
    let Some((node, at)) = section else {
        return Vec::new();
    };
    let mut origins = Vec::new();
    for item in reader.items(node, at, "`cors`").unwrap_or_default() {
        let Some(origin) = reader.value(item, "an origin", origin) else {
            continue;
        };
        let whose = match origin.as_str() {
            ANY_ORIGIN => "every web page in the browser of anyone who can reach this listener",
            NO_ORIGIN => "every local file and every sandboxed frame, whoever made it,",
            _ => "",
        };
        if !whose.is_empty() {
            let message = format!("{whose} can spend your keys and read the answers");
            let help = "name the origins that should: `cors: [https://chat.example.org]`";
            reader.report(Diagnostic::warning("open-cors", item.place, message).help(help));
        }
        origins.push(origin);
    }
    origins
}

/// The names of `hosts`.
pub(super) fn hosts(reader: &mut Reader<'_>, section: Option<(&Node, Place)>) -> Vec<String> {
    let Some((node, at)) = section else {
        return Vec::new();
    };
    let items = reader.items(node, at, "`hosts`").unwrap_or_default();
    let names = items.iter().filter_map(|item| reader.value(item, "a host name", host));
    names.collect()
}

/// Reads `SCHEME://HOST[:PORT]` in lower case, without the scheme's own port, as browsers write it (RFC 6454, section
/// 6.2).
fn origin(text: &str) -> Result<String, Complaint> {
    let bad = |reason: &str, help: &str| Err(Complaint::new("bad-origin", reason, help));
    const EXAMPLE: &str =
        "write it as browsers do: `https://chat.example.org`, `http://192.168.1.5:3000`, `app://obsidian.md`";
    let text = text.to_ascii_lowercase();
    if text == ANY_ORIGIN || text == NO_ORIGIN {
        return Ok(text);
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        return bad("is not an origin: it has no scheme", EXAMPLE);
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme {
        return bad("is not an origin: what is before `://` is no scheme", EXAMPLE);
    }
    if authority.contains(['/', '?', '#']) {
        let help = "leave out everything after the host and the port, including a trailing slash";
        return bad("is more than an origin", help);
    }
    if authority.contains('*') {
        let help = "write each origin; `*` alone, for every site, is the only pattern";
        return bad("is a pattern, which an origin can't be", help);
    }
    if authority.contains('@') {
        return bad("has a user, which an origin can't have", EXAMPLE);
    }
    let (host, port) = split_port(authority);
    if host_name(host).is_none() {
        let help = "write the host as in the browser's address bar, with the `xn--` form of letters beyond ASCII, and IPv6 in brackets";
        return bad("is not an origin: it has no host name", help);
    }
    match port {
        None => Ok(text),
        Some(port) => match (scheme, port.parse::<u16>()) {
            ("http", Ok(80)) | ("https", Ok(443)) => Ok(format!("{scheme}://{host}")),
            (_, Ok(port)) => Ok(format!("{scheme}://{host}:{port}")),
            (_, Err(_)) => bad("is not an origin: its port is not a number up to 65535", EXAMPLE),
        },
    }
}

/// A name or an address as it stands in a URL, without the port; in lower case.
pub(super) fn host(text: &str) -> Result<String, Complaint> {
    host_name(text).map(str::to_ascii_lowercase).ok_or(Complaint::new(
        "bad-host",
        "is not a host name",
        "write it as in the URL, without scheme and port: `status.example.org`",
    ))
}

/// Leaves out the brackets of an IPv6 address.
fn host_name(text: &str) -> Option<&str> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let is_address = inner.parse::<IpAddr>().is_ok();
    let is_name = !text.is_empty()
        && text.len() <= HOST_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    (is_address || is_name).then_some(inner)
}

/// `host:80` → `host`, `80`. A colon within brackets belongs to an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_as_browsers_write_them() {
        for (written, read) in [
            ("https://chat.example.org", "https://chat.example.org"),
            ("HTTPS://Chat.Example.Org:443", "https://chat.example.org"),
            ("http://webui.internal:3000", "http://webui.internal:3000"),
            ("http://webui.internal:80", "http://webui.internal"),
            ("https://webui.internal:80", "https://webui.internal:80"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://192.168.1.5", "http://192.168.1.5"),
            ("app://obsidian.md", "app://obsidian.md"),
            ("vscode-webview://0a1b", "vscode-webview://0a1b"),
            ("*", "*"),
            ("null", "null"),
        ] {
            assert_eq!(origin(written).as_deref().ok(), Some(read), "{written}");
        }
    }

    #[test]
    fn what_is_no_origin() {
        for text in [
            "",
            "chat.example.org",
            "https://",
            "https:///",
            "https://chat.example.org/",
            "https://chat.example.org/v1",
            "https://chat.example.org?x",
            "https://*.example.org",
            "https://user@chat.example.org",
            "https://chat.example.org:",
            "https://chat.example.org:65536",
            "https://münchen.example",
            "https://a b",
            "://chat.example.org",
            "1a://chat.example.org",
            "http://::1",
        ] {
            let fault = origin(text).map_err(|complaint| complaint.code);
            assert_eq!(fault, Err("bad-origin"), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_and_addresses() {
        for (written, read) in [
            ("Status.Example", "status.example"),
            ("10.0.0.9", "10.0.0.9"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(host(written).as_deref().ok(), Some(read));
        }
        for text in ["", "a:80", "http://a", "a/b", "[a]", &"a".repeat(254)] {
            assert_eq!(
                host(text).map_err(|complaint| complaint.code),
                Err("bad-host"),
                "{text}"
            );
        }
    }
}
