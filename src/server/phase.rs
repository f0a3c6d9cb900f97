//! The phase of the process between its start and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};

use crate::status;

const STARTING: u8 = 0;
const RUNNING: u8 = 1;
const DRAINING: u8 = 2;

/// The phase of the process. Clones share it. It only advances: a process that drains never runs again.
#[derive(Debug, Clone, Default)]
pub(super) struct Phase(Arc<AtomicU8>);

impl Phase {
    pub(super) fn now(&self) -> status::Phase {
        match self.0.load(Ordering::Acquire) {
            STARTING => status::Phase::Starting,
            RUNNING => status::Phase::Running,
            _ => status::Phase::Draining,
        }
    }

    pub(super) fn running(&self) {
        self.0.fetch_max(RUNNING, Ordering::AcqRel);
    }

    /// `signals`, after which the process drains.
    pub(super) fn until<S>(&self, signals: S) -> Until<S> {
        Until {
            signals,
            phase: self.clone(),
        }
    }
}

pub(super) struct Until<S> {
    signals: S,
    phase: Phase,
}

#[async_trait]
impl<S: ShutdownSignalWatch + Send + Sync> ShutdownSignalWatch for Until<S> {
    async fn recv(&self) -> ShutdownSignal {
        let signal = self.signals.recv().await;
        self.phase.0.fetch_max(DRAINING, Ordering::AcqRel);
        signal
    }
}
