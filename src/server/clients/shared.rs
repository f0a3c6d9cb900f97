//! What all client connections share.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use arc_swap::ArcSwap;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::sync::watch;

use super::registry::Registry;
use crate::proxy::{Gateway, Snapshot};
use crate::transport::JudgingConnector;

pub(super) type Proxy = Arc<HttpProxy<Gateway, JudgingConnector>>;

/// What all client connections share.
pub(in crate::server) struct Clients {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) registry: Arc<Registry>,
    /// Signals that the service shuts down, to connections that must close while it continues.
    pub(super) closing: ShutdownWatch,
    /// How often the workers are still to give up what they had freed when the last connection closed.
    pub(super) tidyings: AtomicU32,
}

impl Clients {
    pub(in crate::server) fn new(snapshot: &Arc<ArcSwap<Snapshot>>) -> Self {
        let (_, closing) = watch::channel(true);
        Self {
            snapshot: Arc::clone(snapshot),
            registry: Arc::default(),
            closing,
            tidyings: AtomicU32::new(0),
        }
    }

    pub(in crate::server) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }
}
