//! The listening sockets. They are bound here, before Pingora starts, so that a failure is reported plainly and
//! readiness is never claimed too early; sockets that were there before are used for the addresses that `listen` names.

use std::fs::{self, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pingora::listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora::server::{Fds, ListenFds};
use pingora::services::listening::Service as ListeningService;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, listen, socket_with};

use super::activation::{Inherited, InheritedSocket, Opener, Socket};
use super::bound::Bound;
use super::certificates::Certificates;
use super::clients::tls::TlsListeners;
use super::start_error::StartError;
use crate::config::{ListenAddress, Listener, OPEN_SOCKET_MODE};
use crate::transport::origin::keepalive;

/// The backlog until Pingora sets its own.
const BACKLOG: i32 = 4096;

/// Duplicates of the sockets that this process listens on, for the process that takes over. They are dropped when
/// connections are to be refused.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenSockets(Arc<Mutex<Vec<OpenSocket>>>);

#[derive(Debug)]
pub(super) struct OpenSocket {
    pub socket: OwnedFd,
    pub opener: Opener,
}

impl OpenSockets {
    pub(super) fn with<T>(&self, read: impl FnOnce(&[OpenSocket]) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn add(&self, open: OpenSocket) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(open);
    }
}

pub(super) struct Listeners {
    listeners: Vec<BoundListener>,
    sockets: ListenFds,
}

/// A `listen` entry, or a socket that takes the place of one.
pub(super) struct BoundListener {
    pub listener: Listener,
    /// The listener's name, as Pingora knows it.
    name: String,
    bound: Bound,
    opener: Opener,
    /// The socket was there before this process.
    inherited: bool,
}

struct Origin {
    socket: Socket,
    opener: Opener,
    inherited: bool,
}

impl Origin {
    fn of(inherited: InheritedSocket) -> Self {
        Self {
            socket: inherited.socket,
            opener: inherited.opener,
            inherited: true,
        }
    }
}

impl Listeners {
    /// Opens the sockets; each goes to Pingora, and to `open`. Sockets among `inherited` with these addresses are used.
    pub(super) fn bind(
        listeners: &[Listener],
        inherited: &mut Inherited,
        open: &OpenSockets,
    ) -> Result<Self, StartError> {
        let mut bound = Self {
            listeners: Vec::with_capacity(listeners.len()),
            sockets: Arc::new(Fds::new().into()),
        };
        for listener in listeners {
            let origin = match inherited.take(&listener.address) {
                Some(inherited) => Origin::of(inherited),
                None => Origin {
                    socket: bind(listener)?,
                    opener: Opener::Listen,
                    inherited: false,
                },
            };
            bound.add(listener.clone(), origin, open)?;
        }
        Ok(bound)
    }

    /// Also serves the sockets that systemd handed in and no entry names: somebody wrote them into a socket unit.
    pub(super) fn add_rest(&mut self, inherited: Inherited, open: &OpenSockets) -> Result<(), StartError> {
        for inherited in inherited.rest() {
            let listener = Listener::plain(inherited.address.clone());
            log::warn!(
                address = listener.address.to_string().as_str();
                "systemd hands in a socket that no `listen` names: it is served, without TLS"
            );
            self.add(listener, Origin::of(inherited), open)?;
        }
        Ok(())
    }

    fn add(&mut self, listener: Listener, origin: Origin, open: &OpenSockets) -> Result<(), StartError> {
        let address = listener.address.clone();
        let refuse = |reason| refused(&address, reason);
        let one = BoundListener::new(listener, &origin).map_err(refuse)?;
        let descriptor = OwnedFd::from(origin.socket);
        open.add(OpenSocket {
            socket: descriptor.try_clone().map_err(refuse)?,
            opener: origin.opener,
        });
        self.sockets.lock().add(one.name.clone(), descriptor.into_raw_fd());
        self.listeners.push(one);
        Ok(())
    }

    pub(super) fn sockets(&self) -> ListenFds {
        Arc::clone(&self.sockets)
    }

