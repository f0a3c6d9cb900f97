//! An upstream's addresses, as peers to connect to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use pingora::upstreams::peer::HttpPeer;
use tokio::time::Instant;

use super::origin::{Origin, OriginError, Scheme};
use super::resolver::{Name, Resolver};

#[derive(Debug)]
pub struct Endpoint {
    host: Host,
    port: u16,
    scheme: Scheme,
    /// Those of the addresses that were known last.
    peers: ArcSwapOption<Peers>,
}

#[derive(Debug)]
enum Host {
    Address(Arc<[SocketAddr]>),
    Name(Arc<Name>),
}

/// The peers of one list of addresses.
#[derive(Debug)]
pub(super) struct Peers {
    addresses: Arc<[SocketAddr]>,
    peers: Vec<Arc<HttpPeer>>,
    /// The one that a connection was opened to last, which is tried first: a dead first address costs one request its
    /// delay, and not each.
    preferred: AtomicUsize,
}

impl Endpoint {
    /// # Errors
    /// Where a certificate or key is not one that TLS can use.
    pub fn new(origin: &Origin, resolver: &Arc<Resolver>) -> Result<Self, OriginError> {
        // By a proxy, it is the proxy that is connected to, and that resolves the upstream's name.
        let proxy = origin.proxy.as_ref().map(|proxy| (proxy.host.as_str(), proxy.port));
        let (name, port) = proxy.unwrap_or((&origin.host, origin.port));
        let host = match name.parse::<IpAddr>() {
            Ok(address) => Host::Address(Arc::from([SocketAddr::new(address, 0)])),
            Err(_) => Host::Name(resolver.name(name)),
        };
        Ok(Self {
            host,
            port,
            scheme: Scheme::of(origin)?,
            peers: ArcSwapOption::empty(),
        })
    }

    /// Looks its name up in the background, unless that was done a moment ago.
    pub fn look_up_ahead(&self) {
        if let Host::Name(name) = &self.host {
            name.look_up_if_due(Instant::now());
        }
    }

    /// The peers at the addresses that are known. Nothing is waited for.
    pub(super) fn known_peers(&self) -> Option<Arc<Peers>> {
        match &self.host {
            Host::Address(address) => Some(self.peers_at(Arc::clone(address))),
            Host::Name(name) => name.known().map(|addresses| self.peers_at(addresses)),
        }
    }

    /// The same, once the name is resolved.
    ///
    /// # Errors
    /// Why it does not resolve.
    pub(super) async fn peers(&self) -> Result<Arc<Peers>, String> {
        match &self.host {
            Host::Address(address) => Ok(self.peers_at(Arc::clone(address))),
            Host::Name(name) => match name.addresses().await {
                Ok(addresses) => Ok(self.peers_at(addresses)),
                Err(reason) => Err(reason.to_string()),
            },
        }
    }

    fn peers_at(&self, addresses: Arc<[SocketAddr]>) -> Arc<Peers> {
        let known = self.peers.load();
        if let Some(known) = known.as_ref().filter(|known| Arc::ptr_eq(&known.addresses, &addresses)) {
            return Arc::clone(known);
        }
        let at_port = addresses.iter().map(|&address| {
            let mut address = address;
            address.set_port(self.port);
            Arc::new(self.scheme.peer(address))
        });
        let peers = Arc::new(Peers {
            peers: at_port.collect(),
            addresses,
            preferred: AtomicUsize::new(0),
        });
        self.peers.store(Some(Arc::clone(&peers)));
        peers
    }
}

impl Peers {
    /// In the order in which to try them.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Arc<HttpPeer>> {
        let preferred = self.preferred.load(Ordering::Relaxed).min(self.peers.len());
        let (before, rest) = self.peers.split_at(preferred);
        let (first, after) = rest.split_at(rest.len().min(1));
        first.iter().chain(before).chain(after)
    }

    /// A connection to `peer` was opened.
    pub(super) fn prefer(&self, peer: &Arc<HttpPeer>) {
        if let Some(index) = self.peers.iter().position(|one| Arc::ptr_eq(one, peer)) {
            self.preferred.store(index, Ordering::Relaxed);
        }
    }
}
