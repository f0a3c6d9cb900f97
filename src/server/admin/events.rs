//! The status document as it changes: server-sent events (WHATWG HTML, section 9.2) for the page.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use pingora::protocols::http::ServerSession;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::answer::{self, Answer};
use super::places::Place;
use crate::server::gateway_status::GatewayStatus;
use crate::status::Status;

/// How many pages may be open at once.
const SUBSCRIBERS_MAX: usize = 16;
/// How often changes are looked for.
const EVERY: Duration = Duration::from_secs(1);
/// A document that takes long to write, because there are thousands of routes, is rarely written: writing may take this
/// fraction of the time.
const EFFORT_PART: u32 = 20;
/// A comment keeps the connection alive and shows a dead one.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(super) struct Events {
    gateway: Arc<GatewayStatus>,
    places: Semaphore,
    last: Mutex<Option<Written>>,
}

/// A document that every subscriber is sent as it is.
struct Written {
    status: Status,
    event: Bytes,
    /// The event is the n-th that says something new.
    number: u64,
    good_until: Instant,
}

impl Events {
    pub(super) fn of(gateway: Arc<GatewayStatus>) -> Self {
        Self {
            gateway,
            places: Semaphore::new(SUBSCRIBERS_MAX),
            last: Mutex::default(),
        }
    }

    /// Sends changes until the peer leaves. `None`: the connection cannot be used any more.
    pub(super) async fn serve(&self, session: &mut ServerSession, place: &Place<'_>) -> Option<()> {
        let Ok(_seat) = self.places.try_acquire() else {
            let message = "as many pages as can be served are open: close one, or ask for /status";
            let answer = Answer::error(StatusCode::SERVICE_UNAVAILABLE, "too_many_subscribers", message);
            return answer.header("retry-after", "10").write(session).await.ok();
        };
        place.leave();
        let header = answer::unbounded("text/event-stream").ok()?;
        session.set_keepalive(None);
        let head_only = session.req_header().method == Method::HEAD;
        session.write_response_header(Box::new(header)).await.ok()?;
        if head_only {
            return Some(());
        }
        session
            .write_response_body(Bytes::from_static(b"retry: 2000\n\n"), false)
            .await
            .ok()?;
        let (mut sent, mut spoken) = (0, Instant::now());
        loop {
            let now = Instant::now();
            let (number, event) = self.current(now);
            if number != sent {
                session.write_response_body(event, false).await.ok()?;
                (sent, spoken) = (number, now);
            } else if now - spoken >= HEARTBEAT {
                session
                    .write_response_body(Bytes::from_static(b": still here\n\n"), false)
                    .await
                    .ok()?;
                spoken = now;
            }
            tokio::select! {
                () = sleep(EVERY) => {}
                // It ends when the peer leaves; a request that comes too early is none of ours.
                _ = session.read_body_or_idle(true) => return None,
            }
        }
    }

    /// Returns the newest event. It is rewritten only when that is due, and counts as a new one only when it says
    /// something new.
    fn current(&self, now: Instant) -> (u64, Bytes) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = last.as_ref().filter(|written| now < written.good_until) {
            return (written.number, written.event.clone());
        }
        let status = self.gateway.status(now);
        let number = last.as_ref().map_or(0, |written| written.number);
        let written = match last.take() {
            Some(written) if written.status.says_the_same(&status) => written,
            _ => Written {
                event: event(&status),
                number: number + 1,
                good_until: now,
                status,
            },
        };
        let effort = now.elapsed().saturating_mul(EFFORT_PART);
        let good_until = now + (EVERY / 2).max(effort);
        let current = (written.number, written.event.clone());
        *last = Some(Written { good_until, ..written });
        current
    }
}

fn event(status: &Status) -> Bytes {
    let document = serde_json::to_string(status).expect("the document has string keys and finite depth");
    // JSON has no line break outside of its strings, and escapes those inside.
    format!("event: status\ndata: {document}\n\n").into()
}
