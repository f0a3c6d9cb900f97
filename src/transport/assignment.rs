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
    /// After so long a silence, a stream's client is sent something that keeps its connection alive.
    pub keepalive: Option<Duration>,
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

/// That a stream may be resumed.
pub struct Resumable {
    pub by: Arc<dyn Resume>,
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
