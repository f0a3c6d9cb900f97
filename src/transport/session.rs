//! One attempt as Pingora's upstream session: everything happens while Pingora waits for the response header.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, stream};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use pingora_core::protocols::http::custom::client::Session;
use pingora_core::protocols::http::custom::{BodyWrite, CustomMessageWrite};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::{Digest, UniqueIDType};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::Instant;

use super::assignment::{Assignment, Evidence};
use super::clock::before;
use super::connections::Connections;
use super::failure::Failure;
use super::wire::Wire;
use crate::protocol::errors::{GatewayError, stream_error_event};
use crate::protocol::judge::{Judge, Judgement};
use crate::protocol::tail::StreamEnd;

/// How long an error answer's body is waited for before the answer is judged by what is there.
const ERROR_BODY_CLOCK: Duration = Duration::from_secs(2);
/// What is read of a failed answer that is there already, so that its connection can be used again.
const DRAIN_MAX_BYTES: usize = 64 * 1024;

pub struct JudgedSession {
    connections: Arc<Connections>,
    request: Option<Box<RequestHeader>>,
    assignment: Option<Arc<Assignment>>,
    wire: Option<Wire>,
    /// Its response header was read.
    answered: bool,
    /// The header of a failed answer, with its [`Evidence`]. (A good one stays where it was read: a copy less.)
    rejected: Option<ResponseHeader>,
    /// Its body has a length, so nothing can be added to it.
    has_length: bool,
    /// Read, but not handed out yet.
    held: VecDeque<Bytes>,
    /// Watches a stream for its protocol's end.
    stream_end: Option<StreamEnd>,
    /// The response was read to its end, and its connection given back.
    ended: bool,
    /// Set once the upstream has broken off after commit; reported after `held` was handed out.
    broken: Option<Failure>,
}

impl JudgedSession {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self {
            connections,
            request: None,
            assignment: None,
            wire: None,
            answered: false,
            rejected: None,
            has_length: false,
            held: VecDeque::new(),
            stream_end: None,
            ended: false,
            broken: None,
        }
    }

    /// Sends, and reads until the answer can be judged.
    async fn attempt(&mut self, request: Box<RequestHeader>, assignment: &Assignment) -> Result<(), Failure> {
        let clocks = &assignment.clocks;
        let connection = assignment.connection.lock().ok().and_then(|mut opened| opened.take());
        let connection = connection.ok_or(Failure::Reset { reused: false })?;
        let reused = connection.reused;
        let wire = connection
            .send(request, &assignment.body)
            .map_err(|_| Failure::Reset { reused })?;
        let wire = self.wire.insert(wire);
        wire.read_header(clocks.headers, clocks.deadline).await?;
        let evidence = self.judge(assignment).await?;
        self.answered = true;
        if let (Some(evidence), Some(wire)) = (evidence, &self.wire) {
            self.rejected = wire.header().cloned();
            if let Some(header) = &mut self.rejected {
                header.extensions_mut().insert(evidence);
            }
            self.give_back().await;
        }
        Ok(())
    }

    /// Reads on until the answer has begun or failed. `None`: it has begun.
    async fn judge(&mut self, assignment: &Assignment) -> Result<Option<Evidence>, Failure> {
        let Some(wire) = self.wire.as_mut() else {
            return Err(Failure::Reset { reused: false });
        };
        let Some(header) = wire.header() else {
            return Err(Failure::Reset { reused: false });
        };
        // What is compressed can't be watched. (It was not asked for, but an upstream may send it all the same.)
        let is_readable = !header.headers.contains_key(CONTENT_ENCODING);
        self.has_length = header.headers.contains_key(CONTENT_LENGTH);
        let mut judge = Judge::new(header.status.as_u16(), &header.headers, assignment.kind);
        let begun = Instant::now();
        let judgement = loop {
            // What is known to be an error is only waited for to be whole.
            let is_error = judge.awaits_error_body();
            let clock = if is_error {
                ERROR_BODY_CLOCK
            } else {
                assignment.clocks.first_token
            };
            let until = (begun + clock).min(assignment.clocks.deadline);
            let next = match wire.is_ended() {
                Ok(true) => Ok(Ok(None)),
                Ok(false) => before(until, wire.read_body()).await,
                Err(error) => Ok(Err(error)),
            };
            let judgement = match next {
                Ok(Ok(Some(chunk))) => {
                    let judgement = judge.feed(&chunk);
                    self.held.push_back(chunk);
                    judgement
                }
                Ok(Ok(None)) => judge.end(),
                Ok(Err(_)) | Err(_) if is_error => judge.end(),
                Ok(Err(_)) => return Err(Failure::Reset { reused: false }),
                Err(_) if Instant::now() >= assignment.clocks.deadline => return Err(Failure::Deadline),
                Err(_) => return Err(Failure::FirstTokenClock),
            };
            if judgement != Judgement::Undecided {
                break judgement;
            }
        };
        if judge.is_event_stream() && is_readable {
            let mut end = StreamEnd::new(assignment.kind);
            self.held.iter().for_each(|chunk| end.feed(chunk));
            self.stream_end = Some(end);
        }
        Ok((judgement == Judgement::Failed).then(|| Evidence {
            held: joined(&self.held),
            whole: wire.is_ended().unwrap_or(false),
            payload: Bytes::copy_from_slice(judge.error_payload()),
        }))
    }

    /// The response broke off: what is held goes out, then a stream's error event, then the break itself.
    fn break_off(&mut self, failure: Failure) {
        if let (Some(end), Some(assignment)) = (&self.stream_end, &self.assignment)
            && !self.has_length
        {
            let error = GatewayError::new(502, "upstream_broken", format!("the stream broke off: {failure}"));
            let request_id = assignment.request_id.to_str().unwrap_or_default();
            self.held
                .push_back(stream_error_event(assignment.protocol, end.cut(), &error, request_id));
        }
        self.broken = Some(failure);
    }

    /// Whether the response has come to its proper end, on the wire and as its protocol has it.
    fn is_complete(&mut self) -> bool {
        if !self.held.is_empty() || self.broken.is_some() {
            return false;
        }
        let ended = match &mut self.wire {
            Some(wire) => wire.is_ended(),
            None => Ok(self.ended),
        };
        let reason = match ended {
            Ok(false) => return false,
            Ok(true) if self.stream_end.as_ref().is_none_or(StreamEnd::is_complete) => return true,
            Ok(true) => "the stream ended without its protocol's end",
            Err(_) => "reset by the upstream",
        };
        self.break_off(Failure::Broken(reason.to_owned()));
        false
    }

    /// Returns the connection to the pool as soon as the response was read to its end, for the next request to find.
    async fn give_back(&mut self) {
        if let Some(wire) = self.wire.take_if(|wire| matches!(wire.is_ended(), Ok(true))) {
            self.ended = true;
            self.connections.release(wire).await;
        }
    }

    /// Gives the connection back if what is left of the response is there already, and closes it otherwise.
    pub(super) async fn release(mut self) {
        let Some(wire) = self.wire.as_mut() else { return };
        let mut drained = 0;
        while self.answered
            && self.broken.is_none()
            && drained < DRAIN_MAX_BYTES
            && let Some(Ok(Some(chunk))) = wire.read_body().now_or_never()
        {
            drained += chunk.len();
        }
        if self.answered && self.broken.is_none() {
            self.give_back().await;
        }
        if let Some(mut wire) = self.wire {
            wire.close().await;
        }
    }
}

