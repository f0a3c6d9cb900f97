//! Upstreams that are reached by a proxy.

use crate::support::h2_upstream::H2Upstream;
use crate::support::pki::{Pki, SERVER_NAME};
use crate::support::proxy::{Proxy, Speaks};
use crate::support::*;

/// No resolver knows it: only the proxy can reach it.
const URL: &str = "http://api.provider.invalid/v1";

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

fn yaml(url: &str, more: &str) -> String {
    format!("upstreams: {{ u: {{ url: \"{url}\"{more} }} }}\nroutes: {{ m: [u] }}\n")
}

async fn speaking(place: &Upstream, speaks: Speaks) -> Proxy {
    Proxy::to(place.address, speaks, None).await
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_and_the_connection_is_kept() {
    let upstream = Upstream::always(well()).await;
    let proxy = Proxy::http(upstream.address).await;
    let at = proxy.address;
    let gateway = Gateway::start(yaml(URL, &format!(", proxy: \"http://me:p%40ss@{at}\""))).await;
    for _ in 0..3 {
        assert_eq!(gateway.post(CHAT, chat("m")).await.text(), completion("well"));
    }
    // "me:p@ss"
    let expected = "CONNECT api.provider.invalid:80 HTTP/1.1\r\nhost: api.provider.invalid:80\r\n\
                    proxy-authorization: Basic bWU6cEBzcw==\r\n\r\n";
    assert_eq!(proxy.seen(), [expected]);
    assert_eq!(upstream.requests()[0].header("host"), Some("api.provider.invalid"));
    assert_eq!(upstream.requests()[0].header("proxy-authorization"), None);
    assert!(!gateway.log.text().contains("p@ss") && !gateway.log.text().contains("p%40ss"));
}

#[tokio::test]
async fn a_socks_proxy_resolves_names_and_takes_a_login() {
    let upstream = Upstream::always(well()).await;
    for (scheme, login, url, seen) in [
        ("socks5://", None, URL, "- name:api.provider.invalid:80"),
        (
            "socks5h://me:secret@",
            Some(("me", "secret")),
            URL,
            "me name:api.provider.invalid:80",
        ),
        ("socks5://", None, "http://192.0.2.1:8000", "- ipv4:192.0.2.1:8000"),
    ] {
        let proxy = speaking(&upstream, Speaks::Socks(login, 0)).await;
        let gateway = Gateway::start(yaml(url, &format!(", proxy: \"{scheme}{}\"", proxy.address))).await;
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200, "{scheme}");
        assert_eq!(proxy.seen(), [seen]);
    }
}

#[tokio::test]
async fn tls_and_http_2_are_spoken_with_the_upstream_and_not_with_the_proxy() {
    let pki = Pki::new();
    let mut upstream = H2Upstream::listen(pki.acceptor(&["h2"])).await;
    let place = upstream.url().trim_start_matches("https://").parse().unwrap();
    let proxy = Proxy::http(place).await;
    let tls = format!(
        ", tls: {{ ca: \"{}\" }}, proxy: \"http://{}\"",
        pki.ca_file().display(),
        proxy.address
    );
    let gateway = Gateway::start(yaml(&format!("https://{SERVER_NAME}/v1"), &tls)).await;
    for _ in 0..2 {
        let answering = async { upstream.exchange().await.json(200, completion("well")) };
        let (response, ()) = tokio::join!(gateway.post(CHAT, chat("m")), answering);
        assert_eq!(response.status(), 200, "{}", response.text());
    }
    assert_eq!(proxy.seen().len(), 1);
    assert!(proxy.seen()[0].starts_with(&format!("CONNECT {SERVER_NAME}:443 HTTP/1.1\r\n")));
}

