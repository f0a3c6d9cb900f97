//! journald's own protocol: one datagram a record, so that every field can be searched for
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).

use std::fmt::Write;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use log::Record;

use super::escape::{self, Place};
use super::fields::journal_name;
use super::scalar::{Scalar, each_field};
use super::text;

const SYSTEM_SOCKET: &str = "/run/systemd/journal/socket";
/// A journald that hangs must not hold a request up for longer.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// A socket to write to journald with. It is addressed anew for each record, so that journald may be restarted.
#[derive(Debug)]
pub(super) struct Journal {
    /// `None` where not even a socket could be made.
    socket: Option<UnixDatagram>,
    path: PathBuf,
}

impl Journal {
    /// The machine's own journal.
    pub(super) fn system() -> Self {
        Self::at(PathBuf::from(SYSTEM_SOCKET))
    }

    fn at(path: PathBuf) -> Self {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(SEND_TIMEOUT))?;
            Ok(socket)
        });
        Self {
            socket: socket.ok(),
            path,
        }
    }

    /// Errors: nobody listens there, the record is larger than a datagram may be, or journald is stuck.
    pub(super) fn send(&self, record: &Record<'_>) -> io::Result<()> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        socket.send_to(&datagram(record), &self.path).map(|_| ())
    }
}

fn datagram(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut value = String::with_capacity(512);
    text::push_body(&mut value, record, Place::Sized);
    push(&mut out, |out| out.extend_from_slice(b"MESSAGE"), &value);
    push(
        &mut out,
        |out| out.extend_from_slice(b"PRIORITY"),
        &text::priority(record.level()).to_string(),
    );
    push(
        &mut out,
        |out| out.extend_from_slice(b"SYSLOG_IDENTIFIER"),
        "switchback",
    );
    push(&mut out, |out| journal_name(out, "module"), record.target());
    each_field(record.key_values(), &mut |key, scalar| {
        value.clear();
        match scalar {
            Scalar::Text(text) => escape::push(&mut value, text, Place::Sized, escape::VALUE_BYTES_MAX),
            bare => {
                // Writing to a string can't fail.
                let _ = write!(value, "{bare}");
            }
        }
        push(&mut out, |out| journal_name(out, key), &value);
    });
    out
}

/// `NAME=value`, or, where the value has line ends, the name, a line end, its length as 64 bits, the value.
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
        Journal::at(path).send(&record).unwrap();

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
        assert!(datagram(&record).starts_with(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n"));
    }

    #[test]
    fn an_absent_journald_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let record = Record::builder()
            .target("switchback")
            .level(Level::Info)
            .args(format_args!("lost"))
            .build();
        let error = Journal::at(directory.path().join("nobody")).send(&record).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
