//! Several addresses of one upstream: the first that takes a connection wins (RFC 8305, "happy eyeballs").

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, Result};
use tokio::time::Instant;

use super::clock::before;
use super::endpoint::Peers;
use super::failure::Failure;
use super::turns::Turns;

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
    let mut tried: Vec<(Arc<HttpPeer>, Option<String>)> = Vec::new();
    // Each turn begins an attempt, ends one, or is the last: there are two for each address, and one more.
    let mut turns = Turns::default();
    loop {
        turns
            .next()
            .await
            .map_err(|turned| Failure::Connect(turned.to_string()))?;
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
                    *outcome = Some(reason(&error));
                }
            }
            Ok(None) => return Err(Failure::Connect(in_words(&tried))),
            Err(_) if Instant::now() >= until => return Err(Failure::ConnectClock(in_words(&tried))),
            Err(_) => {}
        }
    }
}

/// `192.0.2.1:443: no answer; [2001:db8::1]:443: ConnectRefused: …`; without the address where there is only one.
fn in_words(tried: &[(Arc<HttpPeer>, Option<String>)]) -> String {
    let outcomes = tried.iter().map(|(peer, outcome)| {
        let outcome = outcome.as_deref().unwrap_or("no answer");
        match tried.len() {
            1 => outcome.to_owned(),
            _ => format!("{}: {outcome}", peer.address()),
        }
    });
    outcomes.collect::<Vec<_>>().join("; ")
}

/// What went wrong, without addresses of ours or Pingora's own words around it.
fn reason(error: &Error) -> String {
    match error.root_cause().downcast_ref::<Error>() {
        Some(root) => root.etype().as_str().to_owned(),
        None => format!("{}: {}", error.etype().as_str(), error.root_cause()),
    }
}
