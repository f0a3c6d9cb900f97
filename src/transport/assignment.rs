//! What one attempt is asked to do, and what it found.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use pingora::http::{RequestHeader, ResponseHeader};

use super::clocks::Clocks;
use super::connection::Connection;
use super::failure::Failure;
use super::timings::Timings;
use super::trailers::Screening;
use crate::body::Segments;
use crate::memory::Budget;
use crate::protocol::resume::Transcript;
use crate::protocol::whole_answer::AnswerFault;
use crate::protocol::{Protocol, StreamKind};

/// One attempt. In the extensions of the upstream request header as an `Arc`.
pub struct Assignment {
    /// Taken by the session that sends on it.
    pub connection: Mutex<Option<Connection>>,
    /// For what is held of its answer.
    pub memory: Budget,
    /// The most that is held of an answer that does not stream.
    pub max_held_bytes: usize,
    /// The whole request body.
    pub body: Segments,
    pub clocks: Clocks,
    pub heard: Heard,
    pub spoken: Spoken,
    pub keepalive: Option<Keepalive>,
    /// Where a stream that breaks off may be gone on with.
    pub resumable: Option<Resumable>,
    pub timings: Timings,
    /// It tells what may pass of the upstream's trailers.
    pub screening: Arc<dyn Screening>,
    /// The data of the event by which the upstream has reported an error in a stream that had begun, and that goes on to
    /// the client. Set before the client gets the event.
    pub reported: OnceLock<Bytes>,
}

/// What the upstream speaks.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// Which events of its stream are meaningful, and how it ends.
    pub kind: StreamKind,
}

/// What the client is spoken to in.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// The kind of stream, whose events have its shape.
    pub kind: StreamKind,
    /// For the error event of a stream that breaks off after commit.
    pub protocol: Protocol,
    /// The gateway's, which that event names.
    pub request_id: HeaderValue,
}

/// How a stream's client is kept while nothing comes for it.
#[derive(Debug, Clone, Copy)]
pub struct Keepalive {
    /// After so long a silence it is sent something that means nothing.
    pub every: Duration,
    /// It is answered after the first such silence, though no upstream has begun to answer.
    pub before_first_token: bool,
}

/// Who finds another attempt for a stream that was committed to the client.
pub struct Resumable {
    pub by: Arc<dyn Resume>,
    /// A stream that breaks off may be resumed.
    pub continues: bool,
    /// The most that is remembered of its text.
    pub max_held_bytes: usize,
}

/// What a failed answer is classified by: in the extensions of its header. A header without it has really begun.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The body as the upstream sent it, as far as it was read.
    pub held: Bytes,
    /// Whether `held` is the body to its end.
    pub whole: bool,
    /// The error itself, decoded: the body, or the payload of a stream's error event.
    pub payload: Bytes,
    /// What is wrong with a success.
    pub fault: Option<AnswerFault>,
}

/// Finds an upstream that goes on with a stream. The session that hands the stream out calls it, never two at once.
#[async_trait]
pub trait Resume: Send + Sync {
    /// Returns once the client has been answered.
    async fn committed(&self);

    /// The next attempt for a client that has been answered though no upstream has begun to, connected.
    ///
    /// # Errors
    /// Nobody is left; the gateway's account of what was tried.
    async fn next_attempt(&self) -> Result<(Box<RequestHeader>, Arc<Assignment>), String>;

    /// The running attempt has begun to answer such a client.
    fn began(&self, status: u16);

    /// The attempt that serves now has broken off.
    async fn broke_off(&self, failure: &Failure);

    /// The next attempt to go on after `transcript`, connected. `None`: nobody is left who could.
    async fn next(&self, transcript: &Transcript) -> Option<(Box<RequestHeader>, Arc<Assignment>)>;

    /// It goes on with the stream.
    fn resumed(&self, status: u16);

    /// It has failed.
    fn failed(&self, failure: &Failure);

    /// It has failed, and has told why; a refusal to go on with another's text is one of these.
    fn refused(&self, header: &ResponseHeader, evidence: &Evidence);
}
