//! `proxy`: by which way upstreams are reached.

use super::diagnostic::{Complaint, Diagnostic};
use super::document::{Node, Value};
use super::interpolate::Origin;
use super::outbound::{Login, Proxy, ProxyKind};
use super::reader::Reader;
use super::source::Place;
use super::{BaseUrl, no_proxy, url};
use crate::protocol::percent;

const CODE: &str = "invalid-proxy";
const HELP: &str = "write `http://HOST:PORT`, `https://HOST:PORT` or `socks5://HOST:PORT`, with `USER:PASSWORD@` before the host where the \
                    proxy asks for it; `env` takes it from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and `none` uses none";
/// What SOCKS5 can carry (RFC 1929 §2).
const LOGIN_MAX_BYTES: usize = 255;

/// What is written as `proxy`.
pub(super) enum Choice {
    None,
    /// That of the environment, by the upstream's scheme and host.
    Env(Place),
    At(Proxy),
}

/// Reads the `proxy` of `server`, which holds for every upstream that has none of its own.
pub(super) fn of_server(reader: &mut Reader<'_>, server: Option<(&Node, Place)>) -> Choice {
    let Some((Value::Mapping(entries), _)) = server.map(|(node, at)| (&node.value, at)) else {
        return Choice::None;
    };
    let written = entries.iter().find(|(key, _)| key.text() == Some("proxy"));
    written.map_or(Choice::None, |(_, node)| choice(reader, node))
}

pub(super) fn choice(reader: &mut Reader<'_>, node: &Node) -> Choice {
    let Some(text) = reader.text(node, "`proxy`") else {
        return Choice::None;
    };
    match text.value.as_str() {
        "none" => Choice::None,
        "env" => Choice::Env(text.place),
        _ if text.origin == Origin::StandIn => Choice::None,
        url => match parse(url) {
            Ok(proxy) => Choice::At(proxy),
            Err(complaint) => {
                report(reader, text.place, "this", complaint);
                Choice::None
            }
        },
    }
}

impl Choice {
    /// Returns the proxy to the upstream at `url`. `is_own`: the upstream itself says so; else it stays on this machine where
    /// its URL does.
    pub(super) fn to(&self, reader: &mut Reader<'_>, url: &BaseUrl, is_own: bool) -> Option<Proxy> {
        if !is_own && url.is_loopback() {
            return None;
        }
        match self {
            Self::None => None,
            Self::At(proxy) => Some(proxy.clone()),
            Self::Env(place) => of_environment(reader, *place, url),
        }
    }
}

fn of_environment(reader: &mut Reader<'_>, place: Place, url: &BaseUrl) -> Option<Proxy> {
    let direct = first(reader, ["no_proxy", "NO_PROXY"]).is_some_and(|(_, list)| no_proxy::has(&list, url));
    let own = match url.https {
        true => ["https_proxy", "HTTPS_PROXY"],
        false => ["http_proxy", "HTTP_PROXY"],
    };
    let found = first(reader, own).or_else(|| first(reader, ["all_proxy", "ALL_PROXY"]));
    let (name, value) = found.filter(|_| !direct)?;
    let value = match value.contains("://") {
        true => value,
        // As programs have always taken it.
        false => format!("http://{value}"),
    };
    match parse(&value) {
        Ok(proxy) => Some(proxy),
        Err(complaint) => {
            report(reader, place, &format!("the environment variable `{name}`"), complaint);
            None
        }
    }
}

/// Returns the first of these variables that is set and not empty. Lower case comes first, as in other programs.
fn first(reader: &Reader<'_>, names: [&'static str; 2]) -> Option<(&'static str, String)> {
    let mut set = names.into_iter().filter_map(|name| Some((name, reader.env(name)?)));
    set.find(|(_, value)| !value.is_empty())
}

/// Reports a fault without the URL, which may hold a password.
fn report(reader: &mut Reader<'_>, place: Place, what: &str, complaint: Complaint) {
    reader.report(Diagnostic {
        help: complaint.help,
        ..Diagnostic::error(complaint.code, place, format!("{what} {}", complaint.reason))
    });
}

