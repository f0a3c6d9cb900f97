//! Signals, and the end of the process.

use std::io;
use std::process::exit;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};

use super::notify;
use super::reload::Drain;
use crate::proxy::InFlight;

/// The last bytes of an answer may still be on their way when its request is done.
const LAST_BYTES: Duration = Duration::from_millis(100);
/// As a shell reports a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Ends the process: on SIGTERM as soon as nothing is in flight and at the latest after `drain`, on SIGINT at once.
///
/// Pingora asks for signals late and sleeps through its whole grace period, so a thread of our own does both.
pub(super) struct Shutdown {
    signals: Mutex<mpsc::Receiver<ShutdownSignal>>,
}

impl Shutdown {
    /// From its return on, signals are handled. `hangups` hears of each SIGHUP, until the end begins.
    ///
    /// # Errors
    /// Where signals can't be watched.
    pub(super) fn watch(in_flight: InFlight, drain: Drain, hangups: Option<SyncSender<()>>) -> io::Result<Self> {
        let (sender, signals) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let watched = runtime.block_on(async { Watched::new() })?;
        let watch = Watch {
            in_flight,
            drain,
            hangups,
            sender,
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(watch.run(watched)))?;
        Ok(Self {
            signals: Mutex::new(signals),
        })
    }
}

#[async_trait]
impl ShutdownSignalWatch for Shutdown {
    async fn recv(&self) -> ShutdownSignal {
        self.signals
            .lock()
            .await
            .recv()
            .await
            .unwrap_or(ShutdownSignal::FastShutdown)
    }
}

struct Watched {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Watched {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

struct Watch {
    in_flight: InFlight,
    drain: Drain,
    /// `None`: there is nothing to reload from.
    hangups: Option<SyncSender<()>>,
    sender: mpsc::Sender<ShutdownSignal>,
}

impl Watch {
    async fn run(mut self, mut signals: Watched) {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => return self.stop(ShutdownSignal::FastShutdown),
                _ = signals.hangup.recv() => self.reload(),
            }
        }
        // Whoever stops is not reloaded any more.
        self.hangups = None;
        log::info!(requests = self.in_flight.running(); "stopping: running requests are finished first");
        self.stop(ShutdownSignal::GracefulTerminate);
        tokio::select! {
            () = self.drained() => exit(0),
            // Someone who waits for the drain at a terminal may still press Ctrl-C.
            _ = signals.interrupt.recv() => {
                log::logger().flush();
                exit(INTERRUPTED)
            }
        }
    }

    fn reload(&self) {
        match &self.hangups {
            // One that waits to be heard stands for this one too.
            Some(hangups) => drop(hangups.try_send(())),
            None => log::warn!("SIGHUP changes nothing: this configuration is no file's that could be read again"),
        }
    }

    fn stop(&self, how: ShutdownSignal) {
        notify::stopping();
        // Pingora takes one, and that it has one already is as good.
        let _ = self.sender.try_send(how);
    }

    async fn drained(&self) {
        let idle = async {
            loop {
                self.in_flight.idle().await;
                sleep(LAST_BYTES).await;
                if self.in_flight.running() == 0 {
                    return;
                }
            }
        };
        match timeout(self.drain.get(), idle).await {
            Ok(()) => log::info!("stopped: nothing was in flight"),
            Err(_) => {
                let requests = self.in_flight.running();
                log::warn!(requests = requests; "stopped: the drain time is over, requests were cut");
            }
        }
        log::logger().flush();
    }
}
