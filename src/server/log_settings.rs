//! The logger's settings, from the configuration's `log`.

use crate::config::{self, LogFormat};
use crate::telemetry::{Format, LogSettings};

/// Returns what the logger needs to know of the configuration.
pub fn log_settings(log: &config::Log) -> LogSettings {
    let format = match log.format {
        LogFormat::Auto => Format::Auto,
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
        LogFormat::Journald => Format::Journald,
    };
    LogSettings {
        level: log.level,
        format,
    }
}
