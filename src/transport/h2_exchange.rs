//! One request and its response on a stream of an HTTP/2 connection.
//!
//! The body is handed to `h2` as the upstream's window allows, never ahead of it: what `h2` has queued it keeps, with
//! its share of the window, even when the answer has long ended. Reading drives the sending, as on HTTP/1.1.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use pingora::connectors::http::v2;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::v2::client::Http2Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::feed::FedBody;
use super::origin::IDLE_IN_POOL;
use super::outgoing::{Awaits, Outgoing};
use super::turns::Turns;

/// A stream on which nothing was sent yet. However it ends, its connection is given back for others to use.
pub(super) struct H2Stream {
    /// `None` only while it is dropped.
    session: Option<Http2Session>,
    pool: Arc<v2::Connector>,
    peer: Arc<HttpPeer>,
}

impl H2Stream {
    pub(super) fn new(session: Http2Session, pool: &Arc<v2::Connector>, peer: &Arc<HttpPeer>) -> Self {
        Self {
            session: Some(session),
            pool: Arc::clone(pool),
            peer: Arc::clone(peer),
        }
    }

    fn session(&self) -> &Http2Session {
        self.session.as_ref().expect("it is there until the drop")
    }

    fn session_mut(&mut self) -> &mut Http2Session {
        self.session.as_mut().expect("it is there until the drop")
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        // Pingora starts a task that watches the idle connection. Without a runtime the process is ending.
        if let Some(session) = self.session.take()
            && Handle::try_current().is_ok()
        {
            self.pool.release_http_session(session, &*self.peer, Some(IDLE_IN_POOL));
        }
    }
}

/// A request that is being sent, or was, and its response.
pub(super) struct H2Exchange {
    upload: Upload,
    stream: H2Stream,
    /// The response was read to its end.
    is_ended: bool,
    trailers: Option<HeaderMap>,
}

impl H2Exchange {
    /// Sends the header; reading the response sends the body.
    pub(super) fn begin(mut stream: H2Stream, header: Box<RequestHeader>, body: Outgoing<'_>) -> Result<Self> {
        let session = stream.session_mut();
        if let Err(error) = session.write_request_header(header, body.is_empty()) {
            session.conn.mark_shutdown();
            return Err(error);
        }
        let writer = session
            .take_request_body_writer()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "no body writer"))?;
        Ok(Self {
            upload: Upload::new(writer, body),
            stream,
            is_ended: false,
            trailers: None,
        })
    }

    /// When the upstream last had room for bytes of the request.
    pub(super) fn taken_at(&self) -> Instant {
        self.upload.taken_at
    }

    /// Whose turn it is.
    pub(super) fn awaits(&self) -> Awaits {
        let since = self.upload.taken_at;
        if !self.upload.queue.is_empty() {
            Awaits::Room { since }
        } else if self.upload.fed.is_some() {
            Awaits::Client
        } else {
            Awaits::Answer { since }
        }
    }

    pub(super) fn header(&self) -> Option<&ResponseHeader> {
        self.stream.session().response_header()
    }

    /// Cancel-safe.
    pub(super) async fn read_header(&mut self) -> Result<()> {
        let reading = self.stream.session_mut().read_response_header();
        let read = sending(&mut self.upload, reading).await;
        read.inspect_err(|error| self.look_for_its_end(error))
    }

    /// The next bytes, which may be none; `None` once the stream has ended, its trailers read. Cancel-safe.
    pub(super) async fn read_body(&mut self) -> Result<Option<Bytes>> {
        match self.read_on().await {
            Ok(Some(chunk)) => Ok(Some(chunk)),
            Ok(None) => {
                self.is_ended = true;
                Ok(None)
            }
            Err(error) if self.is_whole_despite(&error) => {
                self.is_ended = true;
                Ok(None)
            }
            Err(error) => {
                self.look_for_its_end(&error);
                Err(error)
            }
        }
    }

    /// Where `error` is that of the whole connection, no request begins there any more.
    fn look_for_its_end(&self, error: &Error) {
        if h2_error(error).is_some_and(|error| error.is_go_away() || error.is_io()) {
            self.distrust_connection();
        }
    }

    async fn read_on(&mut self) -> Result<Option<Bytes>> {
        let session = self.stream.session_mut();
        if let Some(chunk) = sending(&mut self.upload, session.read_response_body()).await? {
            return Ok(Some(chunk));
        }
        // The session takes no body for the end: trailers may follow, and the end comes with them.
        self.trailers = sending(&mut self.upload, session.read_trailers()).await?;
        Ok(None)
    }

    /// Whether the response has ended, as far as that is known without waiting.
    pub(super) fn is_ended(&mut self) -> bool {
        self.is_ended = self.is_ended || matches!(self.stream.session_mut().check_response_end_or_error(), Ok(true));
        self.is_ended
    }

    /// A stream that was ended by `error` has all of its response where as much was read as it had announced. A server
    /// that wants no more of the request says so by a reset without an error, once its response is complete (RFC 9113,
    /// section 8.1).
    fn is_whole_despite(&self, error: &Error) -> bool {
        let session = self.stream.session();
        let length = session
            .response_header()
            .and_then(|header| header.headers.get(CONTENT_LENGTH));
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        match length {
            Some(length) => session.body_bytes_received() == length,
            None => error
                .root_cause()
                .downcast_ref::<h2::Error>()
                .is_some_and(|error| error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)),
        }
    }

    /// What followed the body.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Nothing came for longer than a clock allows. The connection may be dead without anybody having said so: streams
    /// that are open on it go on, but no request begins there any more.
    pub(super) fn distrust_connection(&self) {
        self.stream.session().conn.mark_shutdown();
    }
}

