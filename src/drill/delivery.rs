//! An answer → the wire: whole, cut off, or stalled.

use std::time::Duration;

use super::answer::{Answer, Body};
use super::wire::{Connection, LAST_CHUNK, chunk, head};

/// The time between two events of a stream, so that one can watch it stream.
const EVENT_GAP: Duration = Duration::from_millis(20);

/// How an answer is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    /// Two thirds are sent, then the connection is closed.
    Cut,
    /// A half, then nothing more.
    Stall,
}

impl Delivery {
    /// Returns how many of `parts` are sent.
    fn share(self, parts: usize) -> usize {
        match self {
            Delivery::Whole => parts,
            Delivery::Cut => parts * 2 / 3,
            Delivery::Stall => parts / 2,
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The connection may carry another request.
    Whole,
    /// The stand-in broke it off by its own will.
    Broken,
    /// The client left.
    Abandoned,
}

/// Sends an answer.
pub(crate) async fn deliver(connection: &mut Connection, answer: &Answer, delivery: Delivery) -> Outcome {
    let sent = match &answer.body {
        Body::Whole(body) => {
            let mut response = head(answer.status, &answer.headers, Some(body.len()));
            response.extend_from_slice(&body[..delivery.share(body.len())]);
            connection.write(&response).await.is_ok()
        }
        Body::Stream(events) => {
            let header = head(answer.status, &answer.headers, None);
            let events = &events[..delivery.share(events.len())];
            connection.write(&header).await.is_ok()
                && stream(connection, events).await
                && (delivery != Delivery::Whole || connection.write(LAST_CHUNK).await.is_ok())
        }
    };
    match (sent, delivery) {
        (false, _) => Outcome::Abandoned,
        (true, Delivery::Whole) => Outcome::Whole,
        (true, Delivery::Cut) => Outcome::Broken,
        (true, Delivery::Stall) => {
            connection.left().await;
            Outcome::Abandoned
        }
    }
}

/// Sends the events. Returns whether all were sent before the client left.
async fn stream(connection: &mut Connection, events: &[String]) -> bool {
    for (number, event) in events.iter().enumerate() {
        if number > 0 && connection.left_within(EVENT_GAP).await {
            return false;
        }
        if connection.write(&chunk(event.as_bytes())).await.is_err() {
            return false;
        }
    }
    true
}
