//! A request that is relayed as it comes: its body is sent while the client still sends it, and the answer is passed on
//! unjudged. After a switch of protocols both ways stay open for as long as somebody speaks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderValue, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use tokio::time::Instant;

use super::clock::before;
use super::clocks::Beginning;
use super::connection::Connection;
use super::connections::Connections;
use super::connector::JudgingConnector;
use super::failure::Failure;
use super::feed::Feed;
use super::outgoing::{Awaits, RelayedBody};
use super::turns::Turns;
use super::wire::{INTERIM_RESPONSES_MAX, Wire, too_many_interim_responses, unwanted_switch};

/// Silence after which a connection that has switched protocols is closed. TCP's own keepalive finds a peer that is gone
/// long before.
const SWITCHED_IDLE: Duration = Duration::from_secs(60 * 60);
/// How long an upstream is given to close its end of a switched connection once the client has closed the other one.
const CLOSING: Duration = Duration::from_secs(5);

/// The clocks of a request that is relayed, once it is connected.
#[derive(Debug, Clone, Copy)]
pub struct RelayClocks {
    /// Until the response's whole header, from the last byte of the request that the upstream took.
    pub beginning: Beginning,
    /// From one byte to the next, in either direction.
    pub idle: Duration,
}

/// What an upstream says to a request that is relayed.
pub enum RelayEvent {
    /// The header of an interim response (RFC 9110 §15.2): another one follows.
    Interim(Box<ResponseHeader>),
    /// The final header, or that of a switch of protocols.
    Header(Box<ResponseHeader>),
    Body(Bytes),
    /// The response is complete, or the upstream has closed a switched connection.
    End,
}

/// A request that is being relayed, and its response. One that is dropped closes its connection.
pub struct Relayed {
    wire: Wire,
    connections: Arc<Connections>,
    clocks: RelayClocks,
    /// The protocol that the client asks to switch to.
    upgrade: Option<HeaderValue>,
    interim_responses: usize,
    phase: Phase,
    /// When bytes came last that the client gets.
    heard_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Header,
    Body,
    /// Another protocol is spoken now.
    Switched,
    /// The client has closed its end of a switched connection.
    Closing {
        since: Instant,
    },
}

impl JudgingConnector {
    /// Begins to relay a request on `connection`. Its body, or what follows a switch of protocols, is to be fed in where
    /// this says.
    ///
    /// # Errors
    /// Where the header can't be sent.
    pub fn relay(
        &self,
        connection: Connection,
        header: Box<RequestHeader>,
        body: RelayedBody,
        clocks: RelayClocks,
    ) -> Result<(Relayed, Option<Feed>), Failure> {
        let asked = header.headers.get(UPGRADE).cloned();
        let (wire, feed) = connection
            .relay(header, body)
            .map_err(|error| Failure::Invalid(error.etype().as_str().to_owned()))?;
        let relayed = Relayed {
            wire,
            connections: Arc::clone(&self.connections),
            clocks,
            upgrade: asked.filter(|_| body == RelayedBody::Upgrade),
            interim_responses: 0,
            phase: Phase::Header,
            heard_at: Instant::now(),
        };
        Ok((relayed, feed))
    }
}

impl Relayed {
    /// What the upstream says next. The request is sent meanwhile. Cancel-safe.
    ///
    /// # Errors
    /// Where a clock runs out, the upstream breaks off, or what it says is no answer to this request.
    pub async fn next(&mut self) -> Result<RelayEvent, Failure> {
        let mut turns = Turns::default();
        loop {
            turns
                .next()
                .await
                .map_err(|turned| Failure::Invalid(turned.to_string()))?;
            // Whose turn it is may change while this waits, and with it the clock that holds.
            let look_again = Instant::now() + self.clocks.idle.min(self.clocks.beginning.header());
            let until = self.due().map_or(look_again, |(at, _)| at.min(look_again));
            if let Ok(heard) = before(until, self.read()).await {
                return heard;
            }
            match self.due() {
                Some((at, outcome)) if at <= Instant::now() => {
                    self.wire.fell_silent();
                    return outcome;
                }
                // Time has passed, if nothing else.
                _ => turns.moved_on(),
            }
        }
    }