impl Drop for H2Exchange {
    fn drop(&mut self) {
        // Without it `h2` would keep a body that the upstream does not take until the connection ends. It knows itself
        // when there is nothing left to reset.
        if !(self.is_ended() && self.upload.is_sent) {
            self.upload.writer.send_reset(Reason::CANCEL);
        }
    }
}

/// A request body on its way.
struct Upload {
    writer: SendStream<Bytes>,
    queue: VecDeque<Bytes>,
    /// What is to come of a body that is sent as it comes.
    fed: Option<FedBody>,
    is_sent: bool,
    taken_at: Instant,
}

impl Upload {
    fn new(writer: SendStream<Bytes>, body: Outgoing<'_>) -> Self {
        let is_sent = body.is_empty();
        let (queue, fed) = match body {
            Outgoing::Whole(body) => (body.iter().filter(|part| !part.is_empty()).cloned().collect(), None),
            Outgoing::Fed(body) => (VecDeque::new(), Some(body)),
        };
        Self {
            writer,
            queue,
            fed,
            is_sent,
            taken_at: Instant::now(),
        }
    }

    /// Sends as much as the upstream has room for. An error only ends the sending: the answer may be there to read.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if (!self.queue.is_empty() || self.fed.is_some())
            && let Poll::Ready(sent) = self.poll_send(cx)
        {
            self.queue.clear();
            self.fed = None;
            self.is_sent = sent.is_ok();
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut turns = Turns::default();
        loop {
            turns.count().or_err(ErrorType::WriteError, "sending the body")?;
            let Some(front) = self.queue.front_mut() else {
                let Some(fed) = &mut self.fed else {
                    return Poll::Ready(Ok(()));
                };
                let piece = ready!(fed.poll_next(cx)).or_err(ErrorType::WriteError, "sending the body")?;
                self.taken_at = Instant::now();
                turns.moved_on();
                if piece.is_last {
                    self.fed = None;
                    self.writer
                        .send_data(piece.bytes, true)
                        .or_err(ErrorType::WriteError, "ending the body")?;
                } else {
                    self.queue.push_back(piece.bytes);
                }
                continue;
            };
            if self.writer.capacity() == 0 {
                self.writer.reserve_capacity(front.len());
            }
            let room = self.writer.capacity().min(front.len());
            if room == 0 {
                match ready!(self.writer.poll_capacity(cx)) {
                    Some(capacity) => capacity.or_err(ErrorType::WriteError, "waiting to send the body")?,
                    None => return Poll::Ready(Error::e_explain(ErrorType::WriteError, "the stream is closed")),
                };
                continue;
            }
            let part = front.split_to(room);
            if front.is_empty() {
                self.queue.pop_front();
            }
            let is_last = self.queue.is_empty() && self.fed.is_none();
            self.writer
                .send_data(part, is_last)
                .or_err(ErrorType::WriteError, "sending the body")?;
            self.taken_at = Instant::now();
            turns.moved_on();
        }
    }
}

fn h2_error(error: &Error) -> Option<&h2::Error> {
    error.root_cause().downcast_ref()
}

/// What `reading` gives; the request is sent meanwhile.
async fn sending<T>(upload: &mut Upload, reading: impl Future<Output = T>) -> T {
    let mut reading = pin!(reading);
    std::future::poll_fn(|cx| {
        upload.drive(cx);
        reading.as_mut().poll(cx)
    })
    .await
}
