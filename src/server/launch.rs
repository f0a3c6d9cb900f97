//! How this process was started: afresh, by systemd with sockets, or by an older process that it takes over from.
//!
//! An upgrade starts the program twice. The first process starts the second and ends, so that the second belongs to
//! init (under systemd: to systemd, which then notices when it ends), not to the process that it takes over from.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use super::activation::Inherited;
use super::cooldowns::Cooldowns;
use super::handover::{CANCEL, CONFIRM, CONFIRMS, Channel, SERVE, SERVING};

/// The variable with the `PID` of the process to take over from, followed by ` relayed` once the program was started
/// for the second time. Standard input is the channel to it.
pub(super) const TAKEOVER: &str = "SWITCHBACK_TAKEOVER";
const RELAYED: &str = " relayed";
/// The old process answers at once; it may be starved.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The service manager may stall, and the old process waits for it for a while. After this time it no longer matters
/// whether it knows this process.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);

/// Why a process cannot start.
#[derive(Debug, Error)]
pub enum LaunchError {
    #[error("the sockets that the service manager handed in can't be used: {0}")]
    Sockets(io::Error),
    #[error("taking over from the running process failed: {0}")]
    Takeover(io::Error),
    #[error("the process to take over from is gone")]
    Orphan,
}

/// What the process was started with.
#[derive(Debug, Default)]
pub struct Launch {
    pub(super) inherited: Inherited,
    pub(super) predecessor: Option<Predecessor>,
    /// The program that an upgrade starts, if there is one.
    pub(super) program: Option<Program>,
    pub(super) cooldowns: Cooldowns,
}

impl Launch {
    /// A launch without sockets from elsewhere and without upgrades.
    pub fn alone() -> Self {
        Self::default()
    }

    /// The same, where `cooldowns` will be the gateway's.
    pub fn with(self, cooldowns: Cooldowns) -> Self {
        Self { cooldowns, ..self }
    }

    /// Examines what the process was started with. It must be called before anything else: there must be no other
    /// threads, and the program's file must still be the one that runs. `None`: all is done, and the process must end.
    ///
    /// # Errors
    /// Sockets that were handed in cannot be used.
    pub fn of_this_process() -> Result<Option<Self>, LaunchError> {
        let program = Program::of_this_process().map_err(LaunchError::Takeover)?;
        let Ok(takeover) = env::var(TAKEOVER) else {
            return Ok(Some(Self {
                inherited: Inherited::from_manager().map_err(LaunchError::Sockets)?,
                predecessor: None,
                program: Some(program),
                cooldowns: Cooldowns::default(),
            }));
        };
        if !takeover.ends_with(RELAYED) {
            if takeover != parent_id().to_string() {
                return Err(LaunchError::Orphan);
            }
            let mut second = program.command();
            second.env(TAKEOVER, takeover + RELAYED);
            second.spawn().map_err(LaunchError::Takeover)?;
            return Ok(None);
        }
        let (predecessor, inherited) = Predecessor::on_stdin().map_err(LaunchError::Takeover)?;
        Ok(Some(Self {
            inherited,
            predecessor: Some(predecessor),
            program: Some(program),
            cooldowns: Cooldowns::default(),
        }))
    }
}

/// The command that started this process, to be run again when its file has been replaced.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    fn of_this_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        // The name it was called by leads to its successor, through a link too; one found in $PATH is resolved now.
        let called = arguments.next().map(PathBuf::from);
        let path = match called.filter(|called| called.components().count() > 1) {
            Some(path) => path,
            None => env::current_exe()?,
        };
        Ok(Self {
            path,
            arguments: arguments.collect(),
        })
    }

    /// The command that starts the program, without what systemd meant for this process alone.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        for name in ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        command
    }
}

/// The process that this one takes over from.
#[derive(Debug)]
pub(super) struct Predecessor(Channel);

impl Predecessor {
    fn on_stdin() -> io::Result<(Self, Inherited)> {
        let channel = Channel::over(io::stdin().as_fd().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        let inherited = Inherited::from_predecessor(channel.receive_sockets()?)?;
        Ok((Self(channel), inherited))
    }

    /// Reports that connections are accepted here, and waits to be put in charge.
    ///
    /// # Errors
    /// The old process has changed its mind, or is gone: then this one must not serve.
    pub(super) fn take_over(&self) -> Result<(), LaunchError> {
        let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION"));
        let ready = format!("ready {pid} {version} {CONFIRMS}");
        self.0.say(&ready).map_err(LaunchError::Takeover)?;
        match self.0.hear(ANSWER_WITHIN).map_err(LaunchError::Takeover)?.as_deref() {
            Some(SERVE) => Ok(()),
            Some(CONFIRM) => self.confirm(),
            _ => Err(LaunchError::Orphan),
        }
    }

    /// Tells the old process that this one serves from now on, unless the old one carries on after all. The service
    /// manager would ignore anything said to it before it knows this process.
    fn confirm(&self) -> Result<(), LaunchError> {
        self.0.say(SERVING).map_err(LaunchError::Takeover)?;
        match self.0.hear(KNOWN_WITHIN) {
            Ok(Some(line)) if line == CANCEL => Err(LaunchError::Orphan),
            // `known`; or the old process has ended or stands still, and nobody else serves.
            _ => Ok(()),
        }
    }

    /// Asks the old process to wait for nothing but requests in flight.
    pub(super) fn hurry(&self) {
        self.0.hang_up();
    }

    /// Returns when the old process has ended.
    pub(super) async fn ended(&self) {
        if let Err(error) = self.0.silence().await {
            log::warn!(error = error.to_string().as_str(); "the end of the process before this one can't be awaited");
        }
    }
}
