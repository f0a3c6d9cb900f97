use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::task::{Context, Poll};

use h2::SendStream;
use http::{HeaderName, HeaderValue};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v2;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
};
use pingora::upstreams::peer::HttpPeer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;

use super::*;
use crate::body::Segments;
use crate::protocol::{Protocol, StreamKind};
use crate::transport::connection::{Connection, ConnectionKind};
use crate::transport::h2_exchange::H2Stream;
use crate::transport::sending::SendingStream;
use crate::transport::{Beginning, Clocks, Heard, Screening, Spoken, Timings};

/// Far longer than the test may take: no clock is what ends a wait here.
const NEVER: Duration = Duration::from_secs(3600);

struct Unscreened;

impl Screening for Unscreened {
    fn screened(&self, _name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
        Some(value.clone())
    }
}

/// A session that asks on `kind` whatever it is asked.
async fn session_on(kind: ConnectionKind, peer: Arc<HttpPeer>) -> JudgedSession {
    let assignment = Assignment {
        memory: crate::memory::Budget::new(1 << 20),
        max_held_bytes: 1 << 16,
        connection: Mutex::new(Some(Connection {
            kind,
            peer,
            reused: false,
        })),
        body: Segments::from(Bytes::from_static(b"{}")),
        clocks: Clocks {
            beginning: Beginning::Whole { answer: NEVER },
            makes_way: None,
            idle: NEVER,
            deadline: Instant::now() + NEVER,
        },
        heard: Heard {
            kind: StreamKind::Other,
        },
        spoken: Spoken {
            kind: StreamKind::Other,
            protocol: Protocol::OpenAi,
            request_id: HeaderValue::from_static("id"),
        },
        resumable: None,
        keepalive: None,
        timings: Timings::default(),
        screening: Arc::new(Unscreened),
        reported: OnceLock::new(),
    };
    let mut request = RequestHeader::build("POST", b"/v1/x", None).unwrap();
    request.insert_header("host", "upstream").unwrap();
    request.extensions_mut().insert(Arc::new(assignment));
    let mut session = JudgedSession::new(Arc::new(Connections::new(&ConnectorOptions::new(4))));
    session.write_request_header(Box::new(request), true).await.unwrap();
    session
}

/// A session whose upstream plays by `play` once it has a request.
async fn session_over_h2(play: impl FnOnce(SendStream<Bytes>) + Send + 'static) -> JudgedSession {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut upstream = h2::server::handshake(socket).await.unwrap();
        let (_request, mut respond) = upstream.accept().await.unwrap().unwrap();
        let head = http::Response::builder().header("content-type", "application/json");
        play(respond.send_response(head.body(()).unwrap(), false).unwrap());
        while upstream.accept().await.is_some() {}
    });
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.options.alpn = ALPN::H2;
    let (peer, pool) = (Arc::new(peer), Arc::new(v2::Connector::new(None)));
    let HttpSession::H2(stream) = pool.new_http_session::<_, ()>(&*peer).await.unwrap() else {
        panic!("prior knowledge")
    };
    session_on(ConnectionKind::H2(Box::new(H2Stream::new(stream, &pool, &peer))), peer).await
}

/// An upstream that has always another byte, and never lets anybody wait.
#[derive(Debug)]
struct Ready {
    says: &'static [u8],
    then: u8,
}

impl AsyncRead for Ready {
    fn poll_read(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.says.is_empty() {
            buf.put_slice(&[self.then]);
        } else {
            buf.put_slice(std::mem::take(&mut self.says));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ready {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Shutdown for Ready {
    async fn shutdown(&mut self) {}
}

impl UniqueID for Ready {
    fn id(&self) -> UniqueIDType {
        -1
    }
}

impl Ssl for Ready {}
impl Peek for Ready {}

impl GetTimingDigest for Ready {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Ready {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Ready {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

/// A session whose upstream says this, and then that it is about to end: for ever, without a wait, byte by byte.
async fn session_with_nothing_yet(says: &'static [u8]) -> JudgedSession {
    let upstream = SendingStream::new(Box::new(Ready { says, then: b'x' }));
    let peer = HttpPeer::new((Ipv4Addr::LOCALHOST, 1), false, String::new());
    session_on(ConnectionKind::H1(Box::new(upstream)), Arc::new(peer)).await
}

#[tokio::test]
async fn nothing_yet_for_ever_is_no_answer() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    let mut session = session_with_nothing_yet(head).await;
    assert!(session.read_response_header().await.is_err());
}

#[tokio::test]
async fn nothing_yet_for_ever_breaks_an_answer_that_has_begun_and_keeps_no_worker() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
                 8\r\n{\"id\":1,\r\n0\r\n";
    let mut session = session_with_nothing_yet(head).await;
    session.read_response_header().await.unwrap();
    assert_eq!(
        session.read_response_body().await.unwrap(),
        Some(Bytes::from_static(b"{\"id\":1,"))
    );
    // There is one thread: this runs only where the session gives it away.
    let worked = Arc::new(AtomicBool::new(false));
    let another = tokio::spawn({
        let worked = Arc::clone(&worked);
        async move { worked.store(true, Ordering::Relaxed) }
    });
    assert!(session.read_response_body().await.is_err());
    assert!(worked.load(Ordering::Relaxed));
    another.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_ends_with_trailers_ends() {
    let mut session = session_over_h2(|mut stream| {
        stream.send_data(Bytes::from_static(b"{}"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("abc"));
        trailers.insert("x-gateway-model", HeaderValue::from_static("forged"));
        stream.send_trailers(trailers).unwrap();
    })
    .await;
    session.read_response_header().await.unwrap();
    assert_eq!(
        session.read_response_body().await.unwrap(),
        Some(Bytes::from_static(b"{}"))
    );
    assert!(!session.check_response_end_or_error(false).await.unwrap());
    assert_eq!(session.read_response_body().await.unwrap(), None);
    let trailers = session.read_trailers().await.unwrap().unwrap();
    assert_eq!(
        (trailers.len(), &trailers["x-checksum"]),
        (1, &HeaderValue::from_static("abc"))
    );
    assert!(session.check_response_end_or_error(false).await.unwrap());
    assert!(session.wire.is_none(), "its stream was given back");
}
