//! The bounds of what the file counts, and the patterns of the names in it.

/// The greatest number of attempts, and of everything else that is counted.
pub const ATTEMPTS_MAX: u32 = 1_000;
pub(super) const CONNECTIONS_MAX: u32 = 1_000_000;
pub(super) const INFLIGHT_MAX: u32 = 1_000_000;
pub(super) const THREADS_MAX: u32 = 1_024;
pub(super) const WEIGHT_MAX: u32 = 1_000_000;

/// The characters of a header's name (RFC 9110 §5.6.2), as a regular expression.
pub(super) const HEADER_NAME_PATTERN: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";

/// An upstream's name, as a regular expression.
pub(super) const UPSTREAM_NAME_PATTERN: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";
