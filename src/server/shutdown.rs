//! Signals, and the end of the process.

use std::io;
use std::process::exit;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};

use super::launch::{Predecessor, Program};
use super::listeners::OpenSockets;
use super::reload::Drain;
use super::service_stop::{KEEP_ALIVE, ServiceStop};
use super::status_line::StatusLine;
use super::upgrade::{Successor, Upgrade, UpgradeError};
use super::{notify, upgrade_outcome};
use crate::proxy::InFlight;

/// How long to wait at the end: the last bytes of an answer may still be on their way when its request is done, and a
/// client's first when it has just connected.
const LAST_BYTES: Duration = Duration::from_millis(100);
/// The exit status with which a shell reports a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Ends the process: on SIGTERM as soon as nothing is in flight and at the latest after `drain`, on SIGINT at once, and
/// after a successful SIGUSR2 when nothing is left that the new process could not do.
///
/// Pingora waits for signals late and sleeps through its whole grace period, so a thread of our own does both.
pub(super) struct Shutdown {
    signals: Mutex<mpsc::Receiver<ShutdownSignal>>,
}

/// What the end of the process involves.
pub(super) struct Ending {
    pub in_flight: InFlight,
    pub drain: Drain,
    /// Receives each SIGHUP until the end begins. `None`: there is nothing to reload from.
    pub hangups: Option<SyncSender<()>>,
    pub sockets: OpenSockets,
    /// Stops the services that clients use.
    pub gateway_stop: ServiceStop,
    /// Stops the admin listener, which serves while this process drains, and ends when another is in charge.
    pub admin_stop: ServiceStop,
    pub status: StatusLine,
    /// The program that SIGUSR2 starts.
    pub program: Option<Program>,
    /// The process before this one may still be finishing what it had: this one ends after it.
    pub predecessor: Option<Arc<Predecessor>>,
}

impl Shutdown {
    /// Handles signals from the moment it returns.
    ///
    /// # Errors
    /// Signals cannot be watched.
    pub(super) fn watch(ending: Ending) -> io::Result<Self> {
        let (sender, signals) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let watched = runtime.block_on(async { Watched::new() })?;
        let watch = Watch { ending, sender };
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
    upgrade: Signal,
}

impl Watched {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }
}

struct Watch {
    ending: Ending,
    sender: mpsc::Sender<ShutdownSignal>,
}

impl Watch {
    async fn run(mut self, mut signals: Watched) {
        let mut upgrade = Upgrade::default();
        let successor = loop {
            tokio::select! {
                _ = signals.terminate.recv() => break None,
                _ = signals.interrupt.recv() => return self.stop(ShutdownSignal::FastShutdown),
                _ = signals.hangup.recv() => self.reload(),
                _ = signals.upgrade.recv() => self.begin(&mut upgrade),
                outcome = upgrade.outcome() => {
                    if let Some(successor) = self.concluded(outcome) {
                        break Some(successor);
                    }
                }
            }
        };
        // Whoever stops is not reloaded any more.
        self.ending.hangups = None;
        let end = async {
            match &successor {
                None => self.terminate().await,
                Some(successor) => self.leave(successor).await,
            }
        };
        tokio::select! {
            () = end => exit(0),
            // Someone who waits for the drain at a terminal may still press Ctrl-C.
            _ = signals.interrupt.recv() => {
                say_the_rest();
                exit(INTERRUPTED)
            }
        }
    }

    fn reload(&self) {
        match &self.ending.hangups {
            // One that waits to be heard stands for this one too.
            Some(hangups) => drop(hangups.try_send(())),
            None => log::warn!("SIGHUP changes nothing: this configuration is no file's that could be read again"),
        }
    }

    fn begin(&self, upgrade: &mut Upgrade) {
        let Some(program) = &self.ending.program else {
            log::warn!("an upgrade is asked for, but this process was not started by `switchback run`");
            return;
        };
        if upgrade.begin(program, &self.ending.sockets) {
            log::info!(program = program.path.display().to_string().as_str(); "upgrading: the new process starts");
        } else {
            log::warn!("an upgrade is under way already");
        }
    }

