//! Listeners on unix sockets.

use std::os::unix::fs::PermissionsExt;

use crate::support::*;

fn mode(gateway: &Gateway) -> u32 {
    let Address::Unix(path) = &gateway.address else {
        panic!("not on a unix socket");
    };
    std::fs::metadata(path)
        .expect("the socket has a file")
        .permissions()
        .mode()
        & 0o7777
}

#[tokio::test]
async fn the_permissions_are_those_of_the_configuration_whatever_the_umask() {
    let yaml = chain(&["http://127.0.0.1:9"]);
    let gateway = Setup::new(yaml.clone()).unix().start().await;
    assert_eq!(mode(&gateway), 0o666);
    for (written, expected) in [("0660", 0o660), ("0o600", 0o600), ("\"622\"", 0o622)] {
        let gateway = Setup::new(yaml.clone()).unix_with_mode(written).start().await;
        assert_eq!(mode(&gateway), expected, "{written}");
        assert_eq!(gateway.post(CHAT, chat("nobody")).await.status(), 404);
    }
}

#[tokio::test]
async fn other_permissions_wait_for_a_restart() {
    let gateway = Setup::new(chain(&["http://127.0.0.1:9"]))
        .unix_with_mode("0660")
        .start()
        .await;
    let text = std::fs::read_to_string(&gateway.file).expect("the test wrote it");
    std::fs::write(&gateway.file, text.replace("0660", "0600")).expect("the file can be written");
    gateway.signal("HUP");
    let waits = |line: &serde_json::Value| {
        line["listen_waits"]
            .as_str()
            .is_some_and(|waits| waits.contains("gateway.sock"))
    };
    gateway.log.line("what waits", waits).await;
    assert_eq!(mode(&gateway), 0o660);
}

#[tokio::test]
async fn a_unix_socket_serves_like_a_port() {
    let upstream = Upstream::always(Answer::sse(stream_of("hi"))).await;
    let gateway = Setup::new(chain(&[upstream.url()])).unix().start().await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(
        (response.status(), response.text(), &response.end),
        (200, stream_of("hi").concat(), &End::Clean)
    );
    assert_eq!(gateway.access(&response.id()).await["client"], "unix");
}

#[tokio::test]
async fn a_client_that_leaves_a_unix_socket_is_seen() {
    let upstream = Upstream::always(Answer::hang()).await;
    let gateway = Setup::new(chain(&[upstream.url()])).unix().start().await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    upstream.request(0).await;
    client.leave();
    upstream.left().await;
}