fn joined(chunks: &VecDeque<Bytes>) -> Bytes {
    match chunks.len() {
        0 => Bytes::new(),
        1 => chunks[0].clone(),
        _ => {
            let mut joined = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
            chunks.iter().for_each(|chunk| joined.extend_from_slice(chunk));
            joined.freeze()
        }
    }
}

#[async_trait]
impl Session for JudgedSession {
    async fn write_request_header(&mut self, mut request: Box<RequestHeader>, _end: bool) -> Result<()> {
        self.assignment = request.extensions_mut().remove::<Arc<Assignment>>();
        self.request = Some(request);
        Ok(())
    }

    async fn read_response_header(&mut self) -> Result<()> {
        let (Some(request), Some(assignment)) = (self.request.take(), self.assignment.clone()) else {
            return Error::e_explain(ErrorType::InternalError, "a judged request without its assignment");
        };
        self.attempt(request, &assignment).await.map_err(Failure::into_error)
    }

    async fn read_response_body(&mut self) -> Result<Option<Bytes>> {
        let idle = self
            .assignment
            .as_ref()
            .map_or(Duration::ZERO, |assignment| assignment.clocks.idle);
        loop {
            if let Some(chunk) = self.held.pop_front() {
                return Ok(Some(chunk));
            }
            if let Some(failure) = self.broken.take() {
                // Kept broken, so that the connection is closed.
                self.broken = Some(Failure::Broken(String::new()));
                return Err(failure.into_error());
            }
            if self.is_complete() {
                return Ok(None);
            }
            let Some(wire) = self.wire.as_mut().filter(|_| self.broken.is_none()) else {
                continue;
            };
            match before(Instant::now() + idle, wire.read_body()).await {
                Ok(Ok(Some(chunk))) => {
                    if let Some(end) = &mut self.stream_end {
                        end.feed(&chunk);
                    }
                    return Ok(Some(chunk));
                }
                // A close-delimited body has ended now; `is_complete` judges it.
                Ok(Ok(None)) => {}
                Ok(Err(error)) => self.break_off(Failure::Broken(error.etype().as_str().to_owned())),
                Err(_) => self.break_off(Failure::Broken("nothing came within the idle clock".to_owned())),
            }
        }
    }

    async fn check_response_end_or_error(&mut self, _headers: bool) -> Result<bool> {
        self.give_back().await;
        Ok(self.is_complete())
    }

    fn response_header(&self) -> Option<&ResponseHeader> {
        self.rejected.as_ref().or_else(|| self.wire.as_ref()?.header())
    }

    fn response_finished(&self) -> bool {
        false
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        if let Some(wire) = &mut self.wire {
            wire.close().await;
        }
    }

    async fn read_trailers(&mut self) -> Result<Option<HeaderMap>> {
        Ok(None)
    }

    // The request body went with the assignment: what Pingora's own pipe sends is swallowed.

    async fn write_request_body(&mut self, _data: Bytes, _end: bool) -> Result<()> {
        Ok(())
    }

    async fn finish_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_request_body_writer(&mut self) -> Option<Box<dyn BodyWrite>> {
        Some(Box::new(Swallow))
    }

    // The clocks are the assignment's.

    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn set_write_timeout(&mut self, _timeout: Option<Duration>) {}

    // Nothing is known of a connection before the response header is asked for.

    fn was_upgraded(&self) -> bool {
        false
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn fd(&self) -> UniqueIDType {
        -1
    }

    // No custom messages.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync>> {
        Some(Box::new(stream::empty()))
    }

    async fn drain_custom_messages(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        Some(Box::new(()))
    }
}

/// A body writer for a body that is already on its way.
struct Swallow;

#[async_trait]
impl BodyWrite for Swallow {
    async fn write_all_buf(&mut self, data: &mut Bytes) -> Result<()> {
        data.clear();
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    async fn cleanup(&mut self) -> Result<()> {
        Ok(())
    }

    fn upgrade_body_writer(&mut self) {}
}
