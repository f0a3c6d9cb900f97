//! Sockets that were listening before this process started: systemd's (socket activation), or those of the process that
//! this one takes over from. Each is used for the `listen` entry that names its address.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use listenfd::ListenFd;
use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;

use crate::config::ListenAddress;

/// A listening socket of the one or the other kind.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(match socket_domain(&descriptor)? {
            AddressFamily::UNIX => Self::Unix(descriptor.into()),
            _ => Self::Tcp(descriptor.into()),
        })
    }

    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    /// The socket's address as `listen` would name it.
    pub(super) fn address(&self) -> io::Result<ListenAddress> {
        Ok(match self {
            Self::Tcp(socket) => ListenAddress::Tcp(socket.local_addr()?.to_string()),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                ListenAddress::Unix(address.as_pathname().map_or_else(PathBuf::new, PathBuf::from))
            }
        })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        match socket {
            Socket::Tcp(socket) => socket.into(),
            Socket::Unix(socket) => socket.into(),
        }
    }
}

/// Which process opened a socket first. An upgrade passes it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opener {
    /// A process of this program, because `listen` named the address.
    Listen,
    /// systemd, which calls it by this name (`FileDescriptorName=`).
    Manager(String),
}

#[derive(Debug)]
pub(super) struct InheritedSocket {
    pub socket: Socket,
    pub opener: Opener,
    pub address: ListenAddress,
}

/// The sockets that no `listen` entry has taken yet.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<InheritedSocket>);

impl Inherited {
    /// Takes the sockets of `LISTEN_FDS` and `LISTEN_FDNAMES` (sd_listen_fds(3)). It must be called before there are
    /// threads: it removes the variables from the environment, so that no other process takes them for its own.
    ///
    /// # Errors
    /// A descriptor is not a stream socket.
    pub(super) fn from_manager() -> io::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut given = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..given.len() {
            let name = names
                .next()
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "unknown".to_owned());
            let socket = match given.take_tcp_listener(index) {
                Ok(Some(socket)) => Socket::Tcp(socket),
                _ => match given.take_unix_listener(index) {
                    Ok(Some(socket)) => Socket::Unix(socket),
                    Ok(None) => continue,
                    Err(_) => {
                        let text = format!("socket {index} ({name}) is not a stream socket (ListenStream=, Accept=no)");
                        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
                    }
                },
            };
            sockets.add(socket, Opener::Manager(name))?;
        }
        Ok(sockets)
    }

    /// Takes the sockets of the process that this one replaces.
    pub(super) fn from_predecessor(received: Vec<(OwnedFd, Opener)>) -> io::Result<Self> {
        let mut sockets = Self::default();
        for (descriptor, opener) in received {
            sockets.add(Socket::from_descriptor(descriptor)?, opener)?;
        }
        Ok(sockets)
    }

    fn add(&mut self, socket: Socket, opener: Opener) -> io::Result<()> {
        let address = socket.address()?;
        self.0.push(InheritedSocket {
            socket,
            opener,
            address,
        });
        Ok(())
    }

    /// Takes the socket for a `listen` entry: one with exactly that address, else a wildcard for a wildcard of that
    /// port (systemd's `ListenStream=8080` is `[::]:8080` and takes IPv4 too).
    pub(super) fn take(&mut self, entry: &ListenAddress) -> Option<InheritedSocket> {
        let found = [same, both_wildcards]
            .iter()
            .find_map(|fits| self.0.iter().position(|inherited| fits(&inherited.address, entry)))?;
        Some(self.0.remove(found))
    }

    /// Returns the sockets that systemd opened and no entry names; those that an earlier process opened for an entry
    /// that is gone are closed.
    pub(super) fn rest(self) -> impl Iterator<Item = InheritedSocket> {
        self.0
            .into_iter()
            .filter(|inherited| inherited.opener != Opener::Listen)
    }
}

fn resolved(address: &ListenAddress) -> Vec<SocketAddr> {
    match address {
        // Validation leaves addresses and `localhost`, so nobody asks the network.
        ListenAddress::Tcp(text) => text.to_socket_addrs().map_or_else(|_| Vec::new(), Iterator::collect),
        ListenAddress::Unix(_) => Vec::new(),
    }
}

fn same(inherited: &ListenAddress, entry: &ListenAddress) -> bool {
    inherited == entry
        || resolved(inherited)
            .iter()
            .any(|address| resolved(entry).contains(address))
}

fn both_wildcards(inherited: &ListenAddress, entry: &ListenAddress) -> bool {
    let wildcard = |address: &ListenAddress| {
        let found = resolved(address)
            .into_iter()
            .find(|address| address.ip().is_unspecified());
        found.map(|address| address.port())
    };
    wildcard(inherited).is_some_and(|port| wildcard(entry) == Some(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inherited(opener: &Opener) -> (Inherited, ListenAddress) {
        let mut inherited = Inherited::default();
        let socket = Socket::Tcp(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = socket.address().unwrap();
        inherited.add(socket, opener.clone()).unwrap();
        (inherited, address)
    }

    #[test]
    fn an_entry_takes_the_socket_of_its_address_once() {
        let (mut sockets, address) = inherited(&Opener::Listen);
        assert!(sockets.take(&ListenAddress::Tcp("127.0.0.1:1".to_owned())).is_none());
        assert!(sockets.take(&ListenAddress::Unix("/a".into())).is_none());
        let ListenAddress::Tcp(text) = &address else { panic!() };
        let by_name = ListenAddress::Tcp(text.replace("127.0.0.1", "localhost"));
        assert_eq!(sockets.take(&by_name).map(|taken| taken.address), Some(address.clone()));
        assert!(sockets.take(&address).is_none());
    }

    #[test]
    fn what_no_entry_names_is_served_if_systemd_opened_it() {
        let (sockets, _) = inherited(&Opener::Listen);
        assert_eq!(sockets.rest().count(), 0);
        let (sockets, _) = inherited(&Opener::Manager("http".to_owned()));
        assert_eq!(sockets.rest().count(), 1);
    }

    #[test]
    fn a_wildcard_stands_for_a_wildcard_and_for_nothing_narrower() {
        let tcp = |text: &str| ListenAddress::Tcp(text.to_owned());
        assert!(both_wildcards(&tcp("[::]:80"), &tcp("0.0.0.0:80")));
        assert!(!both_wildcards(&tcp("[::]:80"), &tcp("0.0.0.0:81")));
        assert!(!both_wildcards(&tcp("[::]:80"), &tcp("127.0.0.1:80")));
        assert!(!same(&tcp("[::]:80"), &tcp("127.0.0.1:80")));
    }
}
