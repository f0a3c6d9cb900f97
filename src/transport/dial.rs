//! Several addresses of one upstream: the first that takes a connection wins (RFC 8305, "happy eyeballs").

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pingora::Result;
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::time::Instant;

use super::clock::before;
use super::endpoint::Peers;
use super::failure::Failure;
use super::turns::Turns;
use super::unreachable::Unreachable;

/// How long an address is tried alone before the next one is tried beside it (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The connection that `connect` makes to the first of `peers` that takes one before `until`, TLS included, and who that
/// is. The others are dropped.
///
/// # Errors
/// What became of each address that was tried.
pub(super) async fn dial<T, C>(
    peers: &Peers,
    until: Instant,
    connect: impl Fn(Arc<HttpPeer>) -> C,
) -> Result<(T, Arc<HttpPeer>), Failure>
where
    C: Future<Output = Result<T>>,
{
    let mut untried = peers.in_order().peekable();
    let mut running = FuturesUnordered::new();
    let mut tried: Vec<(Arc<HttpPeer>, Option<Unreachable>)> = Vec::new();
    // Each turn begins an attempt, ends one, or is the last: there are two for each address, and one more.
    let mut turns = Turns::default();
    loop {
        turns
            .next()
            .await
            .map_err(|turned| Failure::Connect(Unreachable::new("connecting failed", turned.to_string())))?;
        if let Some(peer) = untried.next() {
            let connecting = connect(Arc::clone(peer));
            running.push(async move { (peer, connecting.await) });
            tried.push((Arc::clone(peer), None));
        }
        let pause = match untried.peek() {
            Some(_) => until.min(Instant::now() + ATTEMPT_DELAY),
            None => until,
        };
        match before(pause, running.next()).await {
            Ok(Some((peer, Ok(connection)))) => {
                peers.prefer(peer);
                return Ok((connection, Arc::clone(peer)));
            }
            Ok(Some((peer, Err(error)))) => {
                let failed = tried.iter_mut().find(|(one, _)| Arc::ptr_eq(one, peer));
                if let Some((_, outcome)) = failed {
                    *outcome = Some(Unreachable::of(&error));
                }
            }
            Ok(None) => return Err(Failure::Connect(summed_up(&tried))),
            Err(_) if Instant::now() >= until => return Err(Failure::ConnectClock(in_words(&tried))),
            Err(_) => {}
        }
    }
}

/// What became of all addresses; the last that failed says why.
fn summed_up(tried: &[(Arc<HttpPeer>, Option<Unreachable>)]) -> Unreachable {
    let mut failed = tried.iter().filter_map(|(_, outcome)| outcome.as_ref());
    let why = failed.next_back().map_or(Unreachable::NO_ANSWER, |outcome| outcome.why);
    Unreachable::new(why, in_words(tried))
}

/// `192.0.2.1:443: no answer; [2001:db8::1]:443: connection refused`; without the address where there is only one.
fn in_words(tried: &[(Arc<HttpPeer>, Option<Unreachable>)]) -> String {
    let outcomes = tried.iter().map(|(peer, outcome)| {
        let outcome = outcome
            .as_ref()
            .map_or_else(|| Unreachable::NO_ANSWER.to_owned(), Unreachable::to_string);
        match tried.len() {
            1 => outcome,
            _ => format!("{}: {outcome}", peer.address()),
        }
    });
    outcomes.collect::<Vec<_>>().join("; ")
}
