//! How a process gets from accepting connections to being in charge, and what follows from that.

use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::server::ExecutionPhase;
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::broadcast::Receiver;

use super::bound::Bound;
use super::launch::Predecessor;
use super::listeners::Listeners;
use super::notify;
use super::status_line::StatusLine;
use super::watchdog::{self, Probe};
use crate::proxy::Snapshot;

/// Everything that waits for the server to run.
pub(super) struct Readiness {
    pub listeners: Listeners,
    pub predecessor: Option<Arc<Predecessor>>,
    pub status: StatusLine,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub probes: Vec<Probe>,
}

impl Readiness {
    /// Announces that connections are accepted: one log line per listener, `READY=1`, and `on_ready`, which may take
    /// its time, because it has a thread of its own. A process that takes over waits until it is put in charge, and
    /// ends if it is not.
    pub(super) fn await_running(
        self,
        mut phases: Receiver<ExecutionPhase>,
        on_ready: impl FnOnce(&[Bound]) + Send + 'static,
    ) {
        std::thread::spawn(move || {
            while let Ok(phase) = phases.blocking_recv() {
                if matches!(phase, ExecutionPhase::Running) {
                    if !self.take_charge() {
                        return;
                    }
                    self.listeners.tell();
                    notify::ready(&self.status.line());
                    let bound = self.listeners.bound();
                    self.attend();
                    on_ready(&bound);
                    return;
                }
            }
        });
    }

    fn take_charge(&self) -> bool {
        let Some(predecessor) = &self.predecessor else {
            return true;
        };
        let Err(error) = predecessor.take_over() else {
            return true;
        };
        log::error!(error = error.to_string().as_str(); "this process is not needed");
        // It may have accepted connections: it ends like any other.
        if let Err(error) = kill_process(getpid(), Signal::TERM) {
            log::error!(error = error.to_string().as_str(); "this process can't end itself");
        }
        false
    }

    /// Keeps the service manager informed, on a thread of its own.
    fn attend(self) {
        if !notify::is_heard() {
            return;
        }
        let attend = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let watchdog = async {
                    if let Some(interval) = watchdog::wanted() {
                        watchdog::run(interval, self.probes).await;
                    }
                };
                tokio::join!(self.status.run(self.snapshot), watchdog)
            });
            std::io::Result::Ok(())
        };
        if let Err(error) = std::thread::Builder::new().name("notify".to_owned()).spawn(attend) {
            log::error!(error = error.to_string().as_str(); "the service manager can't be kept informed");
        }
    }
}
