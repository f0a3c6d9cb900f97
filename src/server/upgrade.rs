//! SIGUSR2: starts the program's file, which may have been replaced, on the sockets of this process. Once the new
//! process accepts connections it is put in charge, and this one finishes its requests. If it does not get there,
//! nothing has changed.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::sync::oneshot;

use super::handover::{CANCEL, CONFIRM, CONFIRMS, Channel, KNOWN, SERVE, SERVING};
use super::launch::{Program, TAKEOVER};
use super::listeners::OpenSockets;

/// How long the new process may take to accept connections.
pub const READY_WITHIN: Duration = Duration::from_secs(30);
const END_WITHIN: Duration = Duration::from_secs(2);
/// A process that has reported ready answers at once, unless it is gone or starved.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);

/// Why the old process carries on.
#[derive(Debug, Error)]
pub enum UpgradeError {
    #[error("{} can't be started: {reason}", path.display())]
    Start { path: PathBuf, reason: io::Error },
    #[error("the listening sockets can't be handed over: {0}")]
    Sockets(io::Error),
    #[error("the new process ended before it was ready{}; what it wrote says why", status_text(*.0))]
    Ended(Option<ExitStatus>),
    #[error("the new process was not ready within {} s and was stopped", READY_WITHIN.as_secs())]
    Late,
    #[error("the new process said something else than that it is ready: is it another program?")]
    Strange,
    #[error("the new process was ready, and did not answer within {} s when it was put in charge", CONFIRMED_WITHIN.as_secs())]
    Mute,
    #[error("the conversation with the new process failed: {0}")]
    Channel(io::Error),
}

fn status_text(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) if !status.success() => match (status.code(), status.signal()) {
            (Some(code), _) => format!(" (exit status {code})"),
            (None, Some(signal)) => format!(" (signal {signal})"),
            (None, None) => String::new(),
        },
        _ => String::new(),
    }
}

/// A new process that accepts connections, and waits to be put in charge.
#[derive(Debug)]
pub(super) struct Successor {
    channel: Channel,
    pub pid: u32,
    pub version: String,
    /// The new process confirms that it serves when it is asked to.
    confirms: bool,
}

impl Successor {
    /// Starts the new process and waits until it is ready: blocks for at most [`READY_WITHIN`].
    fn start(program: &Program, sockets: &OpenSockets) -> Result<Self, UpgradeError> {
        let (channel, far) = Channel::pair().map_err(UpgradeError::Channel)?;
        sockets.with(|sockets| {
            let sockets = sockets.iter().map(|open| (open.socket.as_fd(), &open.opener));
            channel.send_sockets(sockets).map_err(UpgradeError::Sockets)
        })?;
        let mut command = program.command();
        command.env(TAKEOVER, std::process::id().to_string());
        // A group of its own, so that all of it can be stopped.
        let started = command.stdin(far).process_group(0).spawn();
        // With it goes our copy of the far end.
        drop(command);
        let mut child = started.map_err(|reason| UpgradeError::Start {
            path: program.path.clone(),
            reason,
        })?;
        match channel.hear(READY_WITHIN) {
            Ok(Some(line)) => {
                let Some(ready) = Ready::parse(&line) else {
                    stop(&mut child);
                    return Err(UpgradeError::Strange);
                };
                // It started the one that is ready, and has ended long since.
                let _ = child.wait();
                Ok(Self {
                    channel,
                    pid: ready.pid,
                    version: ready.version,
                    confirms: ready.confirms,
                })
            }
            Ok(None) => Err(UpgradeError::Ended(end(child))),
            Err(error) => {
                stop(&mut child);
                Err(match error.kind() {
                    io::ErrorKind::TimedOut => UpgradeError::Late,
                    _ => UpgradeError::Channel(error),
                })
            }
        }
    }

    /// Returns when the new process serves: blocks for at most [`CONFIRMED_WITHIN`].
    ///
    /// # Errors
    /// The new process is gone or does not answer. Then it does not serve, and this process carries on.
    pub(super) fn put_in_charge(&self) -> Result<(), UpgradeError> {
        if !self.confirms {
            return self.channel.say(SERVE).map_err(UpgradeError::Channel);
        }
        self.channel.say(CONFIRM).map_err(UpgradeError::Channel)?;
        let refused = match self.channel.hear(CONFIRMED_WITHIN) {
            Ok(Some(line)) if line == SERVING => return Ok(()),
            Ok(Some(_)) => UpgradeError::Strange,
            Ok(None) => UpgradeError::Ended(None),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => UpgradeError::Mute,
            Err(error) => UpgradeError::Channel(error),
        };
        // One that is gone needs no telling.
        let _ = self.channel.say(CANCEL);
        Err(refused)
    }

    /// The service manager listens to it from now on.
    pub(super) fn tell_known(&self) {
        // It serves already; where it has ended since, the service manager sees that.
        let _ = self.channel.say(KNOWN);
    }

    /// Returns when the new process wants this one to wait for nothing but requests in flight, or is gone.
    pub(super) async fn in_a_hurry(&self) {
        // Where that can't be told, nobody is waited for.
        let _ = self.channel.silence().await;
    }
}

/// What a new process reports about itself.
struct Ready {
    pid: u32,
    version: String,
    confirms: bool,
}

impl Ready {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        if words.next()? != "ready" {
            return None;
        }
        Some(Self {
            pid: words.next()?.parse().ok()?,
            version: words.next()?.to_owned(),
            confirms: words.next() == Some(CONFIRMS),
        })
    }
}

/// Kills the new process and everything that it started.
fn stop(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // What is not there any more needs no killing.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

/// Returns how the new process ended: it has closed the channel, so it is about to end. It is killed if it lingers.
fn end(mut child: Child) -> Option<ExitStatus> {
    let (sender, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        let pid = child.id();
        scope.spawn(|| sender.send(child.wait()));
        let status = ended.recv_timeout(END_WITHIN);
        if status.is_err()
            && let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        status.ok()?.ok()
    })
}

/// The upgrade that is under way, if one is: at most one at a time, on a thread of its own.
#[derive(Debug, Default)]
pub(super) struct Upgrade {
    running: Option<oneshot::Receiver<Result<Successor, UpgradeError>>>,
}

impl Upgrade {
    /// Begins an upgrade. `false`: one is under way already.
    pub(super) fn begin(&mut self, program: &Program, sockets: &OpenSockets) -> bool {
        if self.running.is_some() {
            return false;
        }
        let (sender, receiver) = oneshot::channel();
        let (program, sockets) = (program.clone(), sockets.clone());
        let spawned = std::thread::Builder::new().name("upgrade".to_owned()).spawn(move || {
            // Where nobody waits any more this process is stopping, and the new one sees that.
            let _ = sender.send(Successor::start(&program, &sockets));
        });
        match spawned {
            Ok(_) => self.running = Some(receiver),
            Err(error) => {
                let (sender, receiver) = oneshot::channel();
                let _ = sender.send(Err(UpgradeError::Channel(error)));
                self.running = Some(receiver);
            }
        }
        true
    }

    /// Returns the outcome of the upgrade; never, if none is under way.
    pub(super) async fn outcome(&mut self) -> Result<Successor, UpgradeError> {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        let outcome = running.await;
        self.running = None;
        outcome.unwrap_or(Err(UpgradeError::Ended(None)))
    }
}
