//! The listening sockets. They are bound here, before Pingora starts, so that a failure is told plainly and readiness is
//! never claimed too early.

use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use async_trait::async_trait;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::server::{Fds, ListenFds, RuntimeOpts, ShutdownWatch};
use pingora_core::services::Service;
use pingora_core::services::listening::Service as ListeningService;
use rustls::server::ResolvesServerCert;

use super::certificates::Certificates;
use super::{Bound, ServeError};
use crate::config::{ListenAddress, Listener};

pub(super) struct Listeners {
    sockets: ListenFds,
    bound: Vec<Bound>,
}

impl Listeners {
    pub(super) fn bind(listeners: &[Listener]) -> Result<Self, ServeError> {
        let mut sockets = Fds::new();
        let mut bound = Vec::with_capacity(listeners.len());
        for listener in listeners {
            let name = String::from(&listener.address);
            let refuse = |reason| ServeError::Listen {
                address: name.clone(),
                reason,
            };
            let descriptor = match &listener.address {
                ListenAddress::Tcp(address) => {
                    let socket = TcpListener::bind(address).map_err(refuse)?;
                    socket.set_nonblocking(true).map_err(refuse)?;
                    let address = socket.local_addr().map_err(refuse)?;
                    bound.push(Bound::Tcp {
                        address,
                        tls: listener.tls.is_some(),
                    });
                    socket.into_raw_fd()
                }
                ListenAddress::Unix(path) => {
                    let socket = bind_unix(path).map_err(refuse)?;
                    bound.push(Bound::Unix(path.clone()));
                    socket.into_raw_fd()
                }
            };
            sockets.add(name, descriptor);
        }
        Ok(Self {
            sockets: Arc::new(sockets.into()),
            bound,
        })
    }

    pub(super) fn sockets(&self) -> ListenFds {
        Arc::clone(&self.sockets)
    }

    pub(super) fn into_bound(self) -> Vec<Bound> {
        self.bound
    }
}

/// A socket file that nobody listens on any more is taken over; anything else at that path is left alone.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Tells a service which of the sockets are its own.
pub(super) fn add<A>(service: &mut ListeningService<A>, listeners: &[&Listener], certificates: &Certificates) {
    for listener in listeners {
        let name = String::from(&listener.address);
        match (certificates.resolver(&name), &listener.address) {
            (Some(resolver), _) => service.add_tls_with_settings(&name, None, tls(resolver)),
            (None, ListenAddress::Tcp(_)) => service.add_tcp(&name),
            (None, ListenAddress::Unix(_)) => service.add_uds(&name, None),
        }
    }
}

fn tls(resolver: Arc<dyn ResolvesServerCert>) -> TlsSettings {
    // Where a resolver is set, the paths of files are not looked at.
    let mut settings = TlsSettings::intermediate("", "").expect("it keeps the paths and looks at nothing");
    settings.set_cert_resolver(resolver);
    settings.enable_h2();
    settings
}

/// A service that is given our sockets instead of Pingora's.
pub(super) struct OnBoundSockets<S> {
    service: S,
    sockets: ListenFds,
}

impl<S> OnBoundSockets<S> {
    pub(super) fn new(service: S, sockets: ListenFds) -> Self {
        Self { service, sockets }
    }
}

#[async_trait]
impl<S: Service> Service for OnBoundSockets<S> {
    async fn start_service(&mut self, _fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        self.service
            .start_service(Some(Arc::clone(&self.sockets)), shutdown, listeners_per_fd)
            .await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }

    fn runtime_opts_override(&self, global: &RuntimeOpts) -> Option<RuntimeOpts> {
        self.service.runtime_opts_override(global)
    }
}
