//! Listeners on unix sockets.

use crate::support::*;

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
