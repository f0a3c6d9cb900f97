//! What two processes say to each other over a socket pair while one takes over from the other. Versions differ, so this
//! may grow, and stays as it is otherwise:
//!
//! 1. old → new: the listening sockets, with one line each (`listen`, or `manager NAME`);
//! 2. new → old: `ready PID VERSION confirms`, once it accepts connections;
//! 3. old → new: `confirm`, when it is about to leave;
//! 4. new → old: `serving`: from here on it serves whatever becomes of the old process;
//! 5. old → new: `known`, once the service manager knows the new process and listens to it, or `cancel`, where no answer came
//!    in time and the old process carries on;
//! 6. new → old: no more bytes (its end is shut), when what is left should end soon;
//! 7. old → new: the end, with the old process.
//!
//! A new process that does not say `confirms` is an older version: it is told `serve` in place of 3 to 5. An older version
//! that is replaced says `serve`, too.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use super::activation::Opener;

/// Follows the version in the new process's `ready`: it answers `confirm`.
pub(super) const CONFIRMS: &str = "confirms";
pub(super) const CONFIRM: &str = "confirm";
pub(super) const SERVING: &str = "serving";
pub(super) const KNOWN: &str = "known";
pub(super) const CANCEL: &str = "cancel";
/// The message for a process that does not know `confirm`.
pub(super) const SERVE: &str = "serve";

/// The kernel's own limit (`SCM_MAX_FD`).
const SOCKETS_MAX: usize = 253;
/// systemd's names have at most 255 bytes.
const LIST_BYTES_MAX: usize = SOCKETS_MAX * 272;
const LINE_BYTES_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Channel(UnixStream);

impl Channel {
    /// The near end, and the one for the other process.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (near, far) = UnixStream::pair()?;
        Ok((Self(near), far.into()))
    }

    pub(super) fn over(stream: OwnedFd) -> Self {
        Self(stream.into())
    }

    pub(super) fn send_sockets<'a>(
        &self,
        sockets: impl Iterator<Item = (BorrowedFd<'a>, &'a Opener)>,
    ) -> io::Result<()> {
        let (descriptors, openers): (Vec<_>, Vec<_>) = sockets.unzip();
        if descriptors.len() > SOCKETS_MAX {
            let text = format!("at most {SOCKETS_MAX} listeners can be handed over");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut list = String::new();
        for opener in openers {
            match opener {
                Opener::Listen => list.push_str("listen"),
                Opener::Manager(name) => {
                    list.push_str("manager ");
                    list.push_str(name);
                }
            }
            list.push('\n');
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        rights.push(SendAncillaryMessage::ScmRights(&descriptors));
        // One message: far below what the socket's buffer holds.
        let sent = sendmsg(
            &self.0,
            &[IoSlice::new(list.as_bytes())],
            &mut rights,
            SendFlags::NOSIGNAL,
        )?;
        match sent == list.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    pub(super) fn receive_sockets(&self) -> io::Result<Vec<(OwnedFd, Opener)>> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the list of sockets is malformed");
        let mut list = vec![0; LIST_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let read = recvmsg(
            &self.0,
            &mut [IoSliceMut::new(&mut list)],
            &mut rights,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let descriptors: Vec<OwnedFd> = rights
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        let list = std::str::from_utf8(&list[..read.bytes]).map_err(|_| malformed())?;
        let openers: Option<Vec<_>> = list
            .lines()
            .map(|line| match line.split_once(' ') {
                Some(("manager", name)) => Some(Opener::Manager(name.to_owned())),
                None if line == "listen" => Some(Opener::Listen),
                _ => None,
            })
            .collect();
        match openers {
            Some(openers) if openers.len() == descriptors.len() => Ok(descriptors.into_iter().zip(openers).collect()),
            _ => Err(malformed()),
        }
    }

    pub(super) fn say(&self, line: &str) -> io::Result<()> {
        (&self.0).write_all(format!("{line}\n").as_bytes())
    }

    /// Reads the other's next line; `None` if the other is gone.
    ///
    /// # Errors
    /// `TimedOut` if none arrives in time.
    pub(super) fn hear(&self, within: Duration) -> io::Result<Option<String>> {
        let begin = Instant::now();
        let mut line = Vec::new();
        while line.len() < LINE_BYTES_MAX {
            let left = within.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.0.set_read_timeout(Some(left))?;
            let mut byte = [0];
            match (&self.0).read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) if byte == *b"\n" => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
                Ok(_) => line.extend(byte),
                // SO_RCVTIMEO's own way to say that time is over; the loop looks.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"))
    }

    /// Closes this side of the channel. The other reads the end.
    pub(super) fn hang_up(&self) {
        // One that is gone needs no telling.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Returns when the other has closed its side, or is gone.
    pub(super) async fn silence(&self) -> io::Result<()> {
        let stream = self.0.try_clone()?;
        stream.set_nonblocking(true)?;
        let stream = tokio::net::UnixStream::from_std(stream)?;
        loop {
            stream.readable().await?;
            match stream.try_read(&mut [0; 64]) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Ok(()),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn sockets_arrive_with_what_is_known_of_them() {
        let (near, far) = Channel::pair().unwrap();
        let far = Channel::over(far);
        let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let openers = [
            Opener::Listen,
            Opener::Manager("http in".to_owned()),
            Opener::Manager(String::new()),
        ];
        near.send_sockets(sockets.iter().map(AsFd::as_fd).zip(&openers))
            .unwrap();
        let received = far.receive_sockets().unwrap();
        assert_eq!(received.len(), 3);
        for ((descriptor, opener), (socket, expected)) in received.into_iter().zip(sockets.iter().zip(&openers)) {
            assert_eq!(&opener, expected);
            let address = TcpListener::from(descriptor).local_addr().unwrap();
            assert_eq!(address, socket.local_addr().unwrap());
        }
    }

    #[test]
    fn lines_and_their_absence() {
        let (near, far) = Channel::pair().unwrap();
        let far = Channel::over(far);
        near.say("ready 1 2").unwrap();
        assert_eq!(far.hear(SOON).unwrap().as_deref(), Some("ready 1 2"));
        assert_eq!(
            far.hear(Duration::from_millis(1)).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        near.hang_up();
        assert_eq!(far.hear(SOON).unwrap(), None);
    }
}
