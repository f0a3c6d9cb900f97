//! Where records go, and in what format; a reload may change both while the log is written.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use log::Record;

use super::journald::Datagram;
use super::queue::{Content, Entry};
use super::{json, text};

static SINK: LazyLock<ArcSwap<Sink>> = LazyLock::new(|| ArcSwap::from_pointee(Sink::Text));

/// The sink of records that come now.
pub(super) fn current() -> Sink {
    **SINK.load()
}

/// The format from now on; [`Format::Auto`] looks at standard error again.
pub(super) fn set(format: Format) {
    SINK.store(Arc::new(Sink::resolve(format, StandardError::of_this_process)));
}

/// Returns whether new records go to journald.
pub(super) fn is_journal() -> bool {
    current() == Sink::Journal
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// [`Format::Journald`] if standard error is journald's, [`Format::Text`] on a terminal, [`Format::Json`]
    /// otherwise.
    Auto,
    /// `2026-11-22T01:02:03.456Z INFO  message key=value …`
    Text,
    /// One object per line: `ts`, `level`, `module`, `msg`, and the record's fields, numbers as numbers.
    Json,
    /// journald's own protocol, so that `journalctl SWITCHBACK_REQUEST_ID=…` finds a request; records that journald
    /// rejects are written as text with a `<N>` priority instead.
    Journald,
}

/// Where records go, once [`Format::Auto`] is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sink {
    Text,
    Json,
    Journal,
}

impl Sink {
    fn resolve(format: Format, standard_error: impl FnOnce() -> StandardError) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
            Format::Journald => Self::Journal,
            Format::Auto => {
                let standard_error = standard_error();
                if standard_error.is_journal() {
                    Self::Journal
                } else if standard_error.terminal {
                    Self::Text
                } else {
                    Self::Json
                }
            }
        }
    }

    /// The record as it will be written.
    pub(super) fn entry(self, now: SystemTime, record: &Record<'_>) -> Entry {
        let content = match self {
            Self::Text => Content::Lines(text::line(now, record)),
            Self::Json => Content::Lines(json::line(now, record)),
            Self::Journal => Content::Datagram(Datagram::of(record)),
        };
        Entry {
            level: record.level(),
            content,
        }
    }
}

/// Where standard error leads, which decides what [`Format::Auto`] means.
struct StandardError {
    /// `$JOURNAL_STREAM`: `DEVICE:INODE` of the stream that systemd made (systemd.exec(5)).
    journal_stream: Option<String>,
    /// Device and inode of standard error.
    file: Option<(u64, u64)>,
    terminal: bool,
}

impl StandardError {
    fn of_this_process() -> Self {
        let stderr = io::stderr();
        let file = stderr.as_fd().try_clone_to_owned().map(std::fs::File::from);
        let metadata = file.and_then(|file| file.metadata());
        Self {
            journal_stream: std::env::var("JOURNAL_STREAM").ok(),
            file: metadata.ok().map(|metadata| (metadata.dev(), metadata.ino())),
            terminal: stderr.is_terminal(),
        }
    }

    /// Returns whether standard error is journald's. The variable alone proves nothing: it is inherited by children
    /// whose standard error goes elsewhere.
    fn is_journal(&self) -> bool {
        let stream = self.journal_stream.as_deref().and_then(|stream| stream.split_once(':'));
        let Some((Ok(device), Ok(inode))) = stream.map(|(device, inode)| (device.parse(), inode.parse())) else {
            return false;
        };
        self.file == Some((device, inode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(journal_stream: Option<&str>, file: Option<(u64, u64)>, terminal: bool) -> Sink {
        Sink::resolve(Format::Auto, || StandardError {
            journal_stream: journal_stream.map(str::to_owned),
            file,
            terminal,
        })
    }

    #[test]
    fn auto_takes_journald_only_where_standard_error_is_its_stream() {
        assert_eq!(auto(Some("9:123"), Some((9, 123)), false), Sink::Journal);
        assert_eq!(auto(Some("9:123"), Some((9, 124)), false), Sink::Json);
        assert_eq!(auto(Some("9:123"), None, true), Sink::Text);
        assert_eq!(auto(Some("nonsense"), Some((9, 123)), false), Sink::Json);
        assert_eq!(auto(None, Some((9, 123)), true), Sink::Text);
    }

    #[test]
    fn a_named_format_needs_no_look_around() {
        let never = || -> StandardError { panic!("looked around") };
        assert_eq!(Sink::resolve(Format::Text, never), Sink::Text);
        assert_eq!(Sink::resolve(Format::Json, never), Sink::Json);
        assert_eq!(Sink::resolve(Format::Journald, never), Sink::Journal);
    }
}
