//! Stand-ins for upstreams, so that failover can be practised without keys or network.
//!
//! Each upstream gets a port of its own on the loopback address. Its stand-in speaks its protocol, puts the provider's
//! headers on every answer, and can be broken in the ways in which real providers break: see [`Fault`]. The control
//! address sets and clears faults while everything runs.

mod answer;
mod asked;
mod chat;
mod control;
mod delivery;
mod embeddings;
mod fault;
mod healed;
mod healthy;
mod messages;
mod models;
mod provider;
mod refusal;
mod responses;
mod stand_in;
mod tool_call;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use fault::{FAULTS, Fault, FaultError, FaultSpec, MODEL_MAX_BYTES, WAIT_MAX};
pub use healed::Healed;
pub use stand_in::BODY_MAX_BYTES;

use crate::notation::nearest::nearest;
use crate::protocol::Protocol;
use provider::Identity;
use stand_in::{Door, Faults, StandIn};

/// An upstream to make a stand-in for.
#[derive(Debug, Clone)]
pub struct StandInSpec {
    pub name: String,
    /// Other protocols' paths get a 404.
    pub protocols: Vec<Protocol>,
    /// Whose errors and headers it has (`openai`, `anthropic`, `openrouter`, `deepseek`); others look like OpenAI.
    pub provider: Option<String>,
}

/// Running stand-ins; dropping them closes every port.
pub struct StandIns {
    addresses: Vec<(String, SocketAddr)>,
    control: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    healed: Arc<OnceLock<Healed>>,
}

impl StandIns {
    /// Starts a stand-in for each upstream, on a thread of its own, with these faults from the first request on.
    ///
    /// # Errors
    /// `InvalidInput` where a fault names an unknown upstream or there are too many; else what binding said.
    pub fn start(upstreams: Vec<StandInSpec>, faults: &[FaultSpec]) -> io::Result<Self> {
        let names: Vec<&str> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        if let Some(stray) = faults.iter().find(|fault| !names.contains(&fault.upstream.as_str())) {
            let help = nearest(&stray.upstream, names.iter().copied());
            let help = help.map_or(String::new(), |near| format!("; did you mean {near}?"));
            let (name, names) = (&stray.upstream, names.join(", "));
            let text = format!("fault {stray}: no upstream has the name {name}{help} (there are: {names})");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let faults = faults.to_vec();
        let (stop, stopped) = oneshot::channel();
        let (started, outcome) = std::sync::mpsc::channel();
        let healed = Arc::new(OnceLock::new());
        let when_healed = Arc::clone(&healed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("drill".to_owned()).spawn(move || {
            runtime.block_on(async {
                let running = open(upstreams, &faults, when_healed).await;
                if started.send(running).is_ok() {
                    // An error says that the owner was dropped without a word: the end as well.
                    let _ = stopped.await;
                }
            });
        })?;
        let (addresses, control) = outcome
            .recv()
            .map_err(|_| io::Error::other("the stand-ins' thread ended"))??;
        Ok(Self {
            addresses,
            control,
            stop: Some(stop),
            thread: Some(thread),
            healed,
        })
    }

    /// Returns where that upstream's stand-in listens, even while it refuses connections.
    pub fn address(&self, upstream: &str) -> Option<SocketAddr> {
        self.addresses
            .iter()
            .find(|(name, _)| name == upstream)
            .map(|(_, address)| *address)
    }

    /// Calls `healed` from now on whenever a fault is cleared; a second call changes nothing.
    pub fn when_healed(&self, healed: Healed) {
        let _ = self.healed.set(healed);
    }

    /// Returns the address at which faults are set: `POST /drill/UPSTREAM?fault=429`.
    pub fn control(&self) -> SocketAddr {
        self.control
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for StandIns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StandIns")
            .field("addresses", &self.addresses)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

type Addresses = (Vec<(String, SocketAddr)>, SocketAddr);

/// Binds every port, then serves in the background.
async fn open(
    upstreams: Vec<StandInSpec>,
    faults: &[FaultSpec],
    healed: Arc<OnceLock<Healed>>,
) -> io::Result<Addresses> {
    let control = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let control_address = control.local_addr()?;
    let opened: Vec<(Arc<StandIn>, Door)> = upstreams
        .into_iter()
        .map(|upstream| {
            let faults = Faults::at_start(&upstream.name, faults)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let StandInSpec {
                name,
                protocols,
                provider,
            } = upstream;
            let (stand_in, door) = StandIn::bind(
                Identity {
                    name,
                    protocols,
                    provider,
                },
                faults,
            )?;
            Ok((Arc::new(stand_in), door))
        })
        .collect::<io::Result<_>>()?;
    let stand_ins: Arc<[Arc<StandIn>]> = opened.iter().map(|(stand_in, _)| Arc::clone(stand_in)).collect();
    let addresses = stand_ins
        .iter()
        .map(|it| (it.identity.name.clone(), it.address))
        .collect();
    for (stand_in, door) in opened {
        tokio::spawn(stand_in.serve(door));
    }
    tokio::spawn(control::serve(control, stand_ins, healed));
    Ok((addresses, control_address))
}
