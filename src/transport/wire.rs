//! One request and its response on one connection, HTTP/1.1 or HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::{HttpSession as Http1Session, http_req_header_to_wire};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::time::Instant;

use super::clock::before;
use super::clocks::Clocks;
use super::connection::{Connection, ConnectionKind};
use super::failure::Failure;
use super::feed::{FedBody, Feed, Framing};
use super::gathered::Gathered;
use super::h2_exchange::H2Exchange;
use super::outgoing::{Awaits, Outgoing, RelayedBody};
use super::sending::SendingStream;
use super::turns::Turns;
use crate::body::Segments;

/// Interim responses (1xx) before the final one; they are not passed on.
pub(super) const INTERIM_RESPONSES_MAX: usize = 16;
/// A kept connection that breaks within this time of sending had been closed before; one that breaks later was not.
const STALE_WITHIN: Duration = Duration::from_secs(1);
/// At most so many pieces of a body are handed out as one.
const GATHERED_PIECES_MAX: usize = 64;
/// A piece of a body is looked for while there is room for one of this length. It may turn out to be longer.
const PIECE_BYTES: usize = 1024;
/// How much is read of a response that nobody wants and that is there already, so that its connection can be used
/// again. One read brings 64 KiB at most.
const DRAIN_READS_MAX: usize = 4;

const ENDLESS: ErrorType = ErrorType::Custom("frames without end or content");

pub(super) struct Wire {
    exchange: Exchange,
    peer: Arc<HttpPeer>,
    reused: bool,
    /// The response has no body, whatever length its header states (RFC 9110 §9.3.2).
    is_head: bool,
    /// The body was read to its proper end.
    is_ended: bool,
    /// Reading the body has failed.
    has_failed: bool,
    /// Why it has, while what came before has not been handed out.
    failure: Option<Box<Error>>,
    sent_at: Instant,
}

enum Exchange {
    H1(Box<Http1Session>),
    H2(Box<H2Exchange>),
}

impl Connection {
    /// Starts sending; reading the response goes on with it.
    pub(super) fn send(self, header: Box<RequestHeader>, body: &Segments) -> Result<Wire> {
        self.begin(header, Outgoing::Whole(body))
    }

    /// The same for a request whose body, or what follows a switch of protocols, is fed in as it comes.
    pub(super) fn relay(self, mut header: Box<RequestHeader>, body: RelayedBody) -> Result<(Wire, Option<Feed>)> {
        let is_h1 = matches!(self.kind, ConnectionKind::H1(_));
        let framing = match body {
            RelayedBody::Unsized if is_h1 => Framing::Chunked,
            _ => Framing::Bare,
        };
        if framing == Framing::Chunked {
            header.insert_header(TRANSFER_ENCODING, "chunked")?;
        }
        let (feed, fed) = Feed::new(framing);
        match body {
            RelayedBody::None => Ok((
                self.begin(header, Outgoing::Whole(&Segments::from(Bytes::new())))?,
                None,
            )),
            RelayedBody::Sized | RelayedBody::Unsized => Ok((self.begin(header, Outgoing::Fed(fed))?, Some(feed))),
            RelayedBody::Upgrade => Ok((self.begin_switch(header, fed)?, Some(feed))),
        }
    }

    fn begin(self, mut header: Box<RequestHeader>, body: Outgoing<'_>) -> Result<Wire> {
        let is_head = header.method == Method::HEAD;
        let exchange = match self.kind {
            ConnectionKind::H1(mut stream) => {
                header.set_version(http::Version::HTTP_11);
                let on_wire = http_req_header_to_wire(&header)
                    .ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "request line"))?;
                match body {
                    Outgoing::Whole(body) => stream.queue(on_wire, body),
                    Outgoing::Fed(body) => stream.queue_fed(on_wire, body),
                }
                Exchange::H1(Box::new(Http1Session::new_with_options(stream, &*self.peer)))
            }
            ConnectionKind::H2(stream) => Exchange::H2(Box::new(H2Exchange::begin(*stream, header, body)?)),
        };
        Ok(Wire::new(exchange, self.peer, self.reused, is_head))
    }

    fn begin_switch(self, mut header: Box<RequestHeader>, half: FedBody) -> Result<Wire> {
        let ConnectionKind::H1(mut stream) = self.kind else {
            return Error::e_explain(ErrorType::InternalError, "a switch of protocols needs HTTP/1.1");
        };
        header.set_version(http::Version::HTTP_11);
        stream.queue_switched(half);
        let mut session = Http1Session::new_with_options(stream, &*self.peer);
        // The session has to know of the switch, so it writes the header itself; that is only queued.
        let written = session.write_request_header(header).now_or_never();
        written.unwrap_or_else(|| Error::e_explain(ErrorType::InternalError, "a header that is not queued"))?;
        Ok(Wire::new(
            Exchange::H1(Box::new(session)),
            self.peer,
            self.reused,
            false,
        ))
    }
}

