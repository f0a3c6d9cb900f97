//! What a request asks for: settled at intake, and the same from then on.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use tokio::time::Instant;
use uuid::fmt::Hyphenated;

use super::browser::Cors;
use super::home::Home;
use super::snapshot::Snapshot;
use crate::notation::date;
use crate::protocol::request_header::HeaderFault;
use crate::protocol::{Protocol, StreamKind};
use crate::routing::{Route, Step};
use crate::telemetry::metrics::RouteMeter;
use crate::transport::Keepalive;

#[derive(Clone)]
pub struct Asked {
    /// The snapshot is held from intake to end: a reload never touches a running request.
    pub snapshot: Arc<Snapshot>,
    pub id: RequestId,
    pub received: Instant,
    /// When its body had been read; `received` where none was read.
    pub read_at: Instant,
    /// The protocol that the client speaks, in which it is also answered.
    pub protocol: Protocol,
    /// The kind of stream that the client expects, if it gets one.
    pub kind: StreamKind,
    pub model: Option<Arc<str>>,
    pub route: Option<Arc<Route>>,
    pub stream: bool,
    /// It asks to switch to another protocol, and its model says where.
    pub switches: bool,
    pub bytes_in: usize,
    pub header_fault: Option<HeaderFault>,
    /// What browsers are told about the answer; `None`: its listener has no `cors`.
    pub cors: Option<Cors>,
}

impl Asked {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Self {
        let now = Instant::now();
        Self {
            snapshot,
            id: RequestId::new(),
            received: now,
            read_at: now,
            protocol: Protocol::OpenAi,
            kind: StreamKind::Other,
            model: None,
            route: None,
            stream: false,
            switches: false,
            bytes_in: 0,
            header_fault: None,
            cors: None,
        }
    }

    pub(super) fn arrived(&mut self, arrival: &Arrival) {
        if let Some(began) = arrival.began {
            self.received = began;
            self.read_at = began;
        }
        self.header_fault = arrival.fault;
    }

    /// Returns `upstream/model`, or `upstream` where the request carries no model.
    pub(super) fn target_name(&self, step: &Step) -> Arc<str> {
        step.name(self.model.as_deref())
    }

    /// Returns how the client of a stream is kept while nothing comes for it.
    pub(super) fn keepalive(&self) -> Option<Keepalive> {
        let keepalive = self.route.as_ref()?.keepalive?;
        // Of other streams it is not known where something may be put.
        let is_known = self.stream && self.kind != StreamKind::Other;
        is_known.then_some(Keepalive {
            every: keepalive.every,
            before_first_token: keepalive.before_first_token,
        })
    }

    /// Returns the meter of the requested route.
    pub(super) fn route_meter(&self) -> &RouteMeter {
        let meters = &self.snapshot.meters;
        meters.of_route(self.route.as_deref(), self.model.is_some())
    }
}

/// What was seen of a request before Pingora read it.
pub struct Arrival {
    /// When its first byte arrived; `None`: its whole header did just now.
    pub began: Option<Instant>,
    /// Why its header is refused; Pingora has then read a stand-in for it.
    pub fault: Option<HeaderFault>,
    /// Where its connection goes after it has failed.
    pub home: Home,
}

/// A UUIDv7: sorts by time, also sent to the upstream and in every log line.
#[derive(Clone, Copy)]
pub struct RequestId([u8; Hyphenated::LENGTH]);

impl RequestId {
    fn new() -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        let millis = date::unix_ms(SystemTime::now());
        // A name, no secret: a fast generator does, and spares a system call.
        let random = fastrand::u128(..).to_le_bytes();
        let random = random.first_chunk().expect("16 bytes have 10");
        let id = uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid();
        id.hyphenated().encode_lower(&mut text);
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hyphenated hexadecimal is ASCII")
    }

    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).expect("hyphenated hexadecimal is a header value")
    }
}
