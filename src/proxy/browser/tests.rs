use std::os::unix::net::SocketAddr as UnixAddr;

use super::*;
use crate::config::{ListenAddress, Listener};

fn tcp(address: &str) -> Local {
    Local::Inet(address.parse().unwrap())
}

fn unix(path: &str) -> Local {
    Local::Unix(UnixAddr::from_pathname(path).unwrap())
}

fn listener(address: &str, cors: &[&str], hosts: &[&str]) -> Listener {
    let address = match address.strip_prefix("unix:") {
        Some(path) => ListenAddress::Unix(path.into()),
        None => ListenAddress::Tcp(address.to_owned()),
    };
    Listener {
        cors: cors.iter().map(ToString::to_string).collect(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        ..Listener::plain(address)
    }
}

fn request(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
    let mut request = RequestHeader::build(method, uri.as_bytes(), None).unwrap();
    for (name, value) in headers {
        request.append_header(*name, *value).unwrap();
    }
    request
}

fn code(rules: &BrowserRules, local: &Local, headers: &[(&'static str, &str)]) -> &'static str {
    let request = request("POST", "/v1/chat/completions", headers);
    match admit(rules, &request, Some(local)) {
        Ok(admitted) if admitted.cors.as_ref().is_some_and(|cors| cors.allowed.is_some()) => "allowed",
        Ok(_) => "passes",
        Err(refused) => refused.code(),
    }
}

#[test]
fn pages_of_other_sites_are_refused_and_everything_else_passes() {
    let rules = BrowserRules::default();
    let (loopback, network) = (tcp("127.0.0.1:8080"), tcp("10.0.0.1:8080"));
    for (headers, at_loopback, at_network) in [
        (&[][..], "passes", "passes"),
        (&[("sec-fetch-site", "none")], "passes", "passes"),
        (
            &[("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")],
            "passes",
            "passes",
        ),
        (&[("origin", "http://evil.example")], "foreign_origin", "foreign_origin"),
        (
            &[("origin", "https://localhost.evil.example")],
            "foreign_origin",
            "foreign_origin",
        ),
        (
            &[("origin", "https://localhost@evil.example")],
            "foreign_origin",
            "foreign_origin",
        ),
        (&[("origin", "http://localhost:3000")], "passes", "foreign_origin"),
        (&[("origin", "https://localhost")], "passes", "foreign_origin"),
        (&[("origin", "http://tauri.localhost")], "passes", "foreign_origin"),
        (&[("origin", "http://127.0.0.9:5173")], "passes", "foreign_origin"),
        (&[("origin", "http://[::1]:5173")], "passes", "foreign_origin"),
        (
            &[("origin", "http://192.168.1.5:3000")],
            "foreign_origin",
            "foreign_origin",
        ),
        (
            &[("origin", "http://localhost:3000"), ("sec-fetch-site", "cross-site")],
            "passes",
            "foreign_origin",
        ),
        (&[("origin", "app://obsidian.md")], "passes", "passes"),
        (&[("origin", "vscode-file://vscode-app")], "passes", "passes"),
        (&[("origin", "tauri://localhost")], "passes", "passes"),
        (&[("origin", "chrome-extension://abcdef")], "passes", "passes"),
        (
            &[("origin", "moz-extension://abcdef"), ("sec-fetch-site", "cross-site")],
            "passes",
            "passes",
        ),
        (&[("origin", "null")], "foreign_origin", "foreign_origin"),
        (&[("origin", "file://")], "foreign_origin", "foreign_origin"),
        (&[("origin", "FILE://x")], "foreign_origin", "foreign_origin"),
        (&[("origin", "")], "foreign_origin", "foreign_origin"),
        (&[("origin", "evil.example")], "foreign_origin", "foreign_origin"),
        (
            &[("origin", "app://a"), ("origin", "http://evil.example")],
            "foreign_origin",
            "foreign_origin",
        ),
        (&[("sec-fetch-site", "cross-site")], "foreign_origin", "foreign_origin"),
        (&[("sec-fetch-site", "same-site")], "foreign_origin", "foreign_origin"),
        (&[("sec-fetch-site", "whatever")], "foreign_origin", "foreign_origin"),
        (
            &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
            "foreign_origin",
            "foreign_origin",
        ),
    ] {
        assert_eq!(code(&rules, &loopback, headers), at_loopback, "{headers:?}");
        assert_eq!(code(&rules, &tcp("[::1]:8080"), headers), at_loopback, "{headers:?}");
        assert_eq!(code(&rules, &network, headers), at_network, "{headers:?}");
        assert_eq!(code(&rules, &unix("/run/s.sock"), headers), at_network, "{headers:?}");
    }
}

#[test]
fn a_listener_is_known_by_where_its_connections_are_taken() {
    let rules = BrowserRules::of_listeners(&[
        listener("0.0.0.0:80", &["https://any.example"], &[]),
        listener("127.0.0.1:81", &["https://one.example"], &[]),
        listener("[::]:82", &["https://six.example"], &[]),
        listener("localhost:83", &["https://local.example"], &[]),
        listener("unix:/run/s.sock", &["https://unix.example"], &[]),
        listener("127.0.0.1:84", &[], &[]),
    ]);
    for (local, allowed) in [
        (tcp("10.0.0.1:80"), "https://any.example"),
        (tcp("127.0.0.1:81"), "https://one.example"),
        (tcp("[::ffff:10.0.0.1]:82"), "https://six.example"),
        (tcp("[::1]:83"), "https://local.example"),
        (unix("/run/s.sock"), "https://unix.example"),
        (tcp("127.0.0.1:84"), ""),
        (tcp("127.0.0.2:81"), ""),
        (unix("/run/other.sock"), ""),
    ] {
        for origin in [
            "https://any.example",
            "https://one.example",
            "https://six.example",
            "https://local.example",
            "https://unix.example",
        ] {
            let expected = if origin == allowed { "allowed" } else { "foreign_origin" };
            assert_eq!(
                code(&rules, &local, &[("origin", origin)]),
                expected,
                "{origin} at {local:?}"
            );
        }
    }
}

#[test]
fn any_and_none_may_be_named() {
    let rules = BrowserRules::of_listeners(&[
        listener("127.0.0.1:80", &["*"], &[]),
        listener("127.0.0.1:81", &["null"], &[]),
    ]);
    assert_eq!(
        code(&rules, &tcp("127.0.0.1:80"), &[("origin", "http://evil.example")]),
        "allowed"
    );
    assert_eq!(code(&rules, &tcp("127.0.0.1:80"), &[("origin", "null")]), "allowed");
    assert_eq!(code(&rules, &tcp("127.0.0.1:81"), &[("origin", "null")]), "allowed");
    assert_eq!(
        code(&rules, &tcp("127.0.0.1:81"), &[("origin", "http://evil.example")]),
        "foreign_origin"
    );
}

#[test]
fn hosts_keep_foreign_names_out() {
    let rules = BrowserRules::of_listeners(&[listener("10.0.0.1:80", &["https://a.example"], &["gateway.example"])]);
    let local = tcp("10.0.0.1:80");
    for host in [
        "gateway.example",
        "Gateway.Example:80",
        "localhost:80",
        "127.0.0.1",
        "10.0.0.1:80",
    ] {
        assert_eq!(code(&rules, &local, &[("host", host)]), "passes", "{host}");
    }
    for host in ["evil.example", "10.0.0.2", "", "a@gateway.example"] {
        assert_eq!(code(&rules, &local, &[("host", host)]), "foreign_host", "{host}");
    }
    assert_eq!(code(&rules, &local, &[]), "foreign_host");
    let rebound = [("host", "evil.example"), ("origin", "https://a.example")];
    assert_eq!(code(&rules, &local, &rebound), "foreign_host");
    assert_eq!(
        code(&rules, &tcp("10.0.0.2:80"), &[("host", "evil.example")]),
        "passes",
        "another listener"
    );
}

#[test]
fn what_costs_nothing_may_be_linked_to() {
    let rules = BrowserRules::default();
    let link = [("sec-fetch-site", "cross-site")];
    for (method, path, passes) in [
        ("GET", "/v1/models", true),
        ("HEAD", "/models", true),
        ("GET", "/v1/files", false),
        ("GET", "/v1/models/../files", false),
        ("POST", "/v1/models", false),
    ] {
        let request = request(method, path, &link);
        assert_eq!(admit(&rules, &request, None).is_ok(), passes, "{method} {path}");
    }
}
