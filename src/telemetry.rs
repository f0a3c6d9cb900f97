//! What the gateway reports about itself: the log, [`metrics`], and the [`history`] of each target.
//!
//! The log has one line per record on standard error, or one datagram to journald. Logging puts a formatted record into
//! a bounded [`queue`], from which one thread writes ([`writer`]): a reader that stalls costs records, never time. A
//! request leaves one line ([`access::Access`]) and one for each failed attempt ([`attempt::Attempt`]); the names of
//! their fields are in [`fields`]. Keys, prompts, completions and sets of headers are logged at no level.

use std::time::SystemTime;

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
pub mod metrics;
mod panics;
mod queue;
pub mod quotation;
pub mod reload;
mod scalar;
mod sink;
mod text;
mod writer;

use queue::{Content, Entry};
use writer::WRITER;

pub use panics::log_panics;
pub use queue::Dropped;
pub use sink::Format;

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    pub level: LevelFilter,
    pub format: Format,
}

/// Starts logging. A logger that the embedding program installed before stays in place; the level is set in any case.
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
    sink::set(format);
}

/// Queues `text`, whole lines, to be written to standard error after the records so far. Like a record, it is dropped
/// if there is no room, and delays nobody.
pub fn print(text: String) {
    WRITER.push(Entry {
        level: Level::Error,
        content: Content::Lines(text),
    });
}

/// Returns when everything that was logged or printed so far has been written, and after a second in any case.
pub fn flush() {
    WRITER.flush();
}

/// Queues what is logged until the guard is dropped or the log is flushed, so that no line comes between those of another output.
pub fn hold() -> Held {
    WRITER.hold();
    Held(())
}

/// Nothing is written to the log while it exists.
#[derive(Debug)]
pub struct Held(());

impl Drop for Held {
    fn drop(&mut self) {
        WRITER.release();
    }
}

/// The log's records that were dropped since the start of the process.
pub fn dropped_records() -> Dropped {
    WRITER.dropped()
}

static LOGGER: Logger = Logger;
struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        shown(metadata.target(), metadata.level(), log::max_level())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            WRITER.push(sink::current().entry(SystemTime::now(), record));
        }
    }

    fn flush(&self) {
        flush();
    }
}

/// Returns whether a record is logged: ours by the level that was set, those of libraries from `warn` up, and from
/// `info` up while debugging; never below, because Pingora prints whole headers at `debug` and whole bodies at `trace`.
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

/// Passes a record with typed fields to the installed logger.
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

#[cfg(test)]
mod tests {
    use super::*;

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
