//! A client's HTTP/1 connection: request after request, until it has been idle for too long.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::time::{Instant, timeout, timeout_at};

use super::registry::Presence;
use super::shared::{Clients, Proxy};
use super::stream::ClientStream;
use crate::protocol::request_header::{
    BodyFraming, HEADER_MAX_BYTES, HeaderFault, RequestFraming, check_header, header_len, may_be_request,
    method_and_path,
};
use crate::proxy::{Arrival, Home};

/// How many bytes of empty lines before a request are skipped (RFC 9112 §2.2).
const EMPTY_LINES_MAX_BYTES: usize = 4;
/// How long a client may take to notice that its idle connection closes.
const FAREWELL: Duration = Duration::from_secs(1);
/// Greater than any body that is read of a request that was refused for its header, before its connection closes.
const REFUSED_BODY_BYTES: u64 = 1 << 40;

/// A request whose header is there.
struct Request {
    /// The header, and what came with it of the body.
    begin: BytesMut,
    arrival: Arrival,
}

pub(super) async fn serve(
    clients: &Clients,
    proxy: &Proxy,
    mut stream: Box<ClientStream>,
    presence: &Presence,
    shutdown: &ShutdownWatch,
) {
    let home = Home::default();
    while is_begun(&mut stream, presence).await {
        presence.begin();
        let client_timeout = clients.snapshot.load().client_timeout;
        let Some(Request { begin, arrival }) = request(&mut stream, client_timeout, &home).await else {
            return;
        };
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelined_prefix(begin);
        session.set_connection_user_context(Some(Box::new(arrival)));
        // A client is told that its connection closes after this answer.
        let shutdown = if presence.is_dismissed() {
            &clients.closing
        } else {
            shutdown
        };
        let reused = proxy.process_new_http(session, shutdown).await;
        presence.end(clients.registry.now_ms());
        let reused = reused.map(|reused| reused.consume().0);
        let Some(reused) = reused.or_else(|| home.take()) else {
            return;
        };
        let Ok(reused) = reused.into_any().downcast() else {
            return;
        };
        stream = reused;
    }
    // Whether the client has seen it or not, the connection closes now.
    let _ = timeout(FAREWELL, tokio::io::AsyncWriteExt::shutdown(&mut stream)).await;
}

/// Waits for the first byte of a request. `false`: the connection closes before it.
pub(super) async fn is_begun(stream: &mut ClientStream, presence: &Presence) -> bool {
    if !stream.ahead.is_empty() {
        return true;
    }
    poll_fn(|cx| match stream.poll_ahead(cx) {
        Poll::Ready(read) => Poll::Ready(read.is_ok_and(|bytes| bytes > 0)),
        Poll::Pending => presence.poll_dismissed(cx).map(|()| false),
    })
    .await
}

/// Keeps reading until `until`. `Ok(false)`: the client has closed.
pub(super) async fn read_on(stream: &mut ClientStream, until: Instant) -> Result<bool, HeaderFault> {
    let read = timeout_at(until, poll_fn(|cx| stream.poll_ahead(cx))).await;
    let read = read.map_err(|_| HeaderFault::Slow)?;
    Ok(read.is_ok_and(|bytes: usize| bytes > 0))
}

/// Reads the next request, until its header is complete or has proved faulty. `None`: the client has closed before
/// that.
async fn request(stream: &mut ClientStream, client_timeout: Duration, home: &Home) -> Option<Request> {
    let began = Instant::now();
    match header(stream, began + client_timeout).await {
        Ok(Some(Header { len, framing, is_slow })) => {
            let with_body = match framing.body {
                BodyFraming::Length(length) => {
                    let here = stream.ahead.len() - len;
                    len + usize::try_from(length).map_or(here, |length| length.min(here))
                }
                BodyFraming::Chunked => len,
            };
            let begin = stream.ahead.split_to(with_body);
            let rest = match framing.body {
                BodyFraming::Length(length) => BodyFraming::Length(length - (with_body - len) as u64),
                BodyFraming::Chunked => BodyFraming::Chunked,
            };
            stream.begin_body(rest, framing.asks_upgrade);
            let arrival = Arrival {
                began: is_slow.then_some(began),
                fault: None,
                home: home.clone(),
            };
            Some(Request { begin, arrival })
        }
        Ok(None) => None,
        Err(fault) => {
            let begin = stand_in(&stream.ahead);
            stream.ahead.clear();
            stream.pass_all();
            let arrival = Arrival {
                began: Some(began),
                fault: Some(fault),
                home: home.clone(),
            };
            Some(Request { begin, arrival })
        }
    }
}

struct Header {
    len: usize,
    framing: RequestFraming,
    /// The header did not arrive at once.
    is_slow: bool,
}

/// Reads a header. `Ok(None)`: the client has closed before it was complete.
async fn header(stream: &mut ClientStream, until: Instant) -> Result<Option<Header>, HeaderFault> {
    let mut is_slow = false;
    let mut seen = 0;
    let mut empty_bytes = 0;
    loop {
        while matches!(stream.ahead.first(), Some(b'\r' | b'\n')) && empty_bytes < EMPTY_LINES_MAX_BYTES {
            let _ = stream.ahead.split_to(1);
            empty_bytes += 1;
        }
        // Waiting for the end of what is no HTTP, as of TLS where none is spoken, would help nobody.
        if !may_be_request(&stream.ahead) {
            return Err(HeaderFault::RequestLine);
        }
        let len = header_len(&stream.ahead, seen);
        if len.unwrap_or(stream.ahead.len()) > HEADER_MAX_BYTES {
            let has_line = stream.ahead[..HEADER_MAX_BYTES].contains(&b'\n');
            return Err(if has_line {
                HeaderFault::TooLarge
            } else {
                HeaderFault::TargetTooLong
            });
        }
        if let Some(len) = len {
            let framing = check_header(&stream.ahead[..len])?;
            return Ok(Some(Header { len, framing, is_slow }));
        }
        seen = stream.ahead.len();
        if !read_on(stream, until).await? {
            return Ok(None);
        }
        is_slow = true;
    }
}

/// Writes what Pingora is given in place of a refused header, so that the refusal is an answer like any other, with its
/// id and its line in the log: the method and path, as far as they can be shown. The body is never used.
fn stand_in(refused: &[u8]) -> BytesMut {
    let (method, path) = method_and_path(refused).unwrap_or(("GET", "/"));
    let header = format!(
        "{method} {path} HTTP/1.1\r\nhost: -\r\nconnection: close\r\ncontent-length: {REFUSED_BODY_BYTES}\r\n\r\n"
    );
    BytesMut::from(header.as_bytes())
}
