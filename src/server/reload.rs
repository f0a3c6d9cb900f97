//! A changed configuration replaces the running one, completely or not at all: on SIGHUP, and when its files change.
//!
//! All of it happens on one thread, so attempts never overlap. Running requests keep the snapshot that they began with.

mod changes;
mod report;
mod state;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::certificates::Certificates;
use super::notify;
use super::watch::Watch;
use crate::config::{self, Config, Content, Diagnostic, KeyPolicy, LoadOptions, Loaded, Read};
use crate::notation::date::unix_seconds;
use crate::notation::duration;
use crate::proxy::Snapshot;
use changes::AtStart;

pub use state::{Attempt, Fault, Reloads, State, Trigger};

/// The process environment, or a stand-in for it.
pub type Environment = fn(&str) -> Option<String>;

/// How the configuration was read, and how to read it again.
pub struct Reread {
    pub env: Environment,
    /// The warnings of the first reading.
    pub diagnostics: Vec<Diagnostic>,
    pub read: Read,
}

/// `server.drain`, as it is configured now.
#[derive(Debug, Clone)]
pub(super) struct Drain(Arc<AtomicU64>);

impl Drain {
    pub(super) fn of(config: &Config) -> Self {
        let drain = Self(Arc::default());
        drain.set(config);
        drain
    }

    fn set(&self, config: &Config) {
        let millis = duration::whole_ms(config.server.drain);
        self.0.store(millis, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// The parts of the running server that a new configuration changes.
pub(super) struct Live {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) certificates: Certificates,
    pub(super) drain: Drain,
}

pub(super) struct Reloader {
    live: Live,
    config: Config,
    at_start: AtStart,
    reloads: Reloads,
    env: Environment,
    watch: Watch,
    /// The files of the running configuration.
    files: BTreeSet<PathBuf>,
    /// What the files contained at the last attempt.
    content: Content,
}

/// Why the reloader wakes up.
enum Wake {
    Signal,
    Change,
    /// The server stops.
    End,
}

/// The state in which the server starts.
pub(super) fn first(config: &Config, loaded_at: SystemTime, reread: Option<&Reread>) -> Reloads {
    let warnings = reread.map(|reread| reread.diagnostics.as_slice()).unwrap_or_default();
    let faults = warnings.iter().map(Fault::from).collect();
    let attempt = Attempt::new(loaded_at, Trigger::Start, Some(Arc::clone(&config.hash)), faults);
    Reloads::new(State::of(config, 1, attempt))
}

impl Reloader {
    pub(super) fn new(live: Live, config: Config, reread: Reread, reloads: Reloads) -> Self {
        let Reread { env, read, .. } = reread;
        Self {
            live,
            at_start: AtStart::of(&config),
            config,
            reloads,
            env,
            watch: Watch::new(&read.files),
            files: read.files,
            content: read.content,
        }
    }

    /// Reloads whenever there is a reason to, on a thread of its own, until the sender of `signals` is dropped.
    pub(super) fn start(self, signals: Receiver<()>) {
        let thread = std::thread::Builder::new().name("reload".to_owned());
        if let Err(error) = thread.spawn(move || self.run(&signals)) {
            log::error!(error = error.to_string().as_str(); "no thread for reloads: restart to apply a change");
        }
    }

    fn run(mut self, signals: &Receiver<()>) {
        loop {
            match self.wait(signals) {
                Wake::Signal => self.attempt(Trigger::Signal),
                Wake::Change => self.attempt(Trigger::Change),
                Wake::End => return,
            }
        }
    }

    fn wait(&mut self, signals: &Receiver<()>) -> Wake {
        loop {
            if !self.config.server.watch {
                return signals.recv().map_or(Wake::End, |()| Wake::Signal);
            }
            match signals.recv_timeout(self.watch.pause()) {
                Ok(()) => return Wake::Signal,
                Err(RecvTimeoutError::Disconnected) => return Wake::End,
                Err(RecvTimeoutError::Timeout) if self.watch.look(Instant::now()) => return Wake::Change,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn attempt(&mut self, trigger: Trigger) {
        if trigger == Trigger::Signal {
            // systemd waits for an answer to its signal, whatever comes of it.
            notify::reloading();
        }
        self.watch.reading();
        let options = LoadOptions {
            env: &self.env,
            keys: KeyPolicy::Required,
        };
        let loaded = config::load(&self.config.file, &options);
        // Also those of the running configuration: a text that can't be parsed names none.
        self.watch.follow(loaded.read.files.union(&self.files));
        let unchanged = std::mem::replace(&mut self.content, loaded.read.content) == loaded.read.content;
        if unchanged && trigger == Trigger::Change {
            // Touched, or replaced by its equal.
            return;
        }
        if trigger == Trigger::Change {
            notify::reloading();
        }
        self.take(loaded, trigger);
        notify::reloaded(&self.reloads.state().status());
    }

    /// Applies what was loaded, or keeps what runs. The state is set before the log tells of it.
    fn take(&mut self, loaded: Loaded, trigger: Trigger) {
        let now = SystemTime::now();
        let mut faults: Vec<Fault> = loaded.diagnostics.iter().map(Fault::from).collect();
        let applied = loaded.config.and_then(|config| match self.apply(&config, now) {
            Ok(()) => Some(config),
            Err(errors) => {
                faults.extend(errors);
                None
            }
        });
        let attempt = Attempt::new(now, trigger, loaded.read.hash, faults);
        let before = self.reloads.state();
        let Some(config) = applied else {
            let state = State {
                rejected: before.rejected + 1,
                last: attempt,
                ..State::clone(&before)
            };
            self.reloads.set(state.clone());
            return report::rejected(&state);
        };
        self.files = loaded.read.files;
        self.watch.follow(self.files.iter());
        let state = State {
            restart_needed: self.at_start.differing(&config),
            rejected: before.rejected,
            ..State::of(&config, before.generation + 1, attempt)
        };
        self.reloads.set(state.clone());
        report::applied(&state, &self.at_start, &self.config, &config);
        self.config = config;
    }

    /// Applies a configuration.
    ///
    /// # Errors
    /// Faults that show only when certificates and keys are put to use. Then nothing has changed.
    fn apply(&self, config: &Config, now: SystemTime) -> Result<(), Vec<Fault>> {
        let renewal = self.live.certificates.renewal(&config.listen);
        let previous = self.live.snapshot.load();
        let snapshot = Snapshot::compile(config, unix_seconds(now), Some(&previous));
        match (renewal, snapshot) {
            (Ok(renewal), Ok(snapshot)) => {
                renewal.install();
                snapshot.look_up_ahead();
                snapshot.memory.set_bound(config.server.memory_bytes);
                self.live.snapshot.store(Arc::new(snapshot));
                self.live.drain.set(config);
                Ok(())
            }
            (renewal, snapshot) => {
                let listeners = renewal.err().unwrap_or_default();
                let errors = listeners.iter().map(ToString::to_string);
                let errors = errors.chain(snapshot.err().map(|error| error.to_string()));
                Err(errors.map(|message| Fault::of_use("bad-tls", message)).collect())
            }
        }
    }
}
