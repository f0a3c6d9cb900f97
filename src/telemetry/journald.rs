//! journald's own protocol: one datagram per record, so that every field can be searched for
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use log::Record;
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketAddrUnix, sendto};

use super::escape::{self, Place};
use super::fields::journal_name;
use super::scalar::{Scalar, each_field};
use super::text;

const SYSTEM_SOCKET: &str = "/run/systemd/journal/socket";
/// How often a send that has to wait checks whether the log still goes to journald.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A record as journald takes it.
#[derive(Debug)]
pub(super) struct Datagram {
    bytes: Vec<u8>,
    /// The value of `MESSAGE` in it: the record's message and fields.
    message: Range<usize>,
}

impl Datagram {
    pub(super) fn of(record: &Record<'_>) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        let mut value = String::with_capacity(512);
        text::push_body(&mut value, record, Place::Sized);
        push(&mut bytes, |out| out.extend_from_slice(b"MESSAGE"), &value);
        // Its last byte is the line end behind the value.
        let end = bytes.len() - 1;
        let message = end - value.len()..end;
        push(
            &mut bytes,
            |out| out.extend_from_slice(b"PRIORITY"),
            &text::priority(record.level()).to_string(),
        );
        push(
            &mut bytes,
            |out| out.extend_from_slice(b"SYSLOG_IDENTIFIER"),
            "switchback",
        );
        push(&mut bytes, |out| journal_name(out, "module"), record.target());
        each_field(record.key_values(), &mut |key, scalar| {
            value.clear();
            match scalar {
                Scalar::Text(text) => escape::push(&mut value, text, Place::Sized, escape::VALUE_BYTES_MAX),
                bare => bare.push_to(&mut value),
            }
            push(&mut bytes, |out| journal_name(out, key), &value);
        });
        Self { bytes, message }
    }

    /// The record's message and fields as text.
    pub(super) fn message(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes[self.message.clone()])
    }

    /// Returns how many bytes it occupies in memory.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// A socket to write to journald with. It is addressed again for each record, so that journald may be restarted.
#[derive(Debug)]
pub(super) struct Journal {
    /// `None` if not even a socket could be made.
    socket: Option<UnixDatagram>,
    path: PathBuf,
}

/// The machine's own journal.
impl Default for Journal {
    fn default() -> Self {
        Self::at(PathBuf::from(SYSTEM_SOCKET))
    }
}

impl Journal {
    fn at(path: PathBuf) -> Self {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(LOOK_EVERY))?;
            Ok(socket)
        });
        Self {
            socket: socket.ok(),
            path,
        }
    }

    /// Sends a datagram. Waits for as long as journald stalls, unless `is_wanted` says that the log now goes elsewhere.
    ///
    /// # Errors
    /// Nobody listens there, the record is larger than a datagram may be, or it is not wanted any more.
    pub(super) fn send(&self, datagram: &Datagram, is_wanted: impl Fn() -> bool) -> io::Result<()> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let address = SocketAddrUnix::new(&self.path)?;
        loop {
            let (is_wanted, mut flags) = (is_wanted(), SendFlags::empty());
            flags.set(SendFlags::DONTWAIT, !is_wanted);
            match sendto(socket, &datagram.bytes, flags, &address) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if is_wanted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Writes `NAME=value`, or, if the value contains line ends, the name, a line end, its length as 64 bits, and the
/// value.
fn push(out: &mut Vec<u8>, name: impl FnOnce(&mut Vec<u8>), value: &str) {
    name(out);
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn a_record_arrives_with_its_fields() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let fields = [("id", "0192"), ("model", "a\nb\u{1b}")];
        let record = Record::builder()
            .target("switchback::access")
            .level(Level::Warn)
            .args(format_args!("access"))
            .key_values(&fields)
            .build();
        let datagram = Datagram::of(&record);
        assert_eq!(datagram.message(), "access id=0192 model=\"a\\nb\\u001b\"");
        Journal::at(path).send(&datagram, || true).unwrap();

        let mut received = [0; 4096];
        let length = journald.recv(&mut received).unwrap();
        let expected = [
            b"MESSAGE=access id=0192 model=\"a\\nb\\u001b\"\n".as_slice(),
            b"PRIORITY=4\n",
            b"SYSLOG_IDENTIFIER=switchback\n",
            b"SWITCHBACK_MODULE=switchback::access\n",
            b"SWITCHBACK_REQUEST_ID=0192\n",
            b"SWITCHBACK_MODEL\n\x09\0\0\0\0\0\0\0a\nb\\u001b\n",
        ]
        .concat();
        assert_eq!(
            String::from_utf8_lossy(&received[..length]),
            String::from_utf8_lossy(&expected)
        );
    }

    #[test]
    fn a_message_of_several_lines_keeps_them() {
        let record = Record::builder()
            .target("switchback")
            .level(Level::Error)
            .args(format_args!("a\nb"))
            .build();
        let datagram = Datagram::of(&record);
        assert!(
            datagram
                .bytes
                .starts_with(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n")
        );
        assert_eq!(datagram.message(), "a\nb");
    }

    #[test]
    fn an_absent_journald_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let record = Record::builder()
            .target("switchback")
            .level(Level::Info)
            .args(format_args!("lost"))
            .build();
        let journal = Journal::at(directory.path().join("nobody"));
        let error = journal.send(&Datagram::of(&record), || true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_journald_that_stands_still_holds_up_only_what_is_still_meant_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _never_reads = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(path);
        journal
            .socket
            .as_ref()
            .unwrap()
            .set_write_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let record = Record::builder().args(format_args!("still")).build();
        let datagram = Datagram::of(&record);
        // Until there is no room for one more.
        while journal.send(&datagram, || false).is_ok() {}
        let looks = std::cell::Cell::new(0);
        let is_wanted = || looks.replace(looks.get() + 1) < 3;
        let error = journal.send(&datagram, is_wanted).unwrap_err();
        assert_eq!((error.kind(), looks.get()), (io::ErrorKind::WouldBlock, 4));
    }
}
