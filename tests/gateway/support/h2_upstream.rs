//! An upstream that speaks HTTP/2 over TLS, played by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::soon;

pub(crate) struct H2Upstream {
    address: SocketAddr,
    exchanges: mpsc::UnboundedReceiver<Exchange>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// A request and the means to answer it.
pub(crate) struct Exchange {
    pub(crate) request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

impl H2Upstream {
    pub(crate) async fn listen(tls: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (send, exchanges) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                serving.spawn(serve(socket, tls.clone(), send.clone()));
            }
        });
        Self {
            address,
            exchanges,
            connections,
            task,
        }
    }

    /// `https://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) async fn exchange(&mut self) -> Exchange {
        soon("a request over h2", self.exchanges.recv())
            .await
            .expect("the listener lives")
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: TcpStream, tls: TlsAcceptor, send: mpsc::UnboundedSender<Exchange>) {
    let Ok(stream) = tls.accept(socket).await else { return };
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    // Accepting also drives the connection's other streams.
    while let Some(Ok((request, respond))) = connection.accept().await {
        if send.send(Exchange { request, respond }).is_err() {
            return;
        }
    }
}

impl Exchange {
    pub(crate) async fn body(&mut self) -> Vec<u8> {
        super::h2_client::body_and_end(self.request.body_mut()).await.0
    }

    /// A JSON answer, whole.
    pub(crate) fn json(mut self, status: u16, body: impl Into<Bytes>) {
        let head = Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(());
        let mut stream = self
            .respond
            .send_response(head.expect("a valid head"), false)
            .expect("the stream is open");
        stream.send_data(body.into(), true).expect("the body goes out");
    }

    /// The head of an event stream.
    pub(crate) fn begin_sse(mut self) -> SendStream<Bytes> {
        let head = Response::builder()
            .status(200)
            .header("content-type", "text/event-stream")
            .body(());
        self.respond
            .send_response(head.expect("a valid head"), false)
            .expect("the stream is open")
    }

    /// RST_STREAM before any head.
    pub(crate) fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Waits, without answering, until the gateway resets the stream.
    pub(crate) async fn left(&mut self) -> Reason {
        let left = std::future::poll_fn(|context| self.respond.poll_reset(context));
        soon("the gateway to reset the stream", left)
            .await
            .expect("a reset of the stream")
    }
}

/// Waits until the gateway resets a stream whose answer has begun.
pub(crate) async fn left(stream: &mut SendStream<Bytes>) -> Reason {
    let left = std::future::poll_fn(|context| stream.poll_reset(context));
    soon("the gateway to reset the stream", left)
        .await
        .expect("a reset of the stream")
}
