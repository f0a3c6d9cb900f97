//! What a reload reads again besides the file: keys, certificates, authorities.

use crate::support::h2_client::tls;
use crate::support::http1::Http1;
use crate::support::pki::Pki;
use crate::support::reload::{UNWATCHED, applied};
use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

#[tokio::test]
async fn a_rotated_key_file_and_credential_reach_the_upstream() {
    let a = Upstream::always(well()).await;
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!(
        "upstreams:\n  file: {{ url: \"{0}/v1\", key: {{ file: \"{1}/key\" }} }}\n  \
         credential: {{ url: \"{0}/v1\", key: {{ credential: openai }} }}\n\
         routes: {{ f: [file], c: [credential] }}\n{UNWATCHED}",
        a.url(),
        directory.path().display()
    );
    let write = |text: &str| {
        for name in ["key", "openai"] {
            std::fs::write(directory.path().join(name), format!("sk-{name}-{text}\n")).unwrap();
        }
    };
    write("old");
    let gateway = Setup::new(yaml)
        .env("CREDENTIALS_DIRECTORY", &directory.path().display().to_string())
        .start()
        .await;
    let mut expected = Vec::new();
    for text in ["old", "new"] {
        if text == "new" {
            write(text);
            gateway.hang_up();
            let line = gateway.attempt(0).await;
            assert_eq!(line["upstreams_changed"], "file, credential", "{line}");
            assert_eq!(line["routes_changed"], serde_json::Value::Null);
        }
        for (model, name) in [("f", "key"), ("c", "openai")] {
            assert_eq!(gateway.post(CHAT, chat(model)).await.status(), 200);
            expected.push(format!("Bearer sk-{name}-{text}"));
        }
    }
    let requests = a.requests();
    let sent: Vec<_> = requests
        .iter()
        .filter_map(|request| request.header("authorization"))
        .collect();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_listener_shows_its_new_certificate_to_new_connections() {
    let (old, new) = (Pki::new(), Pki::new());
    let a = Upstream::always(well()).await;
    let gateway = Setup::new(chain(&[a.url()]) + UNWATCHED).tls(&old).start().await;
    let speak = async |client: &mut Client| {
        client.send(post(CHAT, chat("m"))).await;
        assert_eq!(client.response().await.status(), 200);
    };
    let mut kept = Client {
        http: Http1::over(tls(&gateway, &old, &["http/1.1"]).await),
    };
    speak(&mut kept).await;

    // A certificate with another's key is no pair: nothing changes.
    let (cert, key) = old.server_paths();
    let (new_cert, new_key) = new.server_files();
    std::fs::copy(&new_cert, &cert).unwrap();
    gateway.hang_up();
    assert!(!applied(&gateway.attempt(0).await));
    gateway.log.says("the key does not belong to the certificate").await;
    tls(&gateway, &old, &["http/1.1"]).await;

    std::fs::copy(&new_key, &key).unwrap();
    gateway.hang_up();
    let line = gateway.attempt(1).await;
    assert!(applied(&line) && line["certificates_changed"].is_string(), "{line}");
    for alpn in ["http/1.1", "h2"] {
        let stream = tls(&gateway, &new, &[alpn]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
    }
    let mut client = Client {
        http: Http1::over(tls(&gateway, &new, &["http/1.1"]).await),
    };
    speak(&mut client).await;
    speak(&mut kept).await;
}

#[tokio::test]
async fn a_start_with_a_key_of_another_certificate_says_so() {
    let (one, other) = (Pki::new(), Pki::new());
    let ((cert, _), (_, key)) = (one.server_files(), other.server_files());
    let file = cert.with_file_name("switchback.yaml");
    let tls = format!("tls: {{ cert: \"{}\", key: \"{}\" }}", cert.display(), key.display());
    let text = format!(
        "listen: [{{ address: 127.0.0.1:0, {tls} }}]\n{}",
        chain(&["http://127.0.0.1:9"])
    );
    std::fs::write(&file, text).unwrap();
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_switchback"));
    process
        .arg("run")
        .arg("--config")
        .arg(&file)
        .env_remove("NOTIFY_SOCKET");
    let output = soon("its end", tokio::task::spawn_blocking(move || process.output())).await;
    let output = output.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("listener 127.0.0.1:0: tls: the key does not belong to the certificate"),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn a_renewed_certificate_is_noticed() {
    let (old, new) = (Pki::new(), Pki::new());
    let a = Upstream::always(well()).await;
    let gateway = Setup::new(chain(&[a.url()])).tls(&old).start().await;
    let (cert, key) = old.server_paths();
    let (new_cert, new_key) = new.server_files();
    // As they are renewed: one after the other. Between the two they are no pair.
    std::fs::rename(&new_cert, &cert).unwrap();
    std::fs::rename(&new_key, &key).unwrap();
    let renewed = gateway
        .log
        .line("a certificate", |line| line["certificates_changed"].is_string())
        .await;
    assert_eq!(renewed["trigger"], "change");
    tls(&gateway, &new, &["http/1.1"]).await;
}

#[tokio::test]
async fn an_upstreams_authority_is_read_again() {
    let (old, new) = (Pki::new(), Pki::new());
    let a = Upstream::always_over_tls(well(), new.acceptor(&["http/1.1"])).await;
    let yaml = format!(
        "upstreams: {{ a: {{ url: \"{}/v1\", tls: {{ ca: \"{}\" }} }} }}\nroutes: {{ m: [a] }}\n{UNWATCHED}",
        a.url(),
        old.ca_file().display()
    );
    let gateway = Gateway::start(yaml).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 502);
    std::fs::copy(new.ca_file(), old.ca_file()).unwrap();
    gateway.hang_up();
    assert_eq!(gateway.attempt(0).await["upstreams_changed"], "a");
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    // What is PEM and no certificate shows only when it is put to use.
    let hollow = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n";
    std::fs::write(old.ca_file(), hollow).unwrap();
    gateway.hang_up();
    assert!(!applied(&gateway.attempt(1).await));
    let fault = gateway.log.line("a fault", |line| line["code"] == "bad-tls").await;
    assert!(
        fault["msg"].as_str().unwrap().starts_with("upstream `a`: tls.ca: "),
        "{fault}"
    );
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
}
