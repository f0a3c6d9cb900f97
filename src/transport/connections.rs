//! Connections to upstreams: opened, and pooled while they are idle.

use std::sync::Arc;
use std::time::Duration;

use pingora::connectors::http::v2;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::ALPN;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;

use super::clock::before;
use super::connection::{Connection, ConnectionKind, Wanted};
use super::descriptors;
use super::dial::dial;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::h2_exchange::H2Stream;
use super::idle_pool::IdlePool;
use super::unreachable::Unreachable;
use super::wire::Wire;

pub(super) struct Connections {
    h1: TransportConnector,
    idle: Arc<IdlePool>,
    h2: Arc<v2::Connector>,
}

impl Connections {
    pub(super) fn new(options: &ConnectorOptions) -> Self {
        Self {
            h1: TransportConnector::new(Some(options.clone())),
            idle: IdlePool::new(options.keepalive_pool_size),
            h2: Arc::new(v2::Connector::new(Some(options.clone()))),
        }
    }

    /// A connection of the kind that is `wanted`. A new one is there within `clock` and before `deadline`.
    pub(super) async fn open(
        &self,
        endpoint: &Endpoint,
        wanted: Wanted,
        clock: Duration,
        deadline: Instant,
    ) -> Result<Connection, Failure> {
        if wanted == Wanted::Any
            && let Some(connection) = self.pooled(endpoint).await
        {
            return Ok(connection);
        }
        let until = (Instant::now() + clock).min(deadline);
        match self.connected(endpoint, wanted, until).await {
            Err(Failure::ConnectClock(_)) if Instant::now() >= deadline => Err(Failure::Deadline),
            opened => opened,
        }
    }

    /// An idle connection that is there at once, without a stream of HTTP/2 to be opened on it first.
    pub(super) fn take_idle(&self, endpoint: &Endpoint) -> Option<Connection> {
        let peers = endpoint.known_peers()?;
        peers.in_order().find_map(|peer| {
            if peer.options.alpn.get_max_http_version() == 2 {
                return None;
            }
            Some(Connection {
                kind: ConnectionKind::h1(self.idle.take(peer.reuse_hash())?),
                peer: Arc::clone(peer),
                reused: true,
            })
        })
    }

    /// An idle connection to one of the addresses that are known. No lookup is waited for.
    async fn pooled(&self, endpoint: &Endpoint) -> Option<Connection> {
        let peers = endpoint.known_peers()?;
        for peer in peers.in_order() {
            if let Some(kind) = self.reused(peer).await {
                return Some(Connection {
                    kind,
                    peer: Arc::clone(peer),
                    reused: true,
                });
            }
        }
        None
    }

    async fn connected(&self, endpoint: &Endpoint, wanted: Wanted, until: Instant) -> Result<Connection, Failure> {
        if descriptors::are_short() {
            return Err(Failure::NoDescriptors);
        }
        let peers = match before(until, endpoint.peers()).await {
            Ok(Ok(peers)) => peers,
            Ok(Err(reason)) => return Err(Failure::Connect(Unreachable::new("no address", reason))),
            Err(_) => return Err(Failure::ConnectClock("the name did not resolve in time".to_owned())),
        };
        let connecting = |peer: Arc<HttpPeer>| async move {
            match wanted {
                Wanted::NewHttp1 => self.connect(Arc::new(only_http1(&peer))).await,
                Wanted::Any | Wanted::New => self.connect(peer).await,
            }
        };
        let dialled = dial(&peers, until, connecting).await;
        // Others may have taken what was left meanwhile: then it is not the upstream that failed.
        let (kind, peer) = dialled.map_err(|failure| match descriptors::are_short() {
            true => Failure::NoDescriptors,
            false => failure,
        })?;
        Ok(Connection {
            kind,
            peer,
            reused: false,
        })
    }

    async fn reused(&self, peer: &Arc<HttpPeer>) -> Option<ConnectionKind> {
        if peer.options.alpn.get_max_http_version() == 2
            && let Ok(Some(session)) = self.h2.reused_http_session(&**peer).await
        {
            return Some(ConnectionKind::H2(Box::new(H2Stream::new(session, &self.h2, peer))));
        }
        self.idle.take(peer.reuse_hash()).map(ConnectionKind::h1)
    }

    async fn connect(&self, peer: Arc<HttpPeer>) -> Result<ConnectionKind> {
        // What connects is large (TLS and HTTP/2 are in it), and would be copied by everything that waits for it.
        if peer.options.alpn.get_max_http_version() == 1 {
            return Ok(ConnectionKind::h1(Box::pin(self.h1.new_stream(&*peer)).await?));
        }
        match Box::pin(self.h2.new_http_session::<_, ()>(&*peer)).await? {
            HttpSession::H2(session) => Ok(ConnectionKind::H2(Box::new(H2Stream::new(session, &self.h2, &peer)))),
            HttpSession::H1(session) => Ok(ConnectionKind::h1(session.into_inner())),
            HttpSession::Custom(()) => Error::e_explain(ErrorType::InternalError, "no custom protocol was asked for"),
        }
    }

    /// Back to the pool if the next request may go out on it, closed otherwise.
    pub(super) fn release(&self, wire: Wire) {
        if let Some((stream, peer)) = wire.into_idle() {
            self.idle.put(peer.reuse_hash(), stream);
        }
    }
}

fn only_http1(peer: &HttpPeer) -> HttpPeer {
    let mut peer = HttpPeer::clone(peer);
    peer.options.alpn = ALPN::H1;
    peer
}
