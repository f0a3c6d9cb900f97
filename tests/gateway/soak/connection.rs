//! One connection of a client, by any of the ways into the gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use tokio::net::TcpStream;

use crate::support::h2_client::{H2Client, body_and_end, tls_at};
use crate::support::http1::{Head, Http1};
use crate::support::pki::Pki;
use crate::support::*;

/// Where the gateway can be reached.
#[derive(Clone)]
pub(super) struct Entrances {
    /// HTTP/1.1, and HTTP/2 by prior knowledge.
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) pki: Arc<Pki>,
}

pub(super) enum Connection {
    Http1(Client),
    Http2(H2Client),
}

impl Entrances {
    /// A new connection; each fourth client has the same kind.
    pub(super) async fn connect(&self, client: usize) -> Connection {
        match client % 4 {
            0 => Connection::Http1(Client::connect(&Address::Tcp(self.plain)).await),
            1 => {
                let stream = tls_at(self.tls, &self.pki, &["http/1.1"]).await;
                Connection::Http1(Client {
                    http: Http1::over(stream),
                })
            }
            2 => {
                let socket = soon("a connection", TcpStream::connect(self.plain)).await;
                Connection::Http2(H2Client::over(socket.expect("the gateway listens")).await)
            }
            _ => Connection::Http2(H2Client::over(tls_at(self.tls, &self.pki, &["h2"]).await).await),
        }
    }
}

impl Connection {
    /// Sends a request, whole.
    pub(super) async fn send(&mut self, body: &str) -> Asked<'_> {
        match self {
            Self::Http1(client) => {
                client.send(post(CHAT, body)).await;
                Asked::Http1(client)
            }
            Self::Http2(client) => Asked::Http2(post_h2(client, body, true).await.0),
        }
    }

    /// Leaves before all of the request is sent, but for the last `missing` bytes.
    pub(super) async fn send_part(mut self, body: &str, missing: usize) {
        match &mut self {
            Self::Http1(client) => {
                let request = post(CHAT, body);
                client.send(&request[..request.len() - missing]).await;
            }
            Self::Http2(client) => {
                let (_, mut stream) = post_h2(client, &body[..body.len() - missing], false).await;
                stream.send_reset(h2::Reason::CANCEL);
            }
        }
    }
}

/// A request that was sent.
pub(super) enum Asked<'a> {
    Http1(&'a mut Client),
    Http2(ResponseFuture),
}

impl Asked<'_> {
    pub(super) async fn answer(self) -> Response {
        match self {
            Self::Http1(client) => client.response().await,
            Self::Http2(response) => {
                let response = soon("a response's head over h2", response).await;
                read_h2(response.expect("a response")).await
            }
        }
    }
}

/// Sends a request over HTTP/2, and waits until it has arrived: a stream that is reset before that is never heard of.
async fn post_h2(client: &mut H2Client, body: &str, is_whole: bool) -> (ResponseFuture, SendStream<Bytes>) {
    let (response, mut stream) = client.begin(CHAT, "application/json", &[]).await;
    let sent = stream.send_data(Bytes::copy_from_slice(body.as_bytes()), is_whole);
    sent.expect("the body goes out");
    client.arrived().await;
    (response, stream)
}

async fn read_h2(response: http::Response<RecvStream>) -> Response {
    let (head, mut stream) = response.into_parts();
    let (body, reset) = body_and_end(&mut stream).await;
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Response {
        head: Head {
            start_line: format!("HTTP/2 {}", head.status.as_u16()),
            fields: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            ..Head::default()
        },
        interim: Vec::new(),
        body,
        end: reset.map_or(End::Clean, |reason| End::Aborted(reason.to_string())),
    }
}
