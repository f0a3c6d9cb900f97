//! One attempt as Pingora's upstream session: everything happens while Pingora waits for the response header.

mod beginning;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::custom::client::Session;
use pingora::protocols::http::custom::{BodyWrite, CustomMessageWrite};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::{Digest, UniqueIDType};
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;

use super::assignment::Assignment;
use super::clock::{IdleClock, before};
use super::connections::Connections;
use super::failure::Failure;
use super::outlet::Outlet;
use super::search::Search;
use super::swallow::Swallow;
use super::trailers::passable;
use super::turns::Turns;
use super::wire::Wire;
use crate::protocol::reported_error::error_in;

/// How long a stream that has said everything may take to end its response, so that its connection can be used again.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub struct JudgedSession {
    connections: Arc<Connections>,
    request: Option<Box<RequestHeader>>,
    assignment: Option<Arc<Assignment>>,
    wire: Option<Wire>,
    /// Its response header was read.
    answered: bool,
    /// The header of a failed answer, with its [`Evidence`]. (A good one stays where it was read: a copy less.)
    ///
    /// What few sessions have is boxed here, since Pingora's future of a request has the session in it three times.
    rejected: Option<Box<ResponseHeader>>,
    /// The header of a client that was answered before any upstream has begun to.
    early: Option<Box<ResponseHeader>>,
    /// The search for an upstream that begins, behind such a client.
    search: Option<Box<Search>>,
    /// The stages through which the body goes to the client.
    outlet: Outlet,
    /// The clock between two pieces of the body. `None` before one was waited for.
    idle: Option<IdleClock>,
    /// The response was read to its end, and its connection given back.
    ended: bool,
    /// Pingora knows of the end.
    end_is_told: bool,
    /// What followed it, as far as the client may have it.
    trailers: Option<HeaderMap>,
    /// Set once the upstream has broken off after commit; reported after all that is ready was handed out.
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
            early: None,
            search: None,
            outlet: Outlet::default(),
            idle: None,
            ended: false,
            end_is_told: false,
            trailers: None,
            broken: None,
        }
    }

    /// Reads the body from `wire` from now on.
    fn take_over(&mut self, wire: Wire) {
        if let Some(former) = self.wire.replace(wire) {
            former.close();
        }
        self.idle = None;
        self.answered = true;
        self.ended = false;
    }

    /// Deals with a response that broke off: nothing was missing of it, another attempt continues it, or it is broken for good.
    async fn mend(&mut self, failure: Failure) {
        if let Some(wire) = self.wire.take() {
            wire.close();
        }
        if self.outlet.has_come_to_its_end() {
            self.ended = true;
        } else if !(self.outlet.can_resume() && self.resume(&failure).await) {
            self.break_off(failure);
        }
    }

    /// Has another attempt continue the stream. Returns whether there is one.
    async fn resume(&mut self, failure: &Failure) -> bool {
        let Some((mut answer, assignment)) = self.outlet.resume(failure).await else {
            return false;
        };
        self.outlet.follow(&mut answer);
        self.take_over(answer.wire);
        self.assignment = Some(assignment);
        self.tell_reported();
        true
    }

    /// Where an error that the upstream has reported is withheld: another attempt continues the stream, or the client gets
    /// the error as it is.
    ///
    /// Returns whether there was one.
    async fn go_on_after_error(&mut self) -> bool {
        let Some(data) = self.outlet.withheld_error() else {
            return false;
        };
        if !self.resume(&Failure::Reported(data)).await {
            self.outlet.release_withheld();
        }
        true
    }

    /// Tells whoever keeps the books of an error that the upstream has reported and the client gets. (Not of one before
    /// the answer began, which was judged, and not of one that is withheld.)
    fn tell_reported(&mut self) {
        if self.rejected.is_none()
            && let Some(data) = self.outlet.take_reported()
            && let Some(assignment) = &self.assignment
        {
            // The first one tells why.
            let _ = assignment.reported.set(error_in(&data));
        }
    }

    /// Ends a response that broke off: what is ready goes out, then a stream's error event, then the break itself.
    fn break_off(&mut self, failure: Failure) {
        if let Some(assignment) = &self.assignment {
            self.outlet.break_off(&failure, &assignment.spoken);
        }
        self.broken = Some(failure);
    }

    /// Returns how the response stands, now that all that was ready of it is handed out.
    fn standing(&mut self) -> Standing {
        let has_ended = self.wire.as_mut().map_or(self.ended, Wire::is_ended);
        if !has_ended {
            match self.outlet.has_said_all() {
                true => Standing::Complete,
                false => Standing::Running,
            }
        } else if self.outlet.may_end() {
            Standing::Complete
        } else {
            Standing::Broken("the stream ended without its protocol's end")
        }
    }

    /// Returns whether all of a complete response was handed out.
    fn is_complete(&mut self) -> bool {
        self.broken.is_none() && self.standing() == Standing::Complete && self.outlet.finish()
    }

    /// Waits for more of the response.
    async fn read_on(&mut self) {
        let (Some(wire), Some(assignment)) = (&mut self.wire, &self.assignment) else {
            return self.break_off(Failure::Reset { reused: false });
        };
        let idle = self.idle.get_or_insert_with(|| IdleClock::new(assignment.clocks.idle));
        let reading = idle.within(wire.read_body());
        let read = match assignment.keepalive.filter(|_| self.outlet.is_between_events()) {
            None => reading.await,
            Some(keepalive) => match before(Instant::now() + keepalive.every, reading).await {
                Ok(read) => read,
                Err(_) => return self.outlet.keep_alive(assignment.spoken.kind),
            },
        };
        match read {
            Ok(Ok(Some(chunk))) => {
                self.outlet.feed(chunk);
                self.tell_reported();
            }
            // It has ended; its standing tells how.
            Ok(Ok(None)) => {}
            Ok(Err(error)) => self.mend(Failure::broken_by(&error)).await,
            Err(_) => {
                wire.fell_silent();
                self.mend(Failure::fell_silent("nothing came")).await;
            }
        }
    }

    /// Returns the connection to the pool as soon as the response was read to its end, for the next request to find.
    fn give_back(&mut self) {
        if let Some(mut wire) = self.wire.take_if(Wire::is_ended) {
            self.ended = true;
            let trailers = wire.take_trailers().zip(self.assignment.as_ref());
            self.trailers = trailers.and_then(|(trailers, by)| passable(&trailers, &*by.screening));
            self.connections.release(wire);
        }
    }

    /// Gives the connection back if what is left of the response is there already, and closes it otherwise. A stream that has
    /// said everything is given a moment for its end.
    pub(super) fn release(mut self) {
        if self.answered
            && self.broken.is_none()
            && let Some(wire) = &mut self.wire
        {
            wire.drain();
            self.give_back();
        }
        let Some(mut wire) = self.wire.take() else { return };
        if !self.outlet.has_said_all() {
            return wire.close();
        }
        let connections = Arc::clone(&self.connections);
        tokio::spawn(async move {
            let end = before(Instant::now() + LAST_WORDS, wire.read_body()).await;
            match end {
                Ok(Ok(None)) => connections.release(wire),
                _ => wire.close(),
            }
        });
    }
}

