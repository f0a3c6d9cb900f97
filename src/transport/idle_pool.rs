//! Idle HTTP/1.1 connections to upstreams.
//!
//! Pingora's own pool has a task for each idle connection, and asks for one back by waking that task: where the two run on
//! different threads, the connection may be thrown away in the hand-over. Here a connection is simply taken out.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use pingora::protocols::Stream;
use tokio::io::AsyncReadExt;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep};

use super::origin::IDLE_IN_POOL;
use super::turns::Turns;

/// How often idle connections are looked at: what an upstream has closed is closed here no later.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(1);

pub(super) struct IdlePool {
    connections_max: usize,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// By [`reuse_hash`](pingora::upstreams::peer::Peer::reuse_hash), those that served last at the back.
    by_peer: HashMap<u64, VecDeque<Waiting>>,
    count: usize,
    /// Somebody sweeps.
    is_swept: bool,
}

struct Waiting {
    stream: Stream,
    since: Instant,
}

impl IdlePool {
    pub(super) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self {
            connections_max,
            idle: Mutex::default(),
        })
    }

    /// The connection to a peer that has served last, if it is open still.
    pub(super) fn take(&self, peer: u64) -> Option<Stream> {
        for _ in 0..=self.connections_max {
            let mut waiting = self.lock().take(peer)?;
            if is_open(&mut waiting.stream) {
                return Some(waiting.stream);
            }
        }
        None
    }

    /// Keeps a connection for the next request. Where there are as many as may be, the one that waits longest makes room.
    pub(super) fn put(self: &Arc<Self>, peer: u64, mut stream: Stream) {
        if self.connections_max == 0 || !is_open(&mut stream) {
            return;
        }
        let mut idle = self.lock();
        let dropped = (idle.count >= self.connections_max).then(|| idle.take_oldest());
        let since = Instant::now();
        idle.by_peer
            .entry(peer)
            .or_default()
            .push_back(Waiting { stream, since });
        idle.count += 1;
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        drop(idle);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn take(&mut self, peer: u64) -> Option<Waiting> {
        let waiting = self.by_peer.get_mut(&peer)?.pop_back()?;
        self.count -= 1;
        Some(waiting)
    }

    fn take_oldest(&mut self) -> Option<Waiting> {
        let oldest = self
            .by_peer
            .iter()
            .filter_map(|(peer, all)| Some((all.front()?.since, *peer)));
        let (_, peer) = oldest.min()?;
        let waiting = self.by_peer.get_mut(&peer)?.pop_front()?;
        self.count -= 1;
        Some(waiting)
    }

    /// Takes out what is too old or closed. Whether anything is left.
    fn clean(&mut self, now: Instant) -> (Vec<Waiting>, bool) {
        let mut gone = Vec::new();
        self.by_peer.retain(|_, all| {
            for mut waiting in std::mem::take(all) {
                if now.duration_since(waiting.since) < IDLE_IN_POOL && is_open(&mut waiting.stream) {
                    all.push_back(waiting);
                } else {
                    gone.push(waiting);
                }
            }
            !all.is_empty()
        });
        self.count -= gone.len();
        self.is_swept = self.count > 0;
        (gone, self.is_swept)
    }
}

/// Looks at what is idle again and again, until nothing is.
async fn sweep(pool: Weak<IdlePool>) {
    let mut turns = Turns::default();
    loop {
        if turns.next().await.is_err() {
            return;
        }
        sleep(BETWEEN_SWEEPS).await;
        turns.moved_on();
        let Some(pool) = pool.upgrade() else { return };
        let (gone, goes_on) = pool.lock().clean(Instant::now());
        drop(gone);
        if !goes_on {
            return;
        }
    }
}

/// Whether nothing has come since: an upstream has nothing to say while it isn't asked, but that it closes.
fn is_open(stream: &mut Stream) -> bool {
    let mut byte = [0];
    unconstrained(stream.read(&mut byte)).now_or_never().is_none()
}

#[cfg(test)]
mod tests;