    /// Until when the upstream must have done its part, and what it means if it has not. `None`: it is the client's turn.
    fn due(&self) -> Option<(Instant, Result<RelayEvent, Failure>)> {
        if let Phase::Closing { since } = self.phase {
            return Some((since + CLOSING, Ok(RelayEvent::End)));
        }
        let RelayClocks { beginning, idle } = self.clocks;
        match (self.wire.awaits(), self.phase) {
            (Awaits::Client, _) => None,
            (Awaits::Room { since }, Phase::Header) => Some((since + idle, Err(Failure::Stalled))),
            (Awaits::Room { since }, _) => Some((since + idle, Err(Failure::fell_silent("nothing was taken")))),
            (Awaits::Answer { since }, Phase::Header) => {
                Some((since + beginning.header(), Err(beginning.without_header())))
            }
            (Awaits::Answer { since }, Phase::Switched) => {
                Some((self.heard_at.max(since) + SWITCHED_IDLE, Ok(RelayEvent::End)))
            }
            (Awaits::Answer { since }, _) => Some((
                self.heard_at.max(since) + idle,
                Err(Failure::fell_silent("nothing came")),
            )),
        }
    }

    async fn read(&mut self) -> Result<RelayEvent, Failure> {
        match self.phase {
            Phase::Header => self.read_header().await,
            Phase::Body => match self.wire.read_body().await {
                Ok(Some(bytes)) => Ok(self.heard(bytes)),
                Ok(None) => Ok(RelayEvent::End),
                Err(error) => Err(Failure::broken_by(&error)),
            },
            // How a connection ends that speaks another protocol means nothing here: there is no framing that could be
            // left incomplete.
            Phase::Switched | Phase::Closing { .. } => match self.wire.read_body().await {
                Ok(Some(bytes)) => Ok(self.heard(bytes)),
                Ok(None) | Err(_) => Ok(RelayEvent::End),
            },
        }
    }

    fn heard(&mut self, bytes: Bytes) -> RelayEvent {
        self.heard_at = Instant::now();
        RelayEvent::Body(bytes)
    }

    async fn read_header(&mut self) -> Result<RelayEvent, Failure> {
        let status = self.wire.next_header().await?;
        let Some(header) = self.wire.header().cloned().map(Box::new) else {
            return Err(Failure::Reset { reused: false });
        };
        if status == StatusCode::SWITCHING_PROTOCOLS {
            if !self.is_wanted_switch(&header) {
                return Err(unwanted_switch());
            }
            self.phase = Phase::Switched;
        } else if status.is_informational() {
            self.interim_responses += 1;
            if self.interim_responses > INTERIM_RESPONSES_MAX {
                return Err(too_many_interim_responses());
            }
            return Ok(RelayEvent::Interim(header));
        } else {
            self.phase = Phase::Body;
        }
        self.heard_at = Instant::now();
        Ok(RelayEvent::Header(header))
    }

    /// Whether the upstream switches to the one protocol that it was asked for.
    fn is_wanted_switch(&self, header: &ResponseHeader) -> bool {
        let switched_to = header.headers.get(UPGRADE).map(HeaderValue::as_bytes);
        match (&self.upgrade, switched_to) {
            (Some(asked), Some(switched_to)) => asked.as_bytes().eq_ignore_ascii_case(switched_to),
            _ => false,
        }
    }

    /// The response is complete, and nothing more of it will be heard.
    pub fn is_ended(&mut self) -> bool {
        self.phase == Phase::Body && self.wire.is_ended()
    }

    /// The client has closed its end of a switched connection, and everything that it had sent was fed in.
    pub fn client_closed(&mut self) {
        self.phase = Phase::Closing { since: Instant::now() };
    }

    /// The response was read to its end: the connection goes to the pool if another request may follow there.
    pub fn release(self) {
        self.connections.release(self.wire);
    }
}
