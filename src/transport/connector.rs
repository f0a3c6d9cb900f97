//! The custom connector that Pingora asks for sessions.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::custom::{Connection, Connector};
use pingora_core::protocols::ALPN;
use pingora_core::protocols::tls::CustomALPN;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use tokio::time::Instant;

use super::connections::{Connections, Wanted};
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::session::JudgedSession;

/// Opens connections for attempts, and hands out the sessions that use them. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct JudgingConnector {
    pub(super) connections: Arc<Connections>,
    peer: Arc<HttpPeer>,
}

impl JudgingConnector {
    pub fn new(options: &ConnectorOptions) -> Self {
        let mut peer = HttpPeer::new((Ipv4Addr::UNSPECIFIED, 0), false, String::new());
        peer.options.alpn = ALPN::Custom(CustomALPN::new(b"judged".to_vec()));
        Self {
            connections: Arc::new(Connections::new(options)),
            peer: Arc::new(peer),
        }
    }

    /// The peer that makes Pingora come here; the [`Assignment`](super::Assignment) has the real connection.
    pub fn peer(&self) -> Box<HttpPeer> {
        Box::new(HttpPeer::clone(&self.peer))
    }

    /// A connection to `endpoint` of the kind that is `wanted`, within `clock` and before `deadline`.
    pub async fn open(
        &self,
        endpoint: &Endpoint,
        wanted: Wanted,
        clock: Duration,
        deadline: Instant,
    ) -> Result<super::Connection, Failure> {
        self.connections.open(endpoint, wanted, clock, deadline).await
    }
}

#[async_trait]
impl Connector for JudgingConnector {
    type Session = JudgedSession;

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        _peer: &P,
    ) -> Result<(Connection<Self::Session>, bool)> {
        Ok((
            Connection::Session(JudgedSession::new(Arc::clone(&self.connections))),
            false,
        ))
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<Self::Session> {
        None
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        session: Self::Session,
        _peer: &P,
        _idle_timeout: Option<Duration>,
    ) {
        session.release();
    }
}
