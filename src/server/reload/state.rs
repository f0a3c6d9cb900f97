//! Which configuration runs, and what the last attempt to change it came to.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::config::{Config, Diagnostic, Severity};
use crate::notation::date::Timestamp;

/// How many faults of one attempt are kept.
const FAULTS_MAX: usize = 100;
/// The length of the status: systemd shows one line.
const STATUS_CHARS_MAX: usize = 300;

/// A handle on the [`State`]. Cheap to clone; clones see the same.
#[derive(Debug, Clone)]
pub struct Reloads(Arc<ArcSwap<State>>);

/// The state of reloading. It contains no secret: no value of the file, expanded or not.
#[derive(Debug, Clone)]
pub struct State {
    /// 1 is the configuration of the start; one more for each that was applied.
    pub generation: u64,
    pub file: PathBuf,
    /// The first 12 hex digits of the SHA-256 of the bytes of the file whose configuration runs.
    pub hash: Arc<str>,
    pub loaded_at: SystemTime,
    pub upstreams: usize,
    pub routes: usize,
    /// Settings of the file that take effect with the next start only: `listen`, `server.threads`.
    pub restart_needed: Vec<&'static str>,
    /// How many attempts were rejected since the start.
    pub rejected: u64,
    pub last: Attempt,
}

/// One attempt to load the file.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub at: SystemTime,
    pub trigger: Trigger,
    /// `None`: the file could not be read.
    pub hash: Option<Arc<str>>,
    /// Whether its configuration was applied.
    pub ok: bool,
    /// The faults in the order of the file. Where `ok`, these are warnings.
    pub faults: Vec<Fault>,
    /// Faults beyond those that are kept.
    pub more_faults: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Start,
    /// SIGHUP.
    Signal,
    /// The file, or one that it names, has changed.
    Change,
}

/// A fault of a configuration, as `switchback check` reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub severity: Severity,
    /// Stable, in kebab case: `unknown-key`.
    pub code: &'static str,
    pub message: String,
    /// The line, counted from 1; `None` where the file as a whole is meant.
    pub line: Option<u32>,
    pub column: Option<u32>,
    pub help: Option<String>,
}

impl Trigger {
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Signal => "signal",
            Self::Change => "change",
        }
    }
}

impl From<&Diagnostic> for Fault {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self {
            severity: diagnostic.severity,
            code: diagnostic.code,
            message: diagnostic.message.clone(),
            line: diagnostic.place.map(|place| place.line),
            column: diagnostic.place.map(|place| place.column),
            help: diagnostic.help.clone(),
        }
    }
}

impl Fault {
    /// An error that no reading of the file could show.
    pub(super) fn of_use(code: &'static str, message: String) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message,
            line: None,
            column: None,
            help: None,
        }
    }

    /// `FILE:LINE:COLUMN`, or `FILE`.
    pub fn at(&self, file: &Path) -> String {
        let mut at = file.display().to_string();
        for number in [self.line, self.column].into_iter().flatten() {
            // Writing to a string can't fail.
            let _ = write!(at, ":{number}");
        }
        at
    }
}

impl Attempt {
    pub(super) fn new(at: SystemTime, trigger: Trigger, hash: Option<Arc<str>>, mut faults: Vec<Fault>) -> Self {
        let ok = faults.iter().all(|fault| fault.severity == Severity::Warning);
        // What is cut off must not be the reason.
        if faults.len() > FAULTS_MAX {
            faults.sort_by_key(|fault| fault.severity);
        }
        let more_faults = faults.len().saturating_sub(FAULTS_MAX);
        faults.truncate(FAULTS_MAX);
        Self {
            at,
            trigger,
            hash,
            ok,
            faults,
            more_faults,
        }
    }
}

impl State {
    /// The state of a configuration which was just applied.
    pub(super) fn of(config: &Config, generation: u64, last: Attempt) -> Self {
        Self {
            generation,
            file: config.file.clone(),
            hash: Arc::clone(&config.hash),
            loaded_at: last.at,
            upstreams: config.upstreams.len(),
            routes: config.routes.len(),
            restart_needed: Vec::new(),
            rejected: 0,
            last,
        }
    }

    /// One line for `systemctl status`.
    pub fn status(&self) -> String {
        let routes = match self.routes {
            1 => "1 route".to_owned(),
            routes => format!("{routes} routes"),
        };
        let since = Timestamp(self.loaded_at);
        let reason = self.last.faults.iter().find(|fault| fault.severity == Severity::Error);
        let mut status = match reason {
            None => format!("{routes}; configuration {} of {since:.0}", self.hash),
            Some(fault) => format!(
                "reload failed: {} ({}); still running the configuration of {since:.0}",
                fault.message,
                fault.at(&self.file)
            ),
        };
        if !self.restart_needed.is_empty() {
            let _ = write!(status, "; restart to apply {}", self.restart_needed.join(", "));
        }
        let plain = status.chars().map(|char| if char.is_control() { ' ' } else { char });
        plain.take(STATUS_CHARS_MAX).collect()
    }
}

impl Reloads {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(state)))
    }

    pub fn state(&self) -> Arc<State> {
        self.0.load_full()
    }

    pub(super) fn set(&self, state: State) {
        self.0.store(Arc::new(state));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn fault(severity: Severity, message: &str) -> Fault {
        Fault {
            severity,
            code: "code",
            message: message.to_owned(),
            line: Some(3),
            column: Some(5),
            help: None,
        }
    }

    fn state(faults: Vec<Fault>) -> State {
        let at = UNIX_EPOCH + Duration::from_secs(1_795_309_323);
        State {
            generation: 1,
            file: "/c.yaml".into(),
            hash: "ba7816bf8f01".into(),
            loaded_at: at,
            upstreams: 1,
            routes: 2,
            restart_needed: Vec::new(),
            rejected: 0,
            last: Attempt::new(at, Trigger::Signal, None, faults),
        }
    }

    #[test]
    fn the_status_is_one_line() {
        let warned = state(vec![fault(Severity::Warning, "odd")]);
        assert_eq!(
            warned.status(),
            "2 routes; configuration ba7816bf8f01 of 2026-11-22T01:02:03Z"
        );
        let mut failed = state(vec![
            fault(Severity::Warning, "odd"),
            fault(Severity::Error, "a\nREADY=1"),
        ]);
        assert_eq!(
            failed.status(),
            "reload failed: a READY=1 (/c.yaml:3:5); still running the configuration of 2026-11-22T01:02:03Z"
        );
        failed.last.faults[1].message = "é".repeat(1000);
        assert_eq!(failed.status().chars().count(), STATUS_CHARS_MAX);
        let mut waits = state(Vec::new());
        waits.restart_needed = vec!["listen"];
        assert!(waits.status().ends_with("Z; restart to apply listen"));
    }

    #[test]
    fn of_too_many_faults_the_errors_are_kept() {
        let mut faults = vec![fault(Severity::Warning, "odd"); FAULTS_MAX];
        faults.push(fault(Severity::Error, "bad"));
        let attempt = state(faults).last;
        assert!(!attempt.ok);
        assert_eq!((attempt.faults.len(), attempt.more_faults), (FAULTS_MAX, 1));
        assert_eq!(attempt.faults[0].message, "bad");
    }
}
