//! How a listening service stops: it accepts no new connections, but still answers a request on an open one (and says
//! that the connection ends with it), until idle connections are closed.
//!
//! Pingora closes idle connections at once, which loses a request that is on its way. Waiting a little makes that rare,
//! and waiting for [`KEEP_ALIVE`] hardly likelier than on any other day, because an idle connection does not last much
//! longer anyway.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ListenFds, RuntimeOpts, ShutdownWatch};
use pingora::services::Service;
use tokio::sync::watch;

/// How long a process keeps answering on its open connections after an upgrade: clients have mostly closed idle ones by
/// then.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// Nothing new is accepted.
    AcceptingNoMore,
    /// Idle connections are not waited for any more.
    ClosingIdle,
}

/// Tells services when to stop, all at once.
#[derive(Debug, Clone)]
pub(super) struct ServiceStop(watch::Sender<Stage>);

impl ServiceStop {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Stage::Open))
    }

    pub(super) fn accept_no_more(&self) {
        self.advance(Stage::AcceptingNoMore);
    }

    pub(super) fn close_idle(&self) {
        self.advance(Stage::ClosingIdle);
    }

    /// Returns when idle connections are to close.
    pub(super) async fn idle_closing(&self) {
        self.reached(Stage::ClosingIdle).await;
    }

    fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|current| {
            let later = stage > *current;
            *current = stage.max(*current);
            later
        });
    }

    async fn reached(&self, stage: Stage) {
        // It can't be closed: this one is a sender.
        let _ = self.0.subscribe().wait_for(|current| *current >= stage).await;
    }
}

/// A service on our sockets instead of Pingora's, which stops when it is told to.
pub(super) struct OnBoundSockets<S> {
    service: S,
    sockets: ListenFds,
    stop: ServiceStop,
    companions: Vec<Companion>,
}

/// A task that runs along with a service, on its threads.
pub(super) type Companion = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl<S> OnBoundSockets<S> {
    pub(super) fn new(service: S, sockets: ListenFds, stop: ServiceStop, companions: Vec<Companion>) -> Self {
        Self {
            service,
            sockets,
            stop,
            companions,
        }
    }
}

#[async_trait]
impl<S: Service> Service for OnBoundSockets<S> {
    async fn start_service(&mut self, _fds: Option<ListenFds>, _shutdown: ShutdownWatch, listeners_per_fd: usize) {
        for companion in self.companions.drain(..) {
            tokio::spawn(companion);
        }
        let (shutdown, watched) = watch::channel(false);
        let sockets = Some(self.sockets.clone());
        let mut serving = self.service.start_service(sockets, watched, listeners_per_fd);
        tokio::select! {
            () = &mut serving => return,
            () = self.stop.reached(Stage::AcceptingNoMore) => {}
        }
        shutdown.send_replace(true);
        // The tasks that accept see that without us. What comes after them in `serving` closes idle connections, so it
        // is not driven until then.
        self.stop.reached(Stage::ClosingIdle).await;
        serving.await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }

    fn runtime_opts_override(&self, global: &RuntimeOpts) -> Option<RuntimeOpts> {
        self.service.runtime_opts_override(global)
    }
}
