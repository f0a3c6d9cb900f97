//! How a configuration is loaded.

/// Where a configuration's values come from besides its file.
pub struct LoadOptions<'a> {
    /// The process environment, or a stand-in for it.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub keys: KeyPolicy,
}

/// Whether variables, key files, credentials and certificates must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPolicy {
    Required,
    /// Whatever is unset or unreadable becomes a placeholder (an upstream's key, a header, a URL's host), the default
    /// (a duration, a number) or none (a certificate): for the drill and `explain`, which need no keys.
    Optional,
}
