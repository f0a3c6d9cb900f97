//! TLS on both sides: the listener's certificate, and the upstream's, with an authority of its own.

use std::path::Path;

use crate::support::h2_client::tls;
use crate::support::http1::Http1;
use crate::support::pki::{Pki, SERVER_NAME, set_mode};
use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

fn upstream_yaml(url: &str, options: &str) -> String {
    format!("upstreams: {{ u: {{ url: \"{url}/v1\", tls: {{ {options} }} }} }}\nroutes: {{ m: [u] }}")
}

fn ca(path: &Path) -> String {
    format!("ca: \"{}\"", path.display())
}

#[tokio::test]
async fn a_listener_speaks_http_1_1_over_tls() {
    let pki = Pki::new();
    let upstream = Upstream::always(well()).await;
    let gateway = Setup::new(chain(&[upstream.url()])).tls(&pki).start().await;
    for alpn in [&["http/1.1"] as &[&str], &[]] {
        let stream = tls(&gateway, &pki, alpn).await;
        let mut client = Client {
            http: Http1::over(stream),
        };
        client.send(post(CHAT, chat("m"))).await;
        assert_eq!(client.response().await.status(), 200);
    }
}

#[tokio::test]
async fn plain_http_at_a_tls_listener_is_refused() {
    let pki = Pki::new();
    let upstream = Upstream::always(well()).await;
    let gateway = Setup::new(chain(&[upstream.url()])).tls(&pki).start().await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    client.closed().await;
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn an_upstream_with_an_authority_of_its_own() {
    let pki = Pki::new();
    let upstream = Upstream::always_over_tls(well(), pki.acceptor(&["http/1.1"])).await;
    for options in [
        ca(&pki.ca_file()),
        format!("{}, server_name: {SERVER_NAME}", ca(&pki.ca_file())),
    ] {
        let gateway = Gateway::start(upstream_yaml(&upstream.url(), &options)).await;
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(
            (response.status(), response.text()),
            (200, completion("well")),
            "{options}"
        );
        assert_eq!(
            upstream.requests().last().unwrap().header("host"),
            Some(upstream.address.to_string().as_str())
        );
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_trusted_fails_as_connect() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let upstream = Upstream::always_over_tls(well(), pki.acceptor(&["http/1.1"])).await;
    for options in [
        ca(&stranger.ca_file()),
        String::new(),
        format!("{}, server_name: other.test", ca(&pki.ca_file())),
    ] {
        let gateway = Gateway::start(upstream_yaml(&upstream.url(), &options)).await;
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(response.status(), 502, "{options}");
        assert_eq!(response.ledger()[0].class.as_deref(), Some("connect"), "{options}");
    }
    assert_eq!(upstream.requests().len(), 0);
    let gateway = Gateway::start(upstream_yaml(&upstream.url(), "verify: false")).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    gateway.log.says("verify").await;
}

#[tokio::test]
async fn an_upstream_may_ask_for_a_client_certificate() {
    let pki = Pki::new();
    let upstream = Upstream::always_over_tls(well(), pki.strict_acceptor(&["http/1.1"])).await;
    let (cert, key) = pki.client_files();
    let authority = ca(&pki.ca_file());
    let options = format!("{authority}, cert: \"{}\", key: \"{}\"", cert.display(), key.display());
    let gateway = Gateway::start(upstream_yaml(&upstream.url(), &options)).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert_eq!(upstream.requests().len(), 1);
    let gateway = Gateway::start(upstream_yaml(&upstream.url(), &authority)).await;
    assert_eq!(
        gateway.post(CHAT, chat("m")).await.status(),
        502,
        "{:?}",
        upstream.broken()
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_plain_upstream_asked_for_tls_fails_as_connect_and_the_next_is_asked() {
    let plain = Upstream::always(Answer::raw("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").early()).await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[plain.url().replace("http:", "https:"), good.url()])).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.ledger()[0].class.as_deref()),
        (200, Some("connect"))
    );
}

#[tokio::test]
async fn a_private_key_that_others_can_read_is_warned_of() {
    const WARNING: &str = "every user of this machine can read the key";
    let pki = Pki::new();
    let upstream = Upstream::always_over_tls(well(), pki.acceptor(&["http/1.1"])).await;
    let (cert, client_key) = pki.client_files();
    let options = format!(
        "{}, cert: \"{}\", key: \"{}\"",
        ca(&pki.ca_file()),
        cert.display(),
        client_key.display()
    );
    let yaml = upstream_yaml(&upstream.url(), &options);
    let (cert, server_key) = pki.server_files();
    let listener = format!(
        "tls: {{ cert: \"{}\", key: \"{}\" }}",
        cert.display(),
        server_key.display()
    );
    for open in [&server_key, &client_key] {
        let gateway = Setup::new(&yaml).listener(&listener).start().await;
        gateway.hang_up();
        gateway.attempt(0).await;
        assert!(!gateway.log.text().contains(WARNING), "{}", gateway.log.text());
        set_mode(open, 0o644);
        gateway.hang_up();
        gateway.log.says(WARNING).await;
        let gateway = Setup::new(&yaml).listener(&listener).start().await;
        gateway.log.says(WARNING).await;
        set_mode(open, 0o640);
    }
}