/// `http|https|socks5://[USER[:PASSWORD]@]HOST[:PORT]`. `socks5h` is the same as `socks5`: the proxy resolves names.
pub(super) fn parse(text: &str) -> Result<Proxy, Complaint> {
    let bad = |reason: &str| Complaint::new(CODE, format!("is no proxy's URL: {reason}"), HELP);
    let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
    let (kind, usual_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (ProxyKind::Http, 80),
        "https" => (ProxyKind::Https, 443),
        "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
        _ => return Err(bad("only `http`, `https` and `socks5` are supported")),
    };
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains(['/', '?', '#']) {
        return Err(bad("it has more than a host and a port"));
    }
    let has_port = place
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let url = url::parse(&format!("http://{place}")).map_err(|_| bad("its host or port is invalid"))?;
    Ok(Proxy {
        kind,
        host: url.host,
        port: if has_port { url.port } else { usual_port },
        login: login.map(|text| self::login(text, kind)).transpose().map_err(bad)?,
    })
}

fn login(text: &str, kind: ProxyKind) -> Result<Login, &'static str> {
    let decoded = |part| {
        let bytes =
            percent::decoded(part).map_err(|_| "a `%` in its login is not followed by two hexadecimal digits")?;
        let part = String::from_utf8(bytes.into_owned()).map_err(|_| "its login is not UTF-8")?;
        match part.chars().any(char::is_control) {
            true => Err("its login has a control character"),
            false => Ok(part),
        }
    };
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (decoded(user)?, decoded(password)?);
    if user.is_empty() {
        return Err("its login has no user");
    }
    if kind != ProxyKind::Socks5 && user.contains(':') {
        return Err("its user has a colon, which no header can carry");
    }
    if user.len() > LOGIN_MAX_BYTES || password.len() > LOGIN_MAX_BYTES {
        return Err("its login is too long");
    }
    Ok(Login { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (ProxyKind, String, u16, Option<(String, String)>) {
        let proxy = parse(text).unwrap();
        let login = proxy.login.map(|login| (login.user, login.password));
        (proxy.kind, proxy.host, proxy.port, login)
    }

    #[test]
    fn a_proxy_is_a_scheme_a_host_and_perhaps_a_login() {
        let login = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        for (text, expected) in [
            (
                "http://proxy.corp:3128",
                (ProxyKind::Http, "proxy.corp".to_owned(), 3128, None),
            ),
            (
                "HTTPS://Proxy.corp/",
                (ProxyKind::Https, "proxy.corp".to_owned(), 443, None),
            ),
            (
                "socks5://10.0.0.1",
                (ProxyKind::Socks5, "10.0.0.1".to_owned(), 1080, None),
            ),
            ("socks5h://[::1]:80", (ProxyKind::Socks5, "::1".to_owned(), 80, None)),
            (
                "http://me:p%40ss:w@h:80",
                (ProxyKind::Http, "h".to_owned(), 80, login("me", "p@ss:w")),
            ),
            (
                "http://me:a@b@h",
                (ProxyKind::Http, "h".to_owned(), 80, login("me", "a@b")),
            ),
            ("http://me@h", (ProxyKind::Http, "h".to_owned(), 80, login("me", ""))),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
        for text in [
            "",
            "proxy:3128",
            "ftp://h",
            "socks4://h",
            "http://",
            "http://h:0",
            "http://h:x",
            "http://h/path",
            "http://h?x",
            "http://:p@h",
            "http://a%3Ab:p@h",
            "http://a%0Ab:p@h",
            "http://a%:p@h",
        ] {
            assert_eq!(parse(text).map_err(|complaint| complaint.code), Err(CODE), "{text}");
        }
        assert!(!format!("{:?}", parse("http://user:password@h")).contains("word@"));
        assert!(!format!("{:?}", parse("http://user:hidden@h")).contains("hidden"));
    }
}