#[tokio::test]
async fn a_proxy_may_speak_tls_itself() {
    let pki = Pki::new();
    let upstream = Upstream::always_over_tls(well(), pki.acceptor(&["h2", "http/1.1"])).await;
    let opened = Speaks::Http("HTTP/1.0 200 OK\r\nvia: me\r\n\r\n".to_owned());
    let proxy = Proxy::to(upstream.address, opened, Some(pki.acceptor(&[]))).await;
    let more = format!(
        ", tls: {{ ca: \"{}\" }}, proxy: \"https://{}\"",
        pki.ca_file().display(),
        proxy.address
    );
    let url = format!("https://{SERVER_NAME}/v1");
    let trusted = Setup::new(yaml(&url, &more)).env("SSL_CERT_FILE", &pki.ca_file().display().to_string());
    let gateway = trusted.start().await;
    for _ in 0..2 {
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(response.status(), 200, "{}", response.text());
    }
    assert_eq!((proxy.seen().len(), upstream.connections()), (1, 1));
    // A proxy that nobody vouches for is told nothing.
    let gateway = Gateway::start(yaml(&url, &more)).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert!(
        response.text().contains("connect (the proxy can't be reached)"),
        "{}",
        response.text()
    );
    gateway.log.says("certificate not trusted").await;
    assert_eq!(proxy.seen().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_a_connect_failure_that_says_why() {
    let upstream = Upstream::always(well()).await;
    let http = |answer: &str| Speaks::Http(answer.to_owned());
    let endless = format!("HTTP/1.1 500 No\r\nx: {}", "x".repeat(16 * 1024));
    for (speaks, scheme, told, logged) in [
        (
            http("HTTP/1.1 407 Auth\r\n\r\nno"),
            "http://",
            "the proxy wants a login",
            "asks for a user and a password",
        ),
        (
            http("HTTP/1.1 407 Auth\r\n\r\n"),
            "http://me:hidden-word@",
            "the proxy wants a login",
            "refused the user and password",
        ),
        (
            http("HTTP/1.1 403 No\r\nx: y\r\n\r\n"),
            "http://",
            "the proxy refused",
            "status 403",
        ),
        (
            http("HTTP/1.1 502 Bad\r\n\r\n"),
            "http://",
            "the proxy refused",
            "status 502",
        ),
        (
            http("SSH-2.0-OpenSSH\r\n\r\n"),
            "http://",
            "the proxy does not answer as one does",
            "speaks no HTTP",
        ),
        (
            http(&endless),
            "http://",
            "the proxy does not answer as one does",
            "longer than 8 KiB",
        ),
        (
            Speaks::Socks(None, 5),
            "socks5://",
            "the proxy refused",
            "the upstream refused the connection (5)",
        ),
        (
            Speaks::Socks(None, 2),
            "socks5://",
            "the proxy refused",
            "rules do not allow this (2)",
        ),
        (
            Speaks::Socks(Some(("a", "b")), 0),
            "socks5://",
            "the proxy wants a login",
            "asks for a user",
        ),
        (
            Speaks::Socks(Some(("a", "b")), 0),
            "socks5://a:hidden-word@",
            "the proxy wants a login",
            "refused the user",
        ),
    ] {
        let proxy = speaking(&upstream, speaks).await;
        let gateway = Gateway::start(yaml(URL, &format!(", proxy: \"{scheme}{}\"", proxy.address))).await;
        let response = gateway.post(CHAT, chat("m")).await;
        let text = response.text();
        assert!(
            response.status() == 502 && text.contains(&format!("u/m: connect ({told})")),
            "{logged}: {text}"
        );
        gateway.log.says(logged).await;
        assert!(!gateway.log.text().contains("hidden-word"));
    }
    assert_eq!(upstream.connections(), 0);
    let nobody = refusing_port().await;
    let gateway = Gateway::start(yaml(URL, &format!(", proxy: \"http://127.0.0.1:{nobody}\""))).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert!(
        response.text().contains("connect (the proxy can't be reached)"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn a_silent_proxy_is_within_the_connect_clock() {
    let silent = Manual::listen().await;
    let at = silent.url().replace("http://", "");
    for scheme in ["http", "socks5"] {
        let rest = format!(", proxy: \"{scheme}://{at}\", timeouts: {{ connect: 300ms }}");
        let gateway = Gateway::start(yaml(URL, &rest)).await;
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(response.status(), 504, "{}", response.text());
        let attempts = response.header("x-gateway-attempts").unwrap();
        assert!(attempts.contains("class=connect;clock=connect"), "{attempts}");
    }
}

#[tokio::test]
async fn the_environment_says_by_which_way() {
    let (upstream, local) = (Upstream::always(well()).await, Upstream::always(well()).await);
    let (plain, tls) = (Proxy::http(upstream.address).await, Proxy::http(upstream.address).await);
    let urls = [
        ("plain", URL.to_owned(), ""),
        ("tls", "https://api.provider.invalid".to_owned(), ""),
        ("own", "http://own.invalid".to_owned(), ", proxy: none"),
        ("inside", "http://models.corp.invalid".to_owned(), ""),
        ("local", local.url(), ""),
        ("forced", local.url(), ", proxy: env"),
    ];
    let mut text = "server: { proxy: env }\npolicy: { timeouts: { connect: 1s } }\nupstreams:\n".to_owned();
    for (name, url, more) in &urls {
        text.push_str(&format!("  {name}: {{ url: \"{url}\"{more} }}\n"));
    }
    text.push_str(
        "routes: { plain: [plain], tls: [tls], own: [own], inside: [inside], local: [local], forced: [forced] }\n",
    );
    let setup = Setup::new(text)
        .env("http_proxy", &format!("{}/", plain.address))
        .env("HTTPS_PROXY", &format!("http://{}", tls.address))
        .env("NO_PROXY", "10.0.0.0/8, .corp.invalid");
    let gateway = setup.start().await;
    for (model, status, by_plain, by_tls) in [
        ("plain", 200, 1, 0),
        // The other end of the tunnel speaks no TLS.
        ("tls", 504, 1, 1),
        ("own", 502, 1, 1),
        ("inside", 502, 1, 1),
        ("local", 200, 1, 1),
        ("forced", 200, 2, 1),
    ] {
        let response = gateway.post(CHAT, chat(model)).await;
        assert_eq!(response.status(), status, "{model}: {}", response.text());
        let tls_connects = tls.seen().len().min(1);
        assert_eq!((plain.seen().len(), tls_connects), (by_plain, by_tls), "{model}");
    }
    assert_eq!(local.connections(), 1);
}

#[tokio::test]
async fn everything_goes_by_the_proxy() {
    // Relays, websockets' handshakes and accounts use the same connections.
    let upstream = Upstream::always(Answer::json(200, "{\"left\": 0.5}")).await;
    let proxy = Proxy::http(upstream.address).await;
    let more = format!(
        ", key: k, balance: {{ url: /left, pointer: /left }}, proxy: \"http://{}\"",
        proxy.address
    );
    let gateway = Gateway::start(yaml(URL, &more) + "server: { passthrough: u }\n").await;
    gateway.log.says("the balance is low").await;
    let upload = "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(gateway.exchange(upload).await.status(), 200);
    assert!(proxy.seen().len() >= 2, "{:?}", proxy.seen());
}

#[tokio::test]
async fn a_reload_to_another_proxy_uses_no_connection_of_the_old_one() {
    let upstream = Upstream::always(well()).await;
    let (before, after) = (Proxy::http(upstream.address).await, Proxy::http(upstream.address).await);
    let by = |proxy: &Proxy| yaml(URL, &format!(", proxy: \"http://{}\"", proxy.address));
    let gateway = Gateway::start(by(&before)).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    std::fs::write(&gateway.file, format!("{}{}", gateway.top, by(&after))).unwrap();
    gateway.signal("HUP");
    gateway.log.says("upstreams_changed").await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert_eq!((before.seen().len(), after.seen().len()), (1, 1));
}
