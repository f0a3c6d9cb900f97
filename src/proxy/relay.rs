//! An upload or a websocket, relayed to the passthrough upstream as it arrives.
//!
//! Nothing of the request is held, so it has one try, on a connection of its own: one from the pool may be closed just
//! then, and what was sent on it could not be sent again. Every wait has its clock: `client_timeout` while the client
//! is to send, the route's clocks while the upstream is to take or to answer.

mod upload;

use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::Instant;

use super::attempt::beginning;
use super::connecting::with_client;
use super::context::{RequestContext, Stage};
use super::headers::Sending;
use super::refusal::Refusal;
use super::refusal::Stop;
use super::reply;
use super::{headers, reading, verdict};
use crate::routing::Step;
use crate::transport::relay::{RelayClocks, RelayEvent, Relayed};
use crate::transport::{Connection, Feed, JudgingConnector, RelayedBody, Wanted};
use upload::Upload;

/// Longer than any relay needs to connect: its own clock ends that.
const NO_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// Relays the request, if intake has planned that. Returns whether it did.
pub(super) async fn serve(
    session: &mut Session,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
) -> Result<bool> {
    let Stage::Relaying(attempt) = &ctx.stage else {
        return Ok(false);
    };
    let step = attempt.step.clone();
    // The clocks of both sides are the relay's own.
    session.set_read_timeout(None);
    let body = body(session);
    let connection = connect(session, ctx, connector, &step, body).await?;
    let (upstream, feed) = send(session, ctx, connector, &step, connection, body).await?;
    let exchange = Exchange {
        session,
        ctx,
        upstream,
        upload: Upload::new(feed, body),
    };
    exchange.serve().await
}

/// An upstream that has switched, and the header by which it says so.
pub(super) struct Switched {
    pub upstream: Relayed,
    pub feed: Option<Feed>,
    pub header: Box<ResponseHeader>,
}

/// Relays what is said on a connection that has `switched`. Returns that it did.
pub(super) async fn relay_switched(
    session: &mut Session,
    ctx: &mut RequestContext,
    switched: Switched,
) -> Result<bool> {
    let mut exchange = Exchange {
        session,
        ctx,
        upstream: switched.upstream,
        upload: Upload::new(switched.feed, RelayedBody::Upgrade),
    };
    let committed = exchange.commit(switched.header).await;
    committed.map_err(Error::into_down)?;
    exchange.serve().await
}

/// Why an exchange ends before its response does.
enum Cut {
    /// The client does not keep to HTTP, or to its clock.
    Refused(Refusal),
    /// The upstream has failed, or the client has left.
    Failed(Box<Error>),
}

/// Returns what follows the request's header.
fn body(session: &mut Session) -> RelayedBody {
    let is_empty = session.as_mut().is_body_done();
    let request = session.req_header();
    let asks_to_switch = headers::asks_to_switch(request);
    match is_empty {
        true if asks_to_switch => RelayedBody::Upgrade,
        true => RelayedBody::None,
        false if request.headers.contains_key(CONTENT_LENGTH) => RelayedBody::Sized,
        false => RelayedBody::Unsized,
    }
}

async fn connect(
    session: &mut Session,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
    step: &Step,
    body: RelayedBody,
) -> Result<Connection> {
    let endpoint = &ctx.asked.snapshot.endpoints[step.target.upstream.index];
    let began = Instant::now();
    let wanted = match body {
        RelayedBody::Upgrade => Wanted::NewHttp1,
        _ => Wanted::New,
    };
    let opening = connector.open(endpoint, wanted, step.target.timeouts.connect, began + NO_DEADLINE);
    let opened = match body {
        RelayedBody::Upgrade | RelayedBody::None => with_client(session, opening).await?,
        // To see whether the client is still there would be to read its body.
        RelayedBody::Sized | RelayedBody::Unsized => opening.await,
    };
    verdict::relay_opened(ctx, opened, began.elapsed())
}

async fn send(
    session: &mut Session,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
    step: &Step,
    connection: Connection,
    body: RelayedBody,
) -> Result<(Relayed, Option<Feed>)> {
    // Somebody is there to take it.
    if let Err(Stop::Failed(error)) = reading::invite(session).await {
        return Err(error);
    }
    let mut header = Box::new(session.req_header().clone());
    let sending = Sending::Relayed(body);
    headers::to_upstream(&mut header, step, &ctx.asked.id, &sending)?;
    let timeouts = &step.target.timeouts;
    let clocks = RelayClocks {
        beginning: beginning(timeouts, body == RelayedBody::Upgrade),
        idle: timeouts.idle,
    };
    let begun = connector.relay(connection, header, body, clocks);
    begun.map_err(|failure| verdict::relay_failed(ctx, failure))
}

