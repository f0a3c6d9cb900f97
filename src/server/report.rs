//! How `switchback upgrade` hears of the outcome: it listens on an abstract unix socket that bears the old process's
//! number, and that process, when it has tried, writes one line there. Whoever sent the signal by hand does not listen.

use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

const WRITE_WITHIN: Duration = Duration::from_secs(1);

/// The line's first word, where the new process is in charge. What follows is for people.
pub const DONE: &str = "done";
/// The line's first word, where the old process carries on.
pub const FAILED: &str = "failed";

/// Where the outcome of an upgrade of process `pid` is awaited.
///
/// # Errors
/// None that can happen: the name is short.
pub fn address(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("switchback-upgrade-{pid}"))
}

/// Tells who waits for it, if anybody does.
pub(super) fn send(word: &str, text: &str) {
    let write = || {
        let mut stream = UnixStream::connect_addr(&address(std::process::id())?)?;
        stream.set_write_timeout(Some(WRITE_WITHIN))?;
        stream.write_all(format!("{word} {text}\n").as_bytes())
    };
    match write() {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) => {
            log::warn!(error = error.to_string().as_str(); "who asked for the upgrade could not be told of its outcome");
        }
    }
}
