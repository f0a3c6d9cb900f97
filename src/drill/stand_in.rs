//! One upstream's stand-in: its port, its faults, and what it does with each connection.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::answer::Answer;
use super::asked::{self, Asked, Endpoint};
use super::delivery::{Delivery, Outcome, deliver};
use super::fault::{Fault, FaultSpec};
use super::healthy;
use super::provider::{Identity, Stamp};
use super::refusal;
use super::wire::{Connection, Request, WireError, head};
use crate::notation::date;
use crate::protocol::Protocol;

/// Largest request body that a stand-in reads.
pub const BODY_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Most connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1024;
const BACKLOG: u32 = 1024;
/// Most models of one upstream that have a fault of their own.
const MODELS_MAX: usize = 64;

/// A stand-in's state, shared by its connections and the control address.
pub(crate) struct StandIn {
    pub identity: Identity,
    pub address: SocketAddr,
    faults: Mutex<Faults>,
    door: mpsc::Sender<Call>,
    pub counts: Counts,
}

/// What a stand-in has seen.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub requests: AtomicU64,
    /// Requests that met a fault.
    pub faulted: AtomicU64,
    /// Requests whose client left before the answer was whole.
    pub abandoned: AtomicU64,
}

/// The fault for every model, and those for single ones.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    pub all: Fault,
    pub by_model: BTreeMap<String, Fault>,
}

/// Why a fault was not set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    #[error("{MODELS_MAX} models of this upstream have faults already; clear one first")]
    TooMany,
    #[error("the port can't be opened again: {0}")]
    Door(io::Error),
}

/// A stand-in's port, and the calls to look whether it should be open.
pub(crate) struct Door {
    port: Port,
    calls: mpsc::Receiver<Call>,
}

/// Answered once the port is in the requested state.
type Call = oneshot::Sender<io::Result<()>>;

