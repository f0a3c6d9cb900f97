//! An upstream's addresses, resolved when they are needed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::time::Instant;

use super::Failure;
use super::origin::{Origin, OriginError, Scheme};

/// `getaddrinfo` tells no lifetime; short enough to follow a provider that moves, long enough to spare the resolver.
const ADDRESSES_FRESH_FOR: Duration = Duration::from_secs(30);
/// Of one name: the first that connects is used.
const ADDRESSES_MAX: usize = 4;

#[derive(Debug)]
pub struct Endpoint {
    /// Name or IP address, and port.
    address: (String, u16),
    scheme: Scheme,
    resolved: ArcSwapOption<Resolved>,
}

#[derive(Debug)]
struct Resolved {
    peers: Vec<Arc<HttpPeer>>,
    /// `None`: an IP address, which never goes stale.
    at: Option<Instant>,
}

impl Endpoint {
    /// # Errors
    /// Where a certificate or key is not one that TLS can use.
    pub fn new(origin: &Origin) -> Result<Self, OriginError> {
        let address = (origin.host.clone(), origin.port);
        Ok(Self {
            address,
            scheme: Scheme::of(origin)?,
            resolved: ArcSwapOption::empty(),
        })
    }

    /// The peers to try in this order. An address list that can't be renewed is used on.
    pub async fn peers(&self) -> Result<Vec<Arc<HttpPeer>>, Failure> {
        let known = self.resolved.load_full();
        if let Some(known) = known
            .as_deref()
            .filter(|known| known.at.is_none_or(|at| at.elapsed() < ADDRESSES_FRESH_FOR))
        {
            return Ok(known.peers.clone());
        }
        let (host, port) = (&self.address.0, self.address.1);
        let (addresses, at) = match host.parse::<IpAddr>() {
            Ok(address) => (Ok(vec![SocketAddr::new(address, port)]), None),
            Err(_) => (resolve(host, port).await, Some(Instant::now())),
        };
        let addresses = match (addresses, known) {
            (Ok(addresses), _) => addresses,
            (Err(_), Some(known)) => return Ok(known.peers.clone()),
            (Err(failure), None) => return Err(failure),
        };
        let peers: Vec<_> = addresses
            .into_iter()
            .map(|address| Arc::new(self.scheme.peer(address)))
            .collect();
        self.resolved.store(Some(Arc::new(Resolved {
            peers: peers.clone(),
            at,
        })));
        Ok(peers)
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|e| Failure::Connect(format!("{host}: {e}")))?;
    let addresses: Vec<_> = found.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(Failure::Connect(format!("{host}: no address")));
    }
    Ok(addresses)
}
