//! The limit on open files, which sockets count for, and a reserve of it.
//!
//! A new descriptor gets the lowest number that is free. So its number tells, without counting, whether all below it are taken.
//! Sockets that would reach into the reserve are not opened or not kept; it is there for files that a reload reads, for the admin
//! listener and for the resolver.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The part of the limit that is kept back, and its bounds.
const RESERVE_SHARE: u64 = 8;
const RESERVE_MIN: u64 = 16;
const RESERVE_MAX: u64 = 128;
/// More connections than this cost more memory than a default should.
const CONNECTIONS_MAX: u64 = 32_768;
/// Idle connections to upstreams, over all of them.
const POOLED_CONNECTIONS_MAX: u64 = 1024;

/// Raises the limit as far as this user may. The usual limit is low for the sake of programs that use `select`.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::warn!(error = io::Error::from(error).to_string().as_str(); "the limit on open files can't be raised");
    }
}

/// How many descriptors sockets may have.
fn for_sockets() -> u64 {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    limit.saturating_sub((limit / RESERVE_SHARE).clamp(RESERVE_MIN, RESERVE_MAX))
}

/// The most client connections where the configuration does not say: each may need one to an upstream.
pub fn connections_by_default() -> usize {
    usize::try_from((for_sockets() / 2).min(CONNECTIONS_MAX)).unwrap_or(usize::MAX)
}

/// The most idle connections to upstreams. They are closed by age alone, and must leave room for those that are needed.
pub fn pooled_connections_max() -> usize {
    usize::try_from((for_sockets() / 4).min(POOLED_CONNECTIONS_MAX)).unwrap_or(usize::MAX)
}

/// Whether a descriptor that was just opened reaches into the reserve.
pub fn is_short(number: i32) -> bool {
    u64::try_from(number).is_ok_and(|number| number >= for_sockets())
}

/// Whether the next descriptor would reach into the reserve.
pub(super) fn are_short() -> bool {
    match rustix::io::fcntl_dupfd_cloexec(io::stderr(), 0) {
        Ok(next) => is_short(std::os::fd::AsRawFd::as_raw_fd(&next)),
        Err(error) => matches!(error, rustix::io::Errno::MFILE | rustix::io::Errno::NFILE),
    }
}
