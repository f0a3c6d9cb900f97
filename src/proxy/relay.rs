//! An upload or a websocket: relayed as it comes to the passthrough upstream, on Pingora's ordinary path.
//!
//! Its body is not held, so it has one try.

use std::sync::Arc;

use pingora_core::upstreams::peer::HttpPeer;
use tokio::time::{Instant, timeout};

use crate::routing::Step;
use crate::transport::{Endpoint, Failure};

pub struct Relay {
    pub step: Step,
    pub began: Instant,
}

impl Relay {
    pub fn new(step: Step, began: Instant) -> Self {
        Self { step, began }
    }

    pub(super) async fn peer(&self, endpoint: &Arc<Endpoint>) -> Result<Box<HttpPeer>, Failure> {
        let clocks = &self.step.target.timeouts;
        let mut peer = timeout(clocks.connect, endpoint.first_peer())
            .await
            .map_err(|_| Failure::ConnectClock("the name did not resolve in time".to_owned()))?
            .map_err(Failure::Connect)?;
        peer.options.connection_timeout = Some(clocks.connect);
        peer.options.total_connection_timeout = Some(clocks.connect);
        peer.options.read_timeout = Some(clocks.headers);
        peer.options.write_timeout = Some(clocks.idle);
        Ok(Box::new(peer))
    }
}