impl Wire {
    fn new(exchange: Exchange, peer: Arc<HttpPeer>, reused: bool, is_head: bool) -> Self {
        Self {
            exchange,
            peer,
            reused,
            is_head,
            is_ended: false,
            has_failed: false,
            failure: None,
            sent_at: Instant::now(),
        }
    }

    /// The final response header, within its clock, which begins when the upstream has taken the request's last byte.
    pub(super) async fn read_header(&mut self, clocks: &Clocks) -> Result<(), Failure> {
        for _ in 0..INTERIM_RESPONSES_MAX {
            if !self.read_one_header(clocks).await? {
                return Ok(());
            }
        }
        Err(too_many_interim_responses())
    }

    /// The next header; whether it is that of an interim response.
    async fn read_one_header(&mut self, clocks: &Clocks) -> Result<bool, Failure> {
        let end = clocks.end();
        let mut turns = Turns::default();
        let read = loop {
            turns
                .next()
                .await
                .map_err(|turned| Failure::Invalid(turned.to_string()))?;
            let taken_at = self.taken_at();
            match before((taken_at + clocks.beginning.header()).min(end), self.next_header()).await {
                Ok(read) => break read,
                Err(_) if self.taken_at() > taken_at && Instant::now() < end => turns.moved_on(),
                Err(_) => {
                    self.fell_silent();
                    let now = Instant::now();
                    return Err(if now >= end {
                        clocks.at_end(now)
                    } else {
                        clocks.beginning.without_header()
                    });
                }
            }
        };
        match read? {
            StatusCode::SWITCHING_PROTOCOLS => Err(unwanted_switch()),
            status => Ok(status.is_informational()),
        }
    }

    /// The status of the next header, interim or final. Cancel-safe on both protocols.
    pub(super) async fn next_header(&mut self) -> Result<StatusCode, Failure> {
        let read = match &mut self.exchange {
            Exchange::H1(session) => session.read_response().await.map(drop),
            Exchange::H2(exchange) => exchange.read_header().await,
        };
        read.map_err(|error| match error.etype() {
            ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 => Failure::Invalid(error.etype().as_str().to_owned()),
            // A connection that had died while it was idle shows that at once.
            _ => Failure::Reset {
                reused: self.reused && self.since_taken() < STALE_WITHIN,
            },
        })?;
        let header = self.header();
        header
            .map(|header| header.status)
            .ok_or_else(|| Failure::Invalid("no header".to_owned()))
    }

    /// The header that was read last.
    pub(super) fn header(&self) -> Option<&ResponseHeader> {
        match &self.exchange {
            Exchange::H1(session) => session.resp_header(),
            Exchange::H2(exchange) => exchange.header(),
        }
    }

    /// Whose turn it is.
    pub(super) fn awaits(&self) -> Awaits {
        match &self.exchange {
            Exchange::H1(session) => SendingStream::of(session.stream())
                .map_or(Awaits::Answer { since: self.sent_at }, SendingStream::awaits),
            Exchange::H2(exchange) => exchange.awaits(),
        }
    }

    /// How long ago the upstream took the request's last byte.
    pub(super) fn since_taken(&self) -> Duration {
        self.taken_at().elapsed()
    }

    /// When the upstream last took bytes of the request.
    fn taken_at(&self) -> Instant {
        match &self.exchange {
            Exchange::H1(session) => SendingStream::of(session.stream()).map_or(self.sent_at, SendingStream::taken_at),
            Exchange::H2(exchange) => exchange.taken_at(),
        }
    }

