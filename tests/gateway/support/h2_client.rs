//! An HTTP/2 client over TLS.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::{Request, Response};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use super::gateway::{Address, Gateway};
use super::pki::{Pki, SERVER_NAME};
use super::soon;

pub(crate) struct H2Client {
    send: SendRequest<Bytes>,
    ping: PingPong,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// TLS to the gateway, with what ALPN agreed on.
pub(crate) async fn tls(gateway: &Gateway, pki: &Pki, alpn: &[&str]) -> TlsStream<TcpStream> {
    let Address::Tcp(address) = &gateway.address else {
        panic!("TLS is spoken over TCP here")
    };
    tls_at(*address, pki, alpn).await
}

/// TLS to a listener of the gateway's.
pub(crate) async fn tls_at(address: SocketAddr, pki: &Pki, alpn: &[&str]) -> TlsStream<TcpStream> {
    let socket = soon("a connection", TcpStream::connect(address))
        .await
        .expect("the gateway listens");
    socket.set_nodelay(true).expect("TCP has TCP_NODELAY");
    let name = ServerName::try_from(SERVER_NAME).expect("a valid name");
    soon("a TLS handshake", pki.connector(alpn).connect(name, socket))
        .await
        .expect("the gateway's certificate is good")
}

/// TCP to the gateway.
pub(crate) async fn plain(gateway: &Gateway) -> TcpStream {
    let Address::Tcp(address) = &gateway.address else {
        panic!("h2c is spoken over TCP here")
    };
    soon("a connection", TcpStream::connect(address))
        .await
        .expect("the gateway listens")
}

impl H2Client {
    pub(crate) async fn connect(gateway: &Gateway, pki: &Pki) -> Self {
        let stream = tls(gateway, pki, &["h2"]).await;
        assert_eq!(
            stream.get_ref().1.alpn_protocol(),
            Some(b"h2".as_slice()),
            "the listener offers h2"
        );
        Self::over(stream).await
    }

    /// Without TLS, by prior knowledge (RFC 9113, section 3.3).
    pub(crate) async fn connect_plain(gateway: &Gateway) -> Self {
        Self::over(plain(gateway).await).await
    }

    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (send, mut connection) = soon("the h2 preface", h2::client::handshake(stream))
            .await
            .expect("h2 begins");
        let ping = connection.ping_pong().expect("nobody has it");
        let connection = tokio::spawn(connection);
        Self { send, ping, connection }
    }

    /// Waits until the connection has ended, cleanly or not.
    pub(crate) async fn ended(&mut self) -> Result<(), h2::Error> {
        soon("the connection to end", &mut self.connection)
            .await
            .expect("nothing panics in it")
    }

    /// A POST of a JSON body; the response as soon as its head is there.
    pub(crate) async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Response<RecvStream> {
        self.post_with(path, &[], body).await
    }

    /// The same with more headers.
    pub(crate) async fn post_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<RecvStream> {
        self.post_as(path, "application/json", headers, body).await
    }

    /// The same with a body of another type.
    pub(crate) async fn post_as(
        &mut self,
        path: &str,
        content_type: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<RecvStream> {
        let (response, mut stream) = self.begin(path, content_type, headers).await;
        stream.send_data(body.into(), true).expect("the body goes out");
        soon("a response's head over h2", response).await.expect("a response")
    }

    /// Waits until all that was begun so far has reached the peer.
    pub(crate) async fn arrived(&mut self) {
        soon("a pong", self.ping.ping(Ping::opaque()))
            .await
            .expect("the connection lives");
    }

    /// A POST whose body is still to be sent.
    pub(crate) async fn begin(
        &mut self,
        path: &str,
        content_type: &str,
        headers: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::post(format!("https://{SERVER_NAME}{path}")).header("content-type", content_type);
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).expect("a valid request");
        let mut ready = soon("room for a stream", self.send.clone().ready())
            .await
            .expect("the connection lives");
        ready.send_request(request, false).expect("the stream opens")
    }
}

impl Drop for H2Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// All of a body, and how the stream ended: `None` for END_STREAM, else the code of its RST_STREAM.
pub(crate) async fn body_and_end(stream: &mut RecvStream) -> (Vec<u8>, Option<h2::Reason>) {
    let mut body = Vec::new();
    loop {
        match soon("a body over h2", stream.data()).await {
            None => return (body, None),
            Some(Ok(bytes)) => {
                let _ = stream.flow_control().release_capacity(bytes.len());
                body.extend_from_slice(&bytes);
            }
            Some(Err(error)) => return (body, Some(error.reason().expect("a stream error, no connection error"))),
        }
    }
}