/// A request that is being relayed, both ends of it.
struct Exchange<'a> {
    session: &'a mut Session,
    ctx: &'a mut RequestContext,
    upstream: Relayed,
    upload: Upload,
}

impl Exchange<'_> {
    /// Relays to the end of the response, and ends the request. Returns that it did.
    async fn serve(mut self) -> Result<bool> {
        let ended = self.run().await;
        let Exchange {
            session,
            ctx,
            upstream,
            upload,
        } = self;
        match ended {
            Ok(()) => {
                upstream.release();
                if !upload.is_read() {
                    reply::linger(session).await;
                }
                Ok(true)
            }
            Err(Cut::Refused(refusal)) => {
                // Its place at the upstream is for others while the client is told.
                drop(upstream);
                ctx.stage = Stage::Answered;
                reply::refuse(session, ctx, refusal).await?;
                Ok(true)
            }
            Err(Cut::Failed(error)) => Err(error),
        }
    }

    /// Passes on bytes in either direction until the response has ended.
    async fn run(&mut self) -> Result<(), Cut> {
        let silence = self.ctx.asked.snapshot.client_timeout;
        loop {
            tokio::select! {
                has_room = self.upload.has_room(), if self.upload.wants_room() => {
                    if self.upload.hand_over(has_room) {
                        self.upstream.client_closed();
                    }
                }
                read = self.upload.read(self.session, silence), if self.upload.may_read() => match read {
                    Ok(bytes) => self.upload.take(bytes, self.session.is_body_done()),
                    // Too late to be told in an answer of its own.
                    Err(Stop::Refused(refusal)) if self.ctx.delivery.committed.is_some() => {
                        let error = Error::explain(ErrorType::ReadTimedout, refusal.to_string());
                        return Err(Cut::Failed(error.into_down()));
                    }
                    Err(Stop::Refused(refusal)) => return Err(Cut::Refused(refusal)),
                    Err(Stop::Failed(error)) => return Err(Cut::Failed(error)),
                },
                event = self.upstream.next() => match event {
                    Ok(event) => {
                        if self.pass_on(event).await.map_err(Cut::Failed)? {
                            return Ok(());
                        }
                    }
                    Err(failure) => return Err(Cut::Failed(verdict::relay_failed(self.ctx, failure))),
                },
            }
        }
    }

    /// Passes on an event of the response. Returns whether it was the last.
    async fn pass_on(&mut self, event: RelayEvent) -> Result<bool> {
        let is_all = matches!(event, RelayEvent::End) || self.upstream.is_ended();
        if is_all {
            // Before the client knows, which may then leave, or send its next request.
            self.ctx.delivery.is_whole = true;
            self.ctx.served(true);
        }
        let written = match event {
            RelayEvent::Interim(header) => self.pass_on_interim(header).await,
            RelayEvent::Header(header) => self.commit(header).await,
            RelayEvent::Body(bytes) => self.session.write_response_body(Some(bytes), false).await,
            RelayEvent::End => Ok(()),
        };
        written.map_err(Error::into_down)?;
        if is_all {
            let ended = self.session.write_response_body(None, true).await;
            ended.map_err(Error::into_down)?;
        }
        Ok(is_all)
    }

    /// Passes on an interim response, where it can be. The client was asked for its body already.
    async fn pass_on_interim(&mut self, mut header: Box<ResponseHeader>) -> Result<()> {
        if header.status == StatusCode::CONTINUE || self.session.req_header().version != Version::HTTP_11 {
            return Ok(());
        }
        let Stage::Relaying(attempt) = &self.ctx.stage else {
            return Ok(());
        };
        headers::screen(&mut header, &attempt.step.target.upstream)?;
        headers::remove_hop_by_hop(&mut header);
        self.session.write_response_header(header, false).await
    }

    /// Commits the answer to the client.
    async fn commit(&mut self, mut header: Box<ResponseHeader>) -> Result<()> {
        verdict::on_answer(self.session.req_header(), &mut header, self.ctx)?;
        if header.status == StatusCode::SWITCHING_PROTOCOLS {
            self.session.write_response_header(header, false).await?;
            self.upload.switch();
            return Ok(());
        }
        if !self.upload.is_read() {
            // Where the next request would begin is not known before the rest of this one has come.
            self.session.set_keepalive(None);
        }
        let has_body = self.session.req_header().method != Method::HEAD
            && !matches!(header.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_body && !header.headers.contains_key(CONTENT_LENGTH) {
            header.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
        }
        self.session.write_response_header(header, false).await
    }
}
