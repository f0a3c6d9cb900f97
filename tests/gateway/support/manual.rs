//! An upstream played by hand: the test itself accepts, reads and writes, so that it decides the order of events.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::answer::{Answer, chunk};
use super::http1::{Head, Http1};
use super::soon;

pub(crate) struct Manual {
    listener: TcpListener,
    address: SocketAddr,
}

impl Manual {
    pub(crate) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        Self { listener, address }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn accept(&self) -> Play {
        let (socket, _) = soon("a connection to the upstream", self.listener.accept())
            .await
            .expect("accept works");
        socket.set_nodelay(true).expect("TCP has TCP_NODELAY");
        Play {
            http: Http1::over(socket),
        }
    }

    /// Accepts, and reads one whole request.
    pub(crate) async fn request(&self) -> (Play, Head, Vec<u8>) {
        let mut play = self.accept().await;
        let (head, body) = play.request().await;
        (play, head, body)
    }
}

/// One connection to a [`Manual`] upstream.
pub(crate) struct Play {
    pub(crate) http: Http1,
}

impl Play {
    /// The next request's head; its body stays unread.
    pub(crate) async fn head(&mut self) -> Head {
        soon("a request's head", self.http.head())
            .await
            .expect("the head is whole")
            .expect("a request comes before the close")
    }

    pub(crate) async fn request(&mut self) -> (Head, Vec<u8>) {
        let head = self.head().await;
        let mut body = Vec::new();
        soon("a request's body", self.http.body(head.request_framing(), &mut body))
            .await
            .expect("the body is whole");
        (head, body)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("the gateway to read", self.http.send(bytes.as_ref()))
            .await
            .expect("the gateway is still there");
    }

    /// All writes of a scripted answer; its ending is the caller's.
    pub(crate) async fn answer(&mut self, answer: &Answer) {
        for write in answer.writes() {
            self.send(write).await;
        }
    }

    /// The head of a chunked event stream.
    pub(crate) async fn begin_sse(&mut self) {
        self.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
    }

    /// Bytes as one chunk.
    pub(crate) async fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        self.send(chunk(bytes.as_ref())).await;
    }

    /// The last chunk.
    pub(crate) async fn finish(&mut self) {
        self.send("0\r\n\r\n").await;
    }

    /// Waits until the gateway closes or resets this connection.
    pub(crate) async fn closed(&mut self) {
        soon("the gateway to leave the upstream", self.http.closed()).await;
    }
}
