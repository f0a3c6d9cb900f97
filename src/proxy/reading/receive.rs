//! Receiving a request's body to its end.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::{Error, ErrorType};
use pingora_proxy::Session;
use tokio::time::Instant;

use super::room::Room;
use crate::body::Collector;
use crate::protocol::chunked::MalformedChunk;
use crate::proxy::context::RequestContext;
use crate::proxy::refusal::Refusal;
use crate::proxy::refusal::Stop;
use crate::transport::clock::before;

/// How often it is looked whether room that a slow client does not use yet is wanted by others.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Before a body has to come at its pace.
const GRACE: Duration = Duration::from_millis(250);
/// A body that comes more slowly does not keep the room for what has not come, where others wait for it.
const PACE_BYTES_PER_S: f64 = 1024.0 * 1024.0;

/// The whole body, with the room that was made for it.
pub(super) async fn receive(session: &mut Session, ctx: &RequestContext, room: &mut Room) -> Result<Bytes, Stop> {
    let headers = &session.req_header().headers;
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut body =
        Collector::new(ctx.asked.snapshot.max_body_bytes, declared, room.share()).map_err(Refusal::TooLarge)?;
    body.check_length().map_err(Refusal::NeverFits)?;
    invite(session).await?;
    let until = ctx.asked.received + ctx.asked.snapshot.client_timeout;
    let mut pace = Pace::default();
    while let Some(chunk) = next_chunk(session, ctx, &mut body, &mut pace, until).await? {
        if !body.try_make_room(chunk.len()) {
            room.wait(session, body.make_room(chunk.len())).await?;
        }
        body.push(chunk).map_err(Refusal::TooLarge)?;
    }
    Ok(body.finish())
}

/// Asks a client for its body that waits to be asked (RFC 9110 §10.1.1).
pub(in crate::proxy) async fn invite(session: &mut Session) -> Result<(), Stop> {
    let expect = session.req_header().headers.get(EXPECT);
    let waits = expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !waits || session.as_http1().is_none() {
        return Ok(());
    }
    let asked = session.write_continue_response().await;
    asked.map_err(|error| Stop::Failed(error.into_down()))
}

/// The next chunk. Room that the body has ahead, but is slow to use, goes back when others wait for it.
async fn next_chunk(
    session: &mut Session,
    ctx: &RequestContext,
    body: &mut Collector,
    pace: &mut Pace,
    until: Instant,
) -> Result<Option<Bytes>, Stop> {
    let read = session.read_request_body();
    tokio::pin!(read);
    loop {
        let has_room_ahead = body.ahead_bytes() > 0;
        let look_at = if has_room_ahead {
            until.min(Instant::now() + LOOK_EVERY)
        } else {
            until
        };
        match before(look_at, &mut read).await {
            Ok(Ok(chunk)) => {
                pace.look(body);
                return Ok(chunk);
            }
            Ok(Err(error)) => return Err(broken(error)),
            Err(_) if Instant::now() >= until => {
                return Err(Refusal::TooSlow {
                    limit: ctx.asked.snapshot.client_timeout,
                }
                .into());
            }
            Err(_) => pace.look(body),
        }
    }
}

/// How fast a body comes that has room ahead.
#[derive(Default)]
struct Pace {
    /// When it got its room, and what had come by then.
    since: Option<(Instant, usize)>,
}

impl Pace {
    fn look(&mut self, body: &mut Collector) {
        if body.ahead_bytes() == 0 || !body.is_waited_for() {
            return;
        }
        let now = Instant::now();
        let (since, had_bytes) = *self.since.get_or_insert((now, body.len()));
        let due_s = now.duration_since(since).saturating_sub(GRACE).as_secs_f64();
        let came_bytes = body.len().saturating_sub(had_bytes);
        if (came_bytes as f64) < due_s * PACE_BYTES_PER_S {
            body.go_by_steps();
        }
    }
}

/// A malformed body is answered; a connection that has closed can't be.
pub(in crate::proxy) fn broken(error: Box<Error>) -> Stop {
    if let Some(fault) = malformed_chunk(&error) {
        return Refusal::from(fault).into();
    }
    match error.etype() {
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError | ErrorType::H2Error => {
            Stop::Failed(error.into_down())
        }
        ErrorType::ReadTimedout => Refusal::TooSlow { limit: Duration::ZERO }.into(),
        // A body that ends early: the client has closed.
        ErrorType::Custom("PrematureBodyEnd") => Stop::Failed(error.into_down()),
        _ => Refusal::from(MalformedChunk).into(),
    }
}

/// The fault that the client's stream has found in the body's framing.
fn malformed_chunk(error: &Error) -> Option<MalformedChunk> {
    let found = error.root_cause().downcast_ref::<io::Error>()?;
    found.get_ref()?.downcast_ref().copied()
}