/// While the stand-in refuses, a second socket, bound but not listening, keeps the port: nobody else gets it, and
/// whoever connects is refused.
struct Port {
    listener: Option<TcpListener>,
    spare: TcpSocket,
    address: SocketAddr,
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl StandIn {
    /// Binds a free port of the loopback address; [`StandIn::serve`] opens it.
    pub(crate) fn bind(identity: Identity, faults: Faults) -> io::Result<(Self, Door)> {
        let spare = bound(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = spare.local_addr()?;
        let (door, calls) = mpsc::channel(16);
        let stand_in = Self {
            identity,
            address,
            faults: Mutex::new(faults),
            door,
            counts: Counts::default(),
        };
        let mut port = Port {
            listener: None,
            spare,
            address,
        };
        port.conform(stand_in.refuses())?;
        Ok((stand_in, Door { port, calls }))
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> Faults {
        self.lock().clone()
    }

    fn refuses(&self) -> bool {
        self.lock().all == Fault::Refuse
    }

    /// Sets or clears (`ok`) a fault; returns when it is in effect. Clearing without a model clears those of models
    /// too.
    pub(crate) async fn set(&self, model: Option<String>, fault: Fault) -> Result<(), SetError> {
        self.lock().set(model, fault)?;
        let (done, outcome) = oneshot::channel();
        if self.door.send(done).await.is_err() {
            return Ok(());
        }
        outcome.await.unwrap_or(Ok(())).map_err(SetError::Door)
    }

    /// Accepts connections, until the runtime ends.
    pub(crate) async fn serve(self: Arc<Self>, door: Door) {
        let Door { mut port, mut calls } = door;
        let mut connections = JoinSet::new();
        loop {
            let full = connections.len() >= CONNECTIONS_MAX;
            tokio::select! {
                call = calls.recv() => {
                    let Some(done) = call else { return };
                    let refuses = self.refuses();
                    let outcome = port.conform(refuses);
                    if refuses {
                        connections.shutdown().await;
                    }
                    // Whoever asked may have left.
                    let _ = done.send(outcome);
                }
                accepted = port.accept(), if !full => {
                    if let Ok(stream) = accepted {
                        let stand_in = Arc::clone(&self);
                        connections.spawn(async move { stand_in.converse(stream).await });
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn converse(&self, stream: TcpStream) {
        let mut connection = Connection::new(stream, BODY_MAX_BYTES);
        loop {
            let request = match connection.request().await {
                Ok(request) => request,
                Err(WireError::Gone) => return,
                Err(WireError::Refused(status, text)) => return connection.refuse(status, text).await,
            };
            self.counts.requests.fetch_add(1, Ordering::Relaxed);
            match self.respond(&request, &mut connection).await {
                Outcome::Whole if !request.last => {}
                Outcome::Whole | Outcome::Broken => return,
                Outcome::Abandoned => {
                    self.counts.abandoned.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    async fn respond(&self, request: &Request, connection: &mut Connection) -> Outcome {
        let stamp = stamp();
        let ask = match self.ask(request, &stamp) {
            Ok(ask) => ask,
            Err(refusal) => return deliver(connection, &refusal, Delivery::Whole).await,
        };
        let fault = self.lock().of(&ask.model);
        if fault != Fault::Ok {
            self.counts.faulted.fetch_add(1, Ordering::Relaxed);
        }
        let identity = &self.identity;
        let (answer, delivery) = match fault {
            Fault::Hang => {
                connection.left().await;
                return Outcome::Abandoned;
            }
            Fault::Slow(wait) => {
                if connection.left_within(wait).await {
                    return Outcome::Abandoned;
                }
                (healthy::answer(identity, &ask, &stamp), Delivery::Whole)
            }
            Fault::Status { code, retry_after } => (
                refusal::with_status(identity, &ask, &stamp, code, retry_after),
                Delivery::Whole,
            ),
            Fault::Overloaded => (refusal::overloaded(identity, &ask, &stamp), Delivery::Whole),
            Fault::OutOfCredits => (refusal::out_of_credits(identity, &ask, &stamp), Delivery::Whole),
            Fault::ErrorIn200 => (
                healthy::with_error_inside(identity, &ask, &stamp, false),
                Delivery::Whole,
            ),
            Fault::ErrorInStream => (
                healthy::with_error_inside(identity, &ask, &stamp, true),
                Delivery::Whole,
            ),
            Fault::Cut => (healthy::answer(identity, &ask, &stamp), Delivery::Cut),
            Fault::Stall => (healthy::answer(identity, &ask, &stamp), Delivery::Stall),
            // `refuse` has closed the port; a request that was already in is served.
            Fault::Ok | Fault::Refuse => (healthy::answer(identity, &ask, &stamp), Delivery::Whole),
        };
        deliver(connection, &answer, delivery).await
    }

    fn ask(&self, request: &Request, stamp: &Stamp) -> Result<Asked, Answer> {
        let anthropic = request.header("anthropic-version").is_some();
        let protocol = asked::protocol(&request.path, &self.identity, anthropic);
        let own = self.identity.protocols.first().copied().unwrap_or(Protocol::OpenAi);
        let not_found = |protocol| {
            let message = format!("Invalid URL ({} {})", request.method, request.path);
            refusal::plain(&self.identity, protocol, stamp, 404, &message)
        };
        if !self.identity.protocols.contains(&protocol) {
            return Err(not_found(own));
        }
        let (endpoint, model) = asked::endpoint(&request.method, &request.path).ok_or_else(|| not_found(protocol))?;
        if endpoint == Endpoint::Models {
            let model = model.to_owned();
            return Ok(Asked {
                protocol,
                endpoint,
                model,
                stream: false,
                body: Value::Null,
                input_tokens: 0,
            });
        }
        Asked::read(endpoint, protocol, &request.body)
            .map_err(|message| refusal::plain(&self.identity, protocol, stamp, 400, message))
    }
}

impl Faults {
    pub(crate) fn none() -> Self {
        Self {
            all: Fault::Ok,
            by_model: BTreeMap::new(),
        }
    }

    /// The faults of `specs` that concern `upstream`; the last one for each model applies.
    pub(crate) fn at_start(upstream: &str, specs: &[FaultSpec]) -> Result<Self, SetError> {
        let mut faults = Self::none();
        for spec in specs.iter().filter(|spec| spec.upstream == upstream) {
            faults.set(spec.model.clone(), spec.fault)?;
        }
        Ok(faults)
    }

    fn set(&mut self, model: Option<String>, fault: Fault) -> Result<(), SetError> {
        match model {
            None => {
                self.all = fault;
                if fault == Fault::Ok {
                    self.by_model.clear();
                }
            }
            Some(model) if fault == Fault::Ok => {
                self.by_model.remove(&model);
            }
            Some(model) => {
                if self.by_model.len() >= MODELS_MAX && !self.by_model.contains_key(&model) {
                    return Err(SetError::TooMany);
                }
                self.by_model.insert(model, fault);
            }
        }
        Ok(())
    }

    fn of(&self, model: &str) -> Fault {
        self.by_model.get(model).copied().unwrap_or(self.all)
    }
}

impl Port {
    /// Opens or closes the port, as requested.
    fn conform(&mut self, refuses: bool) -> io::Result<()> {
        if refuses {
            self.listener = None;
        } else if self.listener.is_none() {
            // The new spare is bound first, so that the port is held at every moment.
            let next = bound(self.address)?;
            self.listener = Some(std::mem::replace(&mut self.spare, next).listen(BACKLOG)?);
        }
        Ok(())
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let Some(listener) = &self.listener else {
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                Ok(stream)
            }
            Err(error) => {
                // Out of file descriptors, perhaps: others must close first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(error)
            }
        }
    }
}

impl Connection {
    /// Answers a request that cannot be read, and keeps reading for a moment: closing at once would make the kernel
    /// reset the connection before the client has read the answer.
    pub(crate) async fn refuse(&mut self, status: u16, text: &str) {
        let body = serde_json::json!({ "error": { "message": text, "type": "invalid_request_error", "param": null,
            "code": null } })
        .to_string();
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("connection", "close".to_owned()),
        ];
        let mut response = head(status, &headers, Some(body.len()));
        response.extend_from_slice(body.as_bytes());
        if self.write(&response).await.is_ok() {
            self.drain(Duration::from_secs(2)).await;
        }
    }

    /// Waits, and returns whether the client left meanwhile.
    pub(crate) async fn left_within(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.left()).await.is_ok()
    }
}

fn stamp() -> Stamp {
    Stamp {
        id: format!("{:032x}", fastrand::u128(..)),
        now_s: date::unix_seconds(SystemTime::now()),
    }
}