    /// The next bytes of the body, at least one, as far as they have come; `None` once it has ended, and ever after. So a
    /// loop over it moves on with each turn, and a clock around it starts anew with bytes only. Cancel-safe.
    ///
    /// An upstream that writes event by event is often faster than its client is served: then what is there of them is one
    /// piece, which goes the rest of its way once.
    ///
    /// # Errors
    /// Where the body breaks off, or the upstream sends frames for ever that have nothing in them.
    pub(super) async fn read_body(&mut self) -> Result<Option<Bytes>> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut gathered = Gathered::default();
        match self.read_piece().await? {
            Some(piece) => gathered.push(piece),
            None => return Ok(None),
        }
        for _ in 1..GATHERED_PIECES_MAX {
            if !gathered.has_room_for(PIECE_BYTES) {
                break;
            }
            match self.read_piece().now_or_never() {
                Some(Ok(Some(piece))) => gathered.push(piece),
                Some(Err(error)) => {
                    self.failure = Some(error);
                    break;
                }
                Some(Ok(None)) | None => break,
            }
        }
        Ok(Some(gathered.finish()))
    }

    async fn read_piece(&mut self) -> Result<Option<Bytes>> {
        let mut turns = Turns::default();
        while !self.is_ended() {
            turns.next().await.or_err(ENDLESS, "reading a body")?;
            let read = match &mut self.exchange {
                Exchange::H1(session) => session.read_body_bytes().await,
                Exchange::H2(exchange) => exchange.read_body().await,
            };
            match read {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) => self.is_ended = true,
                Err(error) => {
                    self.has_failed = true;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// Whether the body was read to its proper end, or has none.
    pub(super) fn is_ended(&mut self) -> bool {
        if !self.is_ended && !self.has_failed {
            self.is_ended = self.is_head
                || match &mut self.exchange {
                    Exchange::H1(session) => session.is_body_done(),
                    Exchange::H2(exchange) => exchange.is_ended(),
                };
        }
        self.is_ended
    }

    /// What followed the body. Pingora reads over the trailers of a chunked one.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        match &mut self.exchange {
            Exchange::H1(_) => None,
            Exchange::H2(exchange) => exchange.take_trailers(),
        }
    }

    /// A clock ran out, and nothing was heard: whatever shares the connection with this request is not to begin there.
    pub(super) fn fell_silent(&self) {
        if let Exchange::H2(exchange) = &self.exchange {
            exchange.distrust_connection();
        }
    }

    /// Reads what is there already of a response that nobody wants.
    pub(super) fn drain(&mut self) {
        for _ in 0..DRAIN_READS_MAX {
            if !matches!(self.read_body().now_or_never(), Some(Ok(Some(_)))) {
                break;
            }
        }
    }

    /// Whether the next request may go out on this connection: all of this one was written and flushed without an
    /// error, the response was read to its end, and nothing lies unread behind it. (A stream of HTTP/2 shares nothing
    /// with the next one; its connection is given back whatever became of it.)
    fn may_be_pooled(&mut self) -> bool {
        let Exchange::H1(session) = &mut self.exchange else {
            return false;
        };
        // Also looks for surplus bytes, and at what the response itself says of the connection.
        session.respect_keepalive();
        let is_refusal = session.get_status().is_none_or(|status| status.as_u16() >= 400);
        SendingStream::of(session.stream())
            .is_some_and(|stream| stream.has_sent_all() && (!is_refusal || stream.was_taken_though_refused()))
            && !self.has_failed
            && session.is_body_done()
            && session.will_keepalive()
    }

    /// The idle connection for the pool, with where it leads to. `None`: it was closed.
    pub(super) fn into_idle(mut self) -> Option<(Stream, Arc<HttpPeer>)> {
        if !self.may_be_pooled() {
            self.close();
            return None;
        }
        match self.exchange {
            Exchange::H1(session) => Some((session.into_inner(), self.peer)),
            Exchange::H2(_) => None,
        }
    }

    /// Closes the connection, or resets the stream. What was not sent yet never is, and nothing is waited for: an
    /// upstream that reads no more would never take the goodbye.
    pub(super) fn close(self) {
        if let Exchange::H1(mut session) = self.exchange {
            let _ = session.shutdown().now_or_never();
        }
    }
}

/// Interim responses are bounded: each costs a parsed header, and none brings the answer closer.
pub(super) fn too_many_interim_responses() -> Failure {
    Failure::Invalid(format!("more than {INTERIM_RESPONSES_MAX} interim responses"))
}

pub(super) fn unwanted_switch() -> Failure {
    Failure::Invalid("it switched to a protocol that was not asked for".to_owned())
}