    /// Puts the new process in charge, if the upgrade succeeded.
    fn concluded(&self, outcome: Result<Successor, UpgradeError>) -> Option<Successor> {
        let version = env!("CARGO_PKG_VERSION");
        let outcome = outcome.and_then(|successor| {
            successor.put_in_charge()?;
            // Not before it serves: the service manager stops all of us when the process that it follows ends.
            notify::hand_over(successor.pid);
            successor.tell_known();
            Ok(successor)
        });
        match outcome {
            Ok(successor) => {
                let Successor { pid, version: new, .. } = &successor;
                let requests = self.ending.in_flight.running();
                log::info!(
                    pid = pid, version = new.as_str(), requests = requests;
                    "upgraded: the new process serves, this one finishes its running requests"
                );
                let old = std::process::id();
                let text = format!(
                    "version {new} serves as process {pid}; process {old} ({version}) finishes {requests} running requests"
                );
                upgrade_outcome::send(upgrade_outcome::DONE, &text);
                Some(successor)
            }
            Err(error) => {
                let reason = error.to_string();
                log::error!(reason = reason.as_str(); "the upgrade failed: this process carries on");
                self.ending.status.set_upgrade(format!("upgrade failed: {reason}"));
                upgrade_outcome::send(
                    upgrade_outcome::FAILED,
                    &format!("{reason}. Version {version} carries on."),
                );
                None
            }
        }
    }

    async fn terminate(&self) {
        log::info!(requests = self.ending.in_flight.running(); "stopping: running requests are finished first");
        self.hurry_predecessor();
        self.stop(ShutdownSignal::GracefulTerminate);
        self.drained(async {
            sleep(LAST_BYTES).await;
            self.ending.gateway_stop.close_idle();
        })
        .await;
    }

    /// Ends after an upgrade. Clients may use their open connections until these would have been closed as idle.
    async fn leave(&self, successor: &Successor) {
        self.ending.admin_stop.accept_no_more();
        self.ending.admin_stop.close_idle();
        self.stop(ShutdownSignal::GracefulTerminate);
        self.drained(async {
            tokio::select! {
                () = sleep(KEEP_ALIVE) => {}
                () = successor.in_a_hurry() => {
                    self.hurry_predecessor();
                    sleep(LAST_BYTES).await;
                }
            }
            self.ending.gateway_stop.close_idle();
            // It may stand still; this process must not end before it knows who follows.
            notify::all_sent().await;
        })
        .await;
    }

    /// Asks the process before this one to hurry; it may have a predecessor itself, which it asks in turn.
    fn hurry_predecessor(&self) {
        if let Some(predecessor) = &self.ending.predecessor {
            predecessor.hurry();
        }
    }

    fn stop(&self, how: ShutdownSignal) {
        notify::stopping();
        self.ending.sockets.close();
        self.ending.gateway_stop.accept_no_more();
        // Pingora takes one, and that it has one already is as good.
        let _ = self.sender.try_send(how);
    }

    /// Waits until `first` is done, nothing is in flight, and the process before this one has ended.
    async fn drained(&self, first: impl Future<Output = ()>) {
        let in_flight = &self.ending.in_flight;
        let idle = async {
            first.await;
            if let Some(predecessor) = &self.ending.predecessor {
                predecessor.ended().await;
            }
            loop {
                in_flight.idle().await;
                sleep(LAST_BYTES).await;
                if in_flight.running() == 0 {
                    return;
                }
            }
        };
        match timeout(self.ending.drain.get(), idle).await {
            Err(_) if in_flight.running() > 0 => {
                let requests = in_flight.running();
                log::warn!(requests = requests; "stopped: the drain time is over, requests were cut");
            }
            _ => log::info!("stopped: nothing was in flight"),
        }
        say_the_rest();
    }
}

/// Sends the remaining messages to the service manager and the log. Either may stall, so each has a limited time.
pub(super) fn say_the_rest() {
    notify::flush();
    log::logger().flush();
}