/// How a response stands whose header was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Running,
    /// It came to its proper end, on the wire and as its protocol has it.
    Complete,
    Broken(&'static str),
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
        self.attempt(request, assignment).await
    }

    async fn read_response_body(&mut self) -> Result<Option<Bytes>> {
        let mut turns = Turns::default();
        loop {
            if turns.next().await.is_err() {
                debug_assert!(false, "a response that neither runs, nor is complete, nor broken");
                self.break_off(Failure::broken("nothing came of it"));
            }
            if let Some(chunk) = self.outlet.take() {
                return Ok(Some(chunk));
            }
            if let Some(failure) = self.broken.take() {
                // Kept broken, so that the connection is closed.
                self.broken = Some(Failure::broken(""));
                return Err(failure.into_error());
            }
            if self.search.is_some() {
                self.search_on().await;
                turns.moved_on();
                continue;
            }
            if self.go_on_after_error().await {
                continue;
            }
            match self.standing() {
                Standing::Complete if self.is_complete() => {
                    self.give_back();
                    // Pingora hears of the end together with a chunk, be it an empty one: only so do its filters, and
                    // with them the books, before the client does.
                    let is_news = !self.end_is_told && self.trailers.is_none();
                    return Ok(is_news.then(Bytes::new));
                }
                Standing::Complete => {}
                Standing::Broken(reason) => self.mend(Failure::broken(reason)).await,
                Standing::Running => {
                    self.read_on().await;
                    turns.moved_on();
                }
            }
        }
    }

    async fn check_response_end_or_error(&mut self, _headers: bool) -> Result<bool> {
        self.give_back();
        // Where trailers follow, the end comes with them.
        self.end_is_told = self.is_complete() && self.trailers.is_none();
        Ok(self.end_is_told)
    }

    fn response_header(&self) -> Option<&ResponseHeader> {
        self.early
            .as_deref()
            .or(self.rejected.as_deref())
            .or_else(|| self.wire.as_ref()?.header())
    }

    fn response_finished(&self) -> bool {
        false
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        if let Some(wire) = self.wire.take() {
            wire.close();
        }
    }

    async fn read_trailers(&mut self) -> Result<Option<HeaderMap>> {
        Ok(self.trailers.take())
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

#[cfg(test)]
mod tests;
