//! What the gateway tells of itself: the log, [`metrics`], and the [`history`] of each target.
//!
//! The log: one line a record on standard error, or one datagram to journald. What a request leaves behind is
//! [`access::Access`] (one line a request) and [`attempt::Attempt`] (one line a failed attempt); the names of
//! their fields are in [`fields`]. Never a key, a prompt, a completion or a set of headers, at any level.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use log::kv::Source;
use log::{Level, LevelFilter, Log, Metadata, Record};

pub mod access;
pub mod attempt;
pub mod balance;
pub mod cooldown;
mod escape;
pub mod fields;
pub mod history;
mod journald;
mod json;
mod lines;
pub mod metrics;
pub mod quotation;
pub mod reload;
mod scalar;
mod text;
pub mod timestamp;

use journald::Journal;
use lines::LINES;

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    pub level: LevelFilter,
    pub format: Format,
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// [`Format::Journald`] where standard error is journald's, [`Format::Text`] on a terminal, [`Format::Json`] else.
    Auto,
    /// `2026-11-22T01:02:03.456Z INFO  message key=value …`
    Text,
    /// One object a line: `ts`, `level`, `module`, `msg`, and the record's fields, numbers as numbers.
    Json,
    /// journald's own protocol, so that `journalctl SWITCHBACK_REQUEST_ID=…` finds a request; records that
    /// journald does not take are written as text with a `<N>` priority instead.
    Journald,
}

/// Starts logging. A logger that the embedding program installed before stays in place; the level is set all the same.
pub fn init(settings: LogSettings) {
    set_format(settings.format);
    set_level(settings.level);
    if log::set_logger(&LOGGER).is_err() {
        log::debug!("a logger was installed before; it stays");
    }
}

/// The level from now on.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// The format from now on; [`Format::Auto`] looks at standard error again.
pub fn set_format(format: Format) {
    SINK.store(Arc::new(Sink::resolve(format, Surroundings::of_this_process)));
}

static LOGGER: Logger = Logger;
static SINK: LazyLock<ArcSwap<Sink>> = LazyLock::new(|| ArcSwap::from_pointee(Sink::Text));

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        shown(metadata.target(), metadata.level(), log::max_level())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            SINK.load().write(record);
        }
    }

    fn flush(&self) {
        LINES.flush();
    }
}

/// Our own records by the level that was set. Those of the libraries from `warn` up, and `info` too while
/// debugging; never below, because Pingora prints whole headers at `debug` and whole bodies at `trace`.
fn shown(module: &str, level: Level, max: LevelFilter) -> bool {
    let ours = module
        .strip_prefix("switchback")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let bound = match max {
        _ if ours => max,
        LevelFilter::Debug | LevelFilter::Trace => LevelFilter::Info,
        _ => max.min(LevelFilter::Warn),
    };
    level <= bound
}

/// Hands a record with typed fields to whichever logger is installed.
fn emit(level: Level, module: &str, message: &str, fields: &dyn Source) {
    let metadata = Metadata::builder().level(level).target(module).build();
    let logger = log::logger();
    if level <= log::max_level() && logger.enabled(&metadata) {
        logger.log(
            &Record::builder()
                .metadata(metadata)
                .module_path(Some(module))
                .args(format_args!("{message}"))
                .key_values(&fields)
                .build(),
        );
    }
}

/// Where records go, once [`Format::Auto`] is settled.
#[derive(Debug)]
enum Sink {
    Text,
    Json,
    Journal(Journal),
}

impl Sink {
    fn resolve(format: Format, surroundings: impl FnOnce() -> Surroundings) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
            Format::Journald => Self::Journal(Journal::system()),
            Format::Auto => {
                let surroundings = surroundings();
                if surroundings.stderr_is_journal() {
                    Self::Journal(Journal::system())
                } else if surroundings.terminal {
                    Self::Text
                } else {
                    Self::Json
                }
            }
        }
    }

    fn write(&self, record: &Record<'_>) {
        match self {
            Self::Text => LINES.push(&text::line(SystemTime::now(), record)),
            Self::Json => LINES.push(&json::line(SystemTime::now(), record)),
            Self::Journal(journal) => {
                if journal.send(record).is_err() {
                    LINES.push(&text::line_with_priority(record));
                }
            }
        }
    }
}

/// What [`Format::Auto`] looks at.
struct Surroundings {
    /// `$JOURNAL_STREAM`: `DEVICE:INODE` of the stream that systemd made (systemd.exec(5)).
    journal_stream: Option<String>,
    /// Device and inode of standard error.
    stderr: Option<(u64, u64)>,
    terminal: bool,
}

impl Surroundings {
    fn of_this_process() -> Self {
        let stderr = io::stderr();
        let file = stderr.as_fd().try_clone_to_owned().map(std::fs::File::from);
        let metadata = file.and_then(|file| file.metadata());
        Self {
            journal_stream: std::env::var("JOURNAL_STREAM").ok(),
            stderr: metadata.ok().map(|metadata| (metadata.dev(), metadata.ino())),
            terminal: stderr.is_terminal(),
        }
    }

    /// The variable alone proves nothing: it is inherited by children whose standard error goes elsewhere.
    fn stderr_is_journal(&self) -> bool {
        let stream = self.journal_stream.as_deref().and_then(|stream| stream.split_once(':'));
        let Some((Ok(device), Ok(inode))) = stream.map(|(device, inode)| (device.parse(), inode.parse())) else {
            return false;
        };
        self.stderr == Some((device, inode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(journal_stream: Option<&str>, stderr: Option<(u64, u64)>, terminal: bool) -> Sink {
        Sink::resolve(Format::Auto, || Surroundings {
            journal_stream: journal_stream.map(str::to_owned),
            stderr,
            terminal,
        })
    }

    #[test]
    fn auto_takes_journald_only_where_standard_error_is_its_stream() {
        assert!(matches!(auto(Some("9:123"), Some((9, 123)), false), Sink::Journal(_)));
        assert!(matches!(auto(Some("9:123"), Some((9, 124)), false), Sink::Json));
        assert!(matches!(auto(Some("9:123"), None, true), Sink::Text));
        assert!(matches!(auto(Some("nonsense"), Some((9, 123)), false), Sink::Json));
        assert!(matches!(auto(None, Some((9, 123)), true), Sink::Text));
    }

    #[test]
    fn a_named_format_needs_no_look_around() {
        let never = || -> Surroundings { panic!("looked around") };
        assert!(matches!(Sink::resolve(Format::Text, never), Sink::Text));
        assert!(matches!(Sink::resolve(Format::Json, never), Sink::Json));
        assert!(matches!(Sink::resolve(Format::Journald, never), Sink::Journal(_)));
    }

    #[test]
    fn libraries_are_quiet_and_never_show_headers_or_bodies() {
        assert!(shown("switchback::access", Level::Info, LevelFilter::Info));
        assert!(shown("switchback", Level::Trace, LevelFilter::Trace));
        assert!(!shown("switchback::proxy", Level::Info, LevelFilter::Warn));
        assert!(!shown("switchbackish", Level::Info, LevelFilter::Info));
        assert!(shown("pingora_core::server", Level::Warn, LevelFilter::Info));
        assert!(!shown("pingora_core::server", Level::Info, LevelFilter::Info));
        assert!(!shown("pingora_core::server", Level::Warn, LevelFilter::Error));
        assert!(shown("pingora_core::server", Level::Info, LevelFilter::Debug));
        assert!(!shown("pingora_proxy::proxy_h1", Level::Debug, LevelFilter::Trace));
    }
}
