//! An upstream that speaks HTTP/2 over TLS, played by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::soon;

pub(crate) struct H2Upstream {
    address: SocketAddr,
    exchanges: mpsc::UnboundedReceiver<Exchange>,
    connections: Arc<AtomicUsize>,
    going_away: Arc<Notify>,
    task: JoinHandle<()>,
}

/// A request and the means to answer it.
pub(crate) struct Exchange {
    pub(crate) request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

impl H2Upstream {
    pub(crate) async fn listen(tls: TlsAcceptor) -> Self {
        Self::listen_with_window(tls, 65_535).await
    }

    /// The same, with so many bytes of a request that it takes unasked.
    pub(crate) async fn listen_with_window(tls: TlsAcceptor, window_bytes: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (send, exchanges) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let going_away = Arc::new(Notify::new());
        let leave = Arc::clone(&going_away);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                serving.spawn(serve(
                    socket,
                    tls.clone(),
                    window_bytes,
                    send.clone(),
                    Arc::clone(&leave),
                ));
            }
        });
        Self {
            address,
            exchanges,
            connections,
            going_away,
            task,
        }
    }

    /// Tells the peers of the connections that are open to begin nothing more on them (GOAWAY); what runs goes on.
    pub(crate) fn go_away(&self) {
        self.going_away.notify_waiters();
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

async fn serve(
    socket: TcpStream,
    tls: TlsAcceptor,
    window_bytes: u32,
    send: mpsc::UnboundedSender<Exchange>,
    going_away: Arc<Notify>,
) {
    let Ok(stream) = tls.accept(socket).await else { return };
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(window_bytes);
    let Ok(mut connection) = builder.handshake(stream).await else {
        return;
    };
    loop {
        // Accepting also drives the connection's other streams.
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                if send.send(Exchange { request, respond }).is_err() {
                    return;
                }
            }
            () = going_away.notified() => connection.graceful_shutdown(),
        }
    }
}

impl Exchange {
    pub(crate) async fn body(&mut self) -> Vec<u8> {
        super::h2_client::body_and_end(self.request.body_mut()).await.0
    }

    /// A JSON answer, whole.
    pub(crate) fn json(mut self, status: u16, body: impl Into<Bytes>) {
        self.answer(status, body);
    }

    /// The same, without a further word on the request: what was not read of it stays unread.
    pub(crate) fn answer(&mut self, status: u16, body: impl Into<Bytes>) {
        let mut stream = self.begin(status, "application/json");
        stream.send_data(body.into(), true).expect("the body goes out");
    }

    /// The head of an answer.
    pub(crate) fn begin(&mut self, status: u16, content_type: &str) -> SendStream<Bytes> {
        let head = Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(());
        self.respond
            .send_response(head.expect("a valid head"), false)
            .expect("the stream is open")
    }

    /// The head of an event stream.
    pub(crate) fn begin_sse(mut self) -> SendStream<Bytes> {
        self.begin(200, "text/event-stream")
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

/// Ends an answer with these fields after its body.
pub(crate) fn end_with_trailers(stream: &mut SendStream<Bytes>, fields: &[(&'static str, &'static str)]) {
    let mut trailers = HeaderMap::new();
    for (name, value) in fields {
        trailers.append(*name, value.parse().expect("a valid value"));
    }
    stream.send_trailers(trailers).expect("the stream is open");
}

/// Waits until the gateway resets a stream whose answer has begun.
pub(crate) async fn left(stream: &mut SendStream<Bytes>) -> Reason {
    let left = std::future::poll_fn(|context| stream.poll_reset(context));
    soon("the gateway to reset the stream", left)
        .await
        .expect("a reset of the stream")
}
