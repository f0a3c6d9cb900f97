//! A request's journey, one file per phase: intake → connecting → verdict → delivery → access.

mod access;
mod asked;
mod attempt;
mod break_off;
mod browser;
mod chain;
mod connecting;
mod context;
mod delivery;
mod diagnosis;
mod handshake;
mod headers;
mod home;
pub mod host;
mod http10;
mod in_flight;
mod intake;
mod intent;
pub mod meters;
mod off_workers;
mod patience;
mod pingora_error;
mod reading;
mod recent_failures;
mod recorder;
mod refusal;
mod relay;
mod reply;
mod resuming;
mod snapshot;
mod unrouted;
mod verdict;
mod watchdog;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::transport::JudgingConnector;
use http10::Http10;

pub use asked::Arrival;
pub use context::RequestContext;
pub use home::Home;
pub use in_flight::InFlight;
pub(crate) use recorder::log_cooldown;
pub use snapshot::Snapshot;
pub use watchdog::WatchdogProxy;

/// The proxy logic that Pingora calls. Clones share the snapshot and the count of requests.
#[derive(Clone)]
pub struct Gateway {
    snapshot: Arc<ArcSwap<Snapshot>>,
    connector: JudgingConnector,
    in_flight: InFlight,
}

impl Gateway {
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>, connector: JudgingConnector, in_flight: InFlight) -> Self {
        Self {
            snapshot,
            connector,
            in_flight,
        }
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// Boxed, for Pingora's futures have it in them three times.
    type CTX = Box<RequestContext>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(RequestContext::new(self.snapshot.load_full(), self.in_flight.enter()))
    }

    /// Takes what the server saw of the request before Pingora read it.
    fn on_connection_reuse(&self, _session: &mut Session, ctx: &mut Self::CTX, seen: Box<dyn Any + Send + Sync>) {
        if let Ok(arrival) = seen.downcast::<Arrival>() {
            ctx.arrived(*arrival);
        }
    }

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        modules.add_module(Box::new(Http10));
    }

    /// Intake: answers locally, or finds facts and a plan. A request whose body is not held is relayed at once, and a
    /// websocket once a target has taken it.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        Ok(intake::take_in(session, ctx).await?
            || handshake::serve(session, ctx, &self.connector).await?
            || relay::serve(session, ctx, &self.connector).await?)
    }

    /// Starts the next attempt: waits out the backoff, picks the target, connects. (It connects here because Pingora
    /// does not watch the client while it connects.)
    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        connecting::connect(session, ctx, &self.connector).await
    }

    /// The verdict on an attempt that got no connection.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Self::CTX,
        error: Box<Error>,
    ) -> Box<Error> {
        verdict::on_no_connection(error, ctx)
    }

    /// Writes the request that the target is sent.
    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream_request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        connecting::address(upstream_request, ctx, &self.connector)
    }

    /// The verdict on an answer: deliver it, or try again.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        upstream_response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        verdict::on_answer(session.req_header(), upstream_response, ctx)
    }

    /// Notes what was found out about an answer, and its end.
    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        // Before the client reads that its stream has failed, and asks again.
        ctx.look_for_reported_error();
        if end_of_stream {
            ctx.delivery.is_whole = true;
            // Before the client knows, whose next request may then come.
            ctx.served(true);
        }
        Ok(None)
    }

    /// The verdict on an attempt that got no answer, or on an answer that broke off.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        _session: &mut Session,
        error: Box<Error>,
        ctx: &mut Self::CTX,
        _client_reused: bool,
    ) -> Box<Error> {
        verdict::on_error(error, ctx)
    }

    /// Concludes a request that is exhausted, broken, or without a client.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        delivery::conclude(session, error, ctx).await
    }

    /// The access-log line. Then nobody needs the session any more.
    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Self::CTX) {
        access::ended(session, error, ctx);
        if ctx.delivery.keeps_connection
            && let Some(home) = &ctx.home
        {
            home.bring(session).await;
        }
    }

    /// Suppresses Pingora's own lines: attempts and requests are logged once, by us, with the request id.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Self::CTX, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Self::CTX,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
