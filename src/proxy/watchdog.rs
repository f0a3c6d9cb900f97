//! A request from within, by which the watchdog learns that requests are still answered: it passes through Pingora and
//! the intake like any other, but belongs to no client and is neither logged nor counted.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{ProxyHttp, Session};

use super::context::RequestContext;
use super::in_flight::InFlight;
use super::intake;
use super::snapshot::Snapshot;

pub struct WatchdogProxy {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// A count of its own, because a stop does not wait for these requests.
    in_flight: InFlight,
}

impl WatchdogProxy {
    /// The watchdog's request: the gateway answers it by itself, from its routes.
    pub const REQUEST: &str = "GET /v1/models HTTP/1.1\r\nhost: switchback\r\nconnection: close\r\n\r\n";

    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        Self {
            snapshot,
            in_flight: InFlight::default(),
        }
    }
}

#[async_trait]
impl ProxyHttp for WatchdogProxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> Self::CTX {
        RequestContext::new(self.snapshot.load_full(), self.in_flight.enter())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        intake::take_in(session, ctx).await
    }

    /// Never reached: the request has been answered.
    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Err(Error::new(ErrorType::InternalError))
    }
}
