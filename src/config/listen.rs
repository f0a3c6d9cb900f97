//! `listen`: where clients connect.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::diagnostic::{Complaint, Diagnostic};
use super::document::{Node, Value};
use super::interpolate::Origin;
use super::pem::{self, Pem};
use super::reader::Reader;
use super::source::Place;
use super::{Identity, ListenAddress, Listener, browser, keys, quantity, socket_mode};

const DEFAULT: &str = "127.0.0.1:8080";

/// The listeners in the file's order.
pub(super) fn listeners(reader: &mut Reader<'_>, node: Option<(&Node, Place)>) -> Vec<Listener> {
    let Some((node, at)) = node else {
        return vec![Listener::plain(ListenAddress::Tcp(DEFAULT.to_owned()))];
    };
    let items = match node.value {
        // A list of one.
        Value::Scalar(_) | Value::Mapping(_) => std::slice::from_ref(node),
        _ => reader.items(node, at, "`listen`").unwrap_or_default(),
    };
    if items.is_empty() && matches!(node.value, Value::Sequence(_)) {
        reader.error("empty", node.place, "`listen` names no address");
    }
    let mut listeners: Vec<(Listener, Place)> = Vec::new();
    for item in items {
        let Some((listener, place)) = listener(reader, item) else {
            continue;
        };
        if let Some((_, first)) = listeners
            .iter()
            .find(|(other, _)| collide(&other.address, &listener.address))
        {
            let help = format!("the first one is in line {}", first.line);
            let diagnostic = Diagnostic::error(
                "duplicate-listener",
                place,
                "this address is taken by an earlier listener",
            );
            reader.report(diagnostic.help(help));
            continue;
        }
        if !stays_here(&listener.address) {
            let message =
                "anyone who reaches this address can spend your keys: it is not loopback, and no `clients` are set";
            let help = "listen on 127.0.0.1 or a unix socket, or let only trusted hosts through";
            reader.report(Diagnostic::warning("open-listener", place, message).help(help));
        }
        if let (ListenAddress::Unix(_), None) = (&listener.address, listener.socket_mode) {
            let message = "every user of this machine can connect to this socket and spend your keys";
            let help = "write `{ address: unix:/path, mode: 0660 }` to admit only its user and group";
            reader.report(Diagnostic::note("open-socket", place, message).help(help));
        }
        listeners.push((listener, place));
    }
    listeners.into_iter().map(|(listener, _)| listener).collect()
}

fn listener(reader: &mut Reader<'_>, node: &Node) -> Option<(Listener, Place)> {
    if let Value::Mapping(_) = node.value {
        let fields = reader.fields(node, node.place, "a listener", &keys::LISTENER)?;
        let tls = fields.section("tls").and_then(|(node, at)| tls(reader, node, at));
        let h2c = fields
            .get("h2c")
            .and_then(|node| reader.value(node, "`h2c`", quantity::boolean))
            .unwrap_or(false);
        let mode = fields.get("mode").filter(|node| !matches!(node.value, Value::Nothing));
        let socket_mode = mode.and_then(|node| reader.value(node, "`mode`", socket_mode::parse));
        let cors = browser::cors(reader, fields.section("cors"));
        let hosts = browser::hosts(reader, fields.section("hosts"));
        let node = fields.required(reader, "address")?;
        let listener = Listener {
            tls,
            h2c,
            // After a fault, rather closed than open.
            socket_mode: socket_mode.or(mode.map(|_| 0o600)),
            cors,
            hosts,
            ..Listener::plain(address(reader, node)?)
        };
        if let (ListenAddress::Tcp(_), Some(mode)) = (&listener.address, mode) {
            let message = "only the file of a unix socket has a `mode`";
            reader.report(Diagnostic::error("bad-mode", mode.place, message).help("remove it"));
        }
        let has_rules = !listener.cors.is_empty() || !listener.hosts.is_empty();
        if has_rules && socket(&listener.address).is_some_and(|socket| socket.port() == 0) {
            let message = "`cors` and `hosts` need a fixed port: with port 0 this listener can't be told from others";
            let help = "write the port: `ADDRESS:8080`";
            reader.report(Diagnostic::error("bad-listener", node.place, message).help(help));
        }
        return Some((listener, node.place));
    }
    Some((Listener::plain(address(reader, node)?), node.place))
}