    /// Returns the TLS settings, if the listener uses TLS.
    pub(super) fn tls(&self, certificates: &Certificates) -> TlsListeners {
        let mut tls = TlsListeners::default();
        for one in &self.listeners {
            let resolver = certificates.resolver(&String::from(&one.listener.address));
            if let Some(resolver) = resolver {
                tls.add(one.bound.clone(), resolver);
            }
        }
        tls
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &BoundListener> {
        self.listeners.iter()
    }

    /// One log line each.
    pub(super) fn tell(&self) {
        for BoundListener {
            bound,
            opener,
            inherited,
            ..
        } in &self.listeners
        {
            let address = bound.to_string();
            match opener {
                Opener::Manager(name) => {
                    log::info!(address = address.as_str(), socket = name.as_str(); "listening on systemd's socket");
                }
                Opener::Listen if *inherited => {
                    log::info!(address = address.as_str(); "listening on the socket of the process before this one");
                }
                Opener::Listen => log::info!(address = address.as_str(); "listening"),
            }
        }
    }

    pub(super) fn bound(&self) -> Vec<Bound> {
        self.listeners.iter().map(|one| one.bound.clone()).collect()
    }
}

impl BoundListener {
    fn new(listener: Listener, origin: &Origin) -> io::Result<Self> {
        origin.socket.set_nonblocking()?;
        let (bound, name) = match &origin.socket {
            Socket::Tcp(socket) => {
                let bound = Bound::Tcp {
                    address: socket.local_addr()?,
                    tls: listener.tls.is_some(),
                };
                (bound, String::from(&listener.address))
            }
            Socket::Unix(_) => {
                let ListenAddress::Unix(path) = &listener.address else {
                    return Err(io::ErrorKind::InvalidInput.into());
                };
                // That of a process before this one may be of another mode; systemd's has that of its unit.
                if let (true, Opener::Listen, Some(mode)) = (origin.inherited, &origin.opener, listener.socket_mode) {
                    fs::set_permissions(path, Permissions::from_mode(mode))?;
                }
                (Bound::Unix(path.clone()), nameless_file()?)
            }
        };
        Ok(Self {
            name,
            bound,
            opener: origin.opener.clone(),
            inherited: origin.inherited,
            listener,
        })
    }

    /// The listener's name, as Pingora knows it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Hands this socket to a service.
    pub(super) fn add_to<A>(&self, service: &mut ListeningService<A>) {
        let endpoint = match &self.bound {
            Bound::Tcp { .. } => {
                let mut options = TcpSocketOptions::default();
                options.tcp_keepalive = Some(keepalive());
                ListenerConfig::tcp(&self.name).tcp_socket_options(options)
            }
            Bound::Unix(_) => ListenerConfig::uds(&self.name),
        };
        // What reads has buffers of its own; this one would be kept by every idle connection.
        service.add_listener(endpoint.l4_buffer(L4BufferSettings::default().read(0)));
    }
}

/// Names a file for Pingora to set a mode on when its service starts. For a unix socket that would be too late, since
/// we have set the mode before, and wrong for a socket that was there before. So it gets another file: in memory, kept
/// open for as long as the process runs.
fn nameless_file() -> io::Result<String> {
    let file = memfd_create("unix-listener", MemfdFlags::CLOEXEC)?;
    Ok(format!("/proc/self/fd/{}", std::fs::File::from(file).into_raw_fd()))
}

fn refused(address: &ListenAddress, reason: io::Error) -> StartError {
    StartError::Listen {
        address: String::from(address),
        reason,
    }
}

fn bind(listener: &Listener) -> Result<Socket, StartError> {
    match &listener.address {
        ListenAddress::Tcp(text) => TcpListener::bind(text).map(Socket::Tcp),
        ListenAddress::Unix(path) => {
            let mode = listener.socket_mode.unwrap_or(OPEN_SOCKET_MODE);
            bind_unix(path, mode).map(Socket::Unix)
        }
    }
    .map_err(|reason| refused(&listener.address, reason))
}

/// Binds a unix socket. A socket file that nobody listens on any more is replaced; anything else at that path is left
/// alone.
fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        fs::remove_file(path)?;
    }
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Until it listens nobody can connect, so it is never more open than it should be, whatever the umask.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}
