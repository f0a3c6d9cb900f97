//! The custom connector that Pingora asks for sessions.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::custom::{Connection, Connector};
use pingora::protocols::ALPN;
use pingora::protocols::tls::CustomALPN;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;

use super::connection::{Connection as Opened, Wanted};
use super::connections::Connections;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::session::JudgedSession;

/// The name of the peer that can't be reached. No TLS is spoken to it.
const UNREACHABLE: &str = "unreachable";

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

    /// The peer that makes Pingora come here; the [`Assignment`](super::Assignment) has the real connection. Without one the
    /// peer is one that can't be reached, so that Pingora asks what to do about that.
    pub fn peer(&self, is_open: bool) -> Box<HttpPeer> {
        let mut peer = Box::new(HttpPeer::clone(&self.peer));
        if !is_open {
            UNREACHABLE.clone_into(&mut peer.sni);
        }
        peer
    }

    /// An idle connection to `endpoint`, if one will do and is there at once.
    pub fn take_idle(&self, endpoint: &Endpoint, wanted: Wanted) -> Option<Opened> {
        match wanted {
            Wanted::Any => self.connections.take_idle(endpoint),
            Wanted::New | Wanted::NewHttp1 => None,
        }
    }

    /// A connection to `endpoint` of the kind that is `wanted`, within `clock` and before `deadline`.
    pub async fn open(
        &self,
        endpoint: &Endpoint,
        wanted: Wanted,
        clock: Duration,
        deadline: Instant,
    ) -> Result<Opened, Failure> {
        self.connections.open(endpoint, wanted, clock, deadline).await
    }
}

#[async_trait]
impl Connector for JudgingConnector {
    type Session = JudgedSession;

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<Self::Session>, bool)> {
        if peer.sni() == UNREACHABLE {
            return Error::e_explain(ErrorType::ConnectError, "");
        }
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
