//! How `switchback upgrade` learns of the outcome: it listens on an abstract unix socket named after the old process's
//! number, and that process writes one line there when it has tried. Nobody listens if the signal was sent by hand.

use std::io::{self, ErrorKind, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// The line's first word, where the new process is in charge. What follows is for people.
pub const DONE: &str = "done";
/// The line's first word, where the old process carries on.
pub const FAILED: &str = "failed";

/// Returns the socket on which the outcome of an upgrade of process `pid` is awaited.
///
/// # Errors
/// None in practice: the name is short.
pub fn address(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("switchback-upgrade-{pid}"))
}

/// Tells whoever waits for the outcome, and waits no longer than [`TOLD_WITHIN`] for it to be taken: anybody can bind
/// the socket's name and let it fill up.
pub(super) fn send(word: &str, text: &str) {
    let line = format!("{word} {text}\n");
    let (done, told) = sync_channel(1);
    let tell = move || {
        // Where nobody waits any more, there is nothing to tell.
        let _ = done.send(write(&line));
    };
    let outcome = match thread::Builder::new().name("report".to_owned()).spawn(tell) {
        Ok(_) => told
            .recv_timeout(TOLD_WITHIN)
            .unwrap_or(Err(ErrorKind::TimedOut.into())),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        Err(error) => {
            log::warn!(error = error.to_string().as_str(); "who asked for the upgrade could not be told of its outcome");
        }
    }
}

fn write(line: &str) -> io::Result<()> {
    let mut stream = UnixStream::connect_addr(&address(std::process::id())?)?;
    stream.set_write_timeout(Some(TOLD_WITHIN))?;
    stream.write_all(line.as_bytes())
}
