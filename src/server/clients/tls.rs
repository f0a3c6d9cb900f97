//! TLS on the connections of clients. Pingora would do it before anybody else sees a connection, and keep those over which HTTP/2
//! is spoken to itself; so its listeners are plain, and the address that a connection came to tells whether TLS is spoken there.

use std::sync::Arc;
use std::time::Duration;

use pingora::listeners::tls::{Acceptor, TlsSettings};
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream as Socket;
use rustls::server::ResolvesServerCert;
use tokio::time::timeout;

use crate::server::bound::Bound;

/// The addresses where TLS is spoken, and what is shown there.
#[derive(Default)]
pub(in crate::server) struct TlsListeners(Vec<(Bound, Acceptor)>);

impl TlsListeners {
    pub(in crate::server) fn add(&mut self, bound: Bound, certificates: Arc<dyn ResolvesServerCert>) {
        // Where a resolver is set, the paths of files are not looked at.
        let mut settings = TlsSettings::intermediate("", "").expect("it keeps the paths and looks at nothing");
        settings.set_cert_resolver(certificates);
        settings.enable_h2();
        self.0.push((bound, settings.build()));
    }

    /// Returns the acceptor for a connection. `None`: its listener does not use TLS.
    pub(super) fn of(&self, stream: &Stream) -> Option<&Acceptor> {
        if self.0.is_empty() {
            return None;
        }
        let socket = stream.get_socket_digest()?;
        let local = socket.local_addr()?;
        let here = self.0.iter().find(|(bound, _)| match (bound, local) {
            (Bound::Tcp { address, .. }, SocketAddr::Inet(local)) => {
                let is_address =
                    address.ip().is_unspecified() || address.ip().to_canonical() == local.ip().to_canonical();
                is_address && address.port() == local.port()
            }
            (Bound::Unix(path), SocketAddr::Unix(local)) => local.as_pathname() == Some(path),
            _ => false,
        });
        here.map(|(_, acceptor)| acceptor)
    }
}

/// Performs the handshake within `limit`. `None`: it failed. That is the client's affair, and anybody on the network
/// can make it fail, so it is logged at debug level only.
pub(super) async fn accept(acceptor: &Acceptor, stream: Stream, limit: Duration) -> Option<Stream> {
    let socket = stream.into_any().downcast::<Socket>().ok()?;
    let reason = match timeout(limit, acceptor.tls_handshake(*socket)).await {
        Ok(Ok(stream)) => return Some(Box::new(stream)),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("not done within {limit:?}"),
    };
    log::debug!(reason = reason.as_str(); "a TLS handshake with a client failed");
    None
}
