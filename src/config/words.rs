//! The words that the file may hold in place of a value, and what each stands for.

use log::LevelFilter;

use super::{BalancePreset, Exhausted, HttpVersions, LogFormat};
use crate::classify::{Action, Class};
use crate::protocol::Protocol;

pub(super) const EXHAUSTED: [(&str, Exhausted); 2] = [("last", Exhausted::Last), ("first", Exhausted::First)];
pub(super) const BALANCE_PRESETS: [(&str, BalancePreset); 4] = [
    ("openrouter", BalancePreset::OpenRouter),
    ("deepseek", BalancePreset::DeepSeek),
    ("moonshot", BalancePreset::Moonshot),
    ("one-api", BalancePreset::OneApi),
];
pub(super) const LISTED: [(&str, ()); 1] = [("ask", ())];
pub(super) const HTTP_VERSIONS: [(&str, HttpVersions); 3] = [
    ("auto", HttpVersions::Auto),
    ("1", HttpVersions::Http1),
    ("2", HttpVersions::Http2),
];
pub(super) const LOG_LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];
pub(super) const LOG_FORMATS: [(&str, LogFormat); 4] = [
    ("auto", LogFormat::Auto),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
    ("journald", LogFormat::Journald),
];

pub(super) fn actions() -> Vec<&'static str> {
    of(&Action::NAMES)
}

/// The word for a number that Switchback determines itself.
pub(super) fn auto() -> Vec<&'static str> {
    vec!["auto"]
}

pub(super) fn balance_presets() -> Vec<&'static str> {
    of(&BALANCE_PRESETS)
}

pub(super) fn classes() -> Vec<&'static str> {
    Class::in_policy().map(Class::name).collect()
}

pub(super) fn exhausted() -> Vec<&'static str> {
    of(&EXHAUSTED)
}

pub(super) fn http_versions() -> Vec<&'static str> {
    of(&HTTP_VERSIONS)
}

/// The words with a meaning of their own in place of a key.
pub(super) fn keys() -> Vec<&'static str> {
    vec!["passthrough", "none"]
}

/// The words with a meaning of their own in place of a proxy's URL.
pub(super) fn proxies() -> Vec<&'static str> {
    vec!["none", "env"]
}

pub(super) fn listed() -> Vec<&'static str> {
    of(&LISTED)
}

pub(super) fn log_formats() -> Vec<&'static str> {
    of(&LOG_FORMATS)
}

pub(super) fn log_levels() -> Vec<&'static str> {
    of(&LOG_LEVELS)
}

pub(super) fn protocols() -> Vec<&'static str> {
    of(&Protocol::NAMES)
}

fn of<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|&(word, _)| word).collect()
}
