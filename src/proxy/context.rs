//! One request's state, from intake to the access log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::fmt::Hyphenated;

use super::browser::Cors;
use super::chain::Chain;
use super::relay::Relay;
use super::resuming::Resuming;
use super::snapshot::Snapshot;
use crate::protocol::request_header::HeaderFault;
use crate::protocol::{Protocol, StreamKind};
use crate::routing::{Ledger, Route, Step};
use crate::telemetry::metrics::{RouteMeter, Served};
use crate::transport::{Assignment, Connection};
use crate::upstream::Admission;
use crate::upstream::registry::Slot;

pub struct RequestContext {
    /// Held from intake to end: a reload never touches a running request.
    pub snapshot: Arc<Snapshot>,
    pub id: RequestId,
    pub received: Instant,
    /// When its body was there; `received` where none was read.
    pub read_at: Instant,
    /// What it has waited since: for upstreams, and between attempts.
    pub waited: Duration,
    pub protocol: Protocol,
    pub kind: StreamKind,
    pub stage: Stage,
    pub header_fault: Option<HeaderFault>,
    /// What browsers are told about the answer; `None`: its listener has no `cors`.
    pub cors: Option<Cors>,
    /// Set at intake, for the log.
    pub asked: Asked,
    pub ledger: Ledger,
    /// When the first byte was committed to the client.
    pub committed: Option<Instant>,
    /// Whose answer the client gets.
    pub served_by: Option<Arc<str>>,
    /// Every target failed.
    pub exhausted: bool,
    /// Why the gateway itself refused it, by the code that the client was told.
    pub refused: Option<&'static str>,
    pub client_gone: bool,
    /// The answer broke off after it had begun, or reported an error, and nobody went on with it.
    pub is_broken: bool,
    /// The end of an upstream's answer was handed out.
    pub delivered: bool,
    /// The attempt whose answer the client gets, until that has ended.
    serving: Option<Serving>,
    /// Of a request that is relayed as it comes, until its answer has ended.
    pub relay_slot: Option<Slot>,
    /// Of an attempt whose stream others may go on with.
    pub resuming: Option<Arc<Resuming>>,
    /// How often another attempt went on with the stream.
    pub resumed: u32,
    _guard: InFlightGuard,
}

/// Where a request stands. Only a request that is still `Trying` has a chain, so nothing after commit can retry.
pub enum Stage {
    Intake,
    Trying(Box<Chain>),
    /// Relayed as it comes, to one upstream, without a second try.
    Relaying(Relay),
    /// An upstream's answer goes to the client.
    Committed,
    /// The gateway answered for itself.
    Answered,
}

impl Stage {
    pub(super) fn chain(&self) -> Option<&Chain> {
        match self {
            Self::Trying(chain) => Some(chain),
            _ => None,
        }
    }

    /// The connection that the running attempt has opened, and where it leads.
    pub(super) fn take_connection(&mut self) -> Option<(Step, Connection)> {
        let Self::Trying(chain) = self else { return None };
        let connection = chain.take_connection()?;
        Some((chain.running()?.step.clone(), connection))
    }
}

/// An attempt whose answer the client gets.
pub struct Serving {
    pub step: Step,
    pub began: Instant,
    pub admission: Admission,
    /// Tells of an error that the upstream reports in its stream.
    pub assignment: Option<Arc<Assignment>>,
    /// For the meters; `None` where its answer is a failure that is delivered, and counted already.
    pub served: Option<Served>,
}

impl Serving {
    /// What the upstream has said in an error that it has reported in its stream.
    pub fn reported(&self) -> Option<&Bytes> {
        self.assignment.as_ref()?.reported.get()
    }
}

/// What was seen of a request before Pingora read it.
pub struct Arrival {
    /// When its first byte came.
    pub began: Instant,
    /// Its header is refused, and what Pingora has read is not it.
    pub fault: Option<HeaderFault>,
}

/// What the client asked for.
#[derive(Default)]
pub struct Asked {
    pub model: Option<Arc<str>>,
    pub route: Option<Arc<Route>>,
    pub stream: bool,
    pub bytes_in: usize,
}

/// A UUIDv7: sorts by time, also sent to the upstream and in every log line.
#[derive(Clone, Copy)]
pub struct RequestId([u8; Hyphenated::LENGTH]);

impl RequestId {
    fn new() -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
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

impl Asked {
    /// `upstream/model`, or `upstream` where the request carries no model.
    pub fn target_name(&self, step: &Step) -> Arc<str> {
        step.name(self.model.as_deref())
    }
}

impl RequestContext {
    /// The answer of `serving` goes to the client.
    pub(super) fn serve(&mut self, serving: Serving, chain: &Chain) {
        match &self.resuming {
            Some(resuming) => chain.hand_over(resuming, serving),
            None => self.serving = Some(serving),
        }
    }

    /// The attempt whose answer the client gets, if that has neither ended nor broken off.
    pub(super) fn take_serving(&mut self) -> Option<Serving> {
        self.serving.take().or_else(|| self.resuming.as_ref()?.take_serving())
    }

    /// The same where the upstream has reported an error in its stream, and the error.
    pub(super) fn take_reported(&mut self) -> Option<(Serving, Bytes)> {
        let is_reported = |serving: &mut Serving| serving.reported().is_some();
        let serving = match &self.resuming {
            None => self.serving.take_if(is_reported)?,
            Some(resuming) => resuming.take_serving_if(is_reported)?,
        };
        let error = serving.reported().cloned()?;
        Some((serving, error))
    }

    pub(super) fn arrived(&mut self, arrival: &Arrival) {
        self.received = arrival.began;
        self.read_at = arrival.began;
        self.header_fault = arrival.fault;
    }

    pub fn new(snapshot: Arc<Snapshot>, guard: InFlightGuard) -> Self {
        let now = Instant::now();
        Self {
            snapshot,
            id: RequestId::new(),
            received: now,
            read_at: now,
            waited: Duration::ZERO,
            protocol: Protocol::OpenAi,
            kind: StreamKind::Other,
            stage: Stage::Intake,
            header_fault: None,
            cors: None,
            asked: Asked::default(),
            ledger: Ledger::default(),
            committed: None,
            served_by: None,
            exhausted: false,
            refused: None,
            client_gone: false,
            is_broken: false,
            delivered: false,
            serving: None,
            relay_slot: None,
            resuming: None,
            resumed: 0,
            _guard: guard,
        }
    }

    /// Of the route that was asked for.
    pub fn route_meter(&self) -> &RouteMeter {
        let asked = &self.asked;
        self.snapshot
            .meters
            .of_route(asked.route.as_deref(), asked.model.is_some())
    }
}

/// How many requests are running, and a way to wait until none is.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Count>);

#[derive(Default)]
struct Count {
    running: AtomicUsize,
    idle: Notify,
}

/// One running request.
pub struct InFlightGuard(Arc<Count>);

impl InFlight {
    pub fn enter(&self) -> InFlightGuard {
        self.0.running.fetch_add(1, Ordering::AcqRel);
        InFlightGuard(Arc::clone(&self.0))
    }

    pub fn running(&self) -> usize {
        self.0.running.load(Ordering::Acquire)
    }

    /// Returns as soon as no request is running.
    pub async fn idle(&self) {
        loop {
            let notified = self.0.idle.notified();
            if self.running() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