fn address(reader: &mut Reader<'_>, node: &Node) -> Option<ListenAddress> {
    let text = reader.text(node, "a listener's address")?;
    if text.origin == Origin::StandIn {
        return Some(ListenAddress::Tcp(DEFAULT.to_owned()));
    }
    parse(&text.value)
        .map_err(|complaint| reader.complain(&text, complaint))
        .ok()
}

pub(super) fn parse(text: &str) -> Result<ListenAddress, Complaint> {
    let bad = |reason: &str, help: &str| Err(Complaint::new("bad-listener", reason, help));
    if let Some(path) = text.strip_prefix("unix:") {
        // sockaddr_un holds 108 bytes, the last one is NUL (unix(7)).
        return match path.starts_with('/') && path.len() < 108 && !path.contains('\0') {
            true => Ok(ListenAddress::Unix(PathBuf::from(path))),
            false => bad(
                "is not the path of a socket",
                "write `unix:/path`, absolute and shorter than 108 bytes",
            ),
        };
    }
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(ListenAddress::Tcp(text.to_owned()));
    }
    match text.rsplit_once(':') {
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => Ok(ListenAddress::Tcp(text.to_owned())),
        Some(("" | "*", port)) if port.parse::<u16>().is_ok() => bad(
            "has no address",
            &format!("write `127.0.0.1:{port}`, or `0.0.0.0:{port}` for every network"),
        ),
        None if text.parse::<u16>().is_ok() => bad(
            "has no address",
            &format!("write `127.0.0.1:{text}`, or `0.0.0.0:{text}` for every network"),
        ),
        _ if text.parse::<IpAddr>().is_ok() => {
            bad("has no port", "write `ADDRESS:PORT`, IPv6 in brackets: `[::1]:8080`")
        }
        _ => bad("is not an address to listen on", "write `ADDRESS:PORT` or `unix:/path`"),
    }
}

fn tls(reader: &mut Reader<'_>, node: &Node, at: Place) -> Option<Identity> {
    let fields = reader.fields(node, at, "`tls`", &keys::LISTENER_TLS)?;
    let cert = fields
        .required(reader, "cert")
        .and_then(|node| pem::read(reader, node, "`cert`", Pem::Certificates));
    let key = fields
        .required(reader, "key")
        .and_then(|node| pem::read(reader, node, "`key`", Pem::PrivateKey));
    cert.zip(key).map(|(cert, key)| Identity { cert, key })
}

/// Returns whether the second could not be bound while the first one is.
pub(super) fn collide(first: &ListenAddress, second: &ListenAddress) -> bool {
    match (socket(first), socket(second)) {
        (Some(first), Some(second)) if first.port() == second.port() && first.is_ipv4() == second.is_ipv4() => {
            // Port 0 is another free port each time.
            first.port() != 0
                && (first.ip() == second.ip() || first.ip().is_unspecified() || second.ip().is_unspecified())
        }
        (Some(_), Some(_)) => false,
        _ => first == second,
    }
}

fn socket(address: &ListenAddress) -> Option<SocketAddr> {
    match address {
        ListenAddress::Tcp(text) => text.replace("localhost:", "127.0.0.1:").parse().ok(),
        ListenAddress::Unix(_) => None,
    }
}

pub(super) fn stays_here(address: &ListenAddress) -> bool {
    socket(address).is_none_or(|socket| socket.ip().is_loopback())
}

/// Writes the address for messages elsewhere.
impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in [
            "127.0.0.1:8080",
            "[::1]:0",
            "localhost:80",
            "0.0.0.0:8080",
            "unix:/run/switchback.sock",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "8080",
            ":8080",
            "*:8080",
            "127.0.0.1",
            "::1",
            "example.com:80",
            "127.0.0.1:65536",
            "unix:",
            "unix:a",
            &format!("unix:/{}", "a".repeat(108)),
        ] {
            assert_eq!(
                parse(text).map_err(|complaint| complaint.code),
                Err("bad-listener"),
                "{text}"
            );
        }
    }

    #[test]
    fn listeners_that_take_each_others_address() {
        let collide = |first, second| collide(&parse(first).unwrap(), &parse(second).unwrap());
        assert!(collide("127.0.0.1:80", "localhost:80"));
        assert!(collide("0.0.0.0:80", "10.0.0.1:80"));
        assert!(collide("unix:/a", "unix:/a"));
        assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!collide("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!collide("unix:/a", "127.0.0.1:80"));
    }
}
