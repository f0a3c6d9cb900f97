//! One connection to an upstream, before a request is sent on it.

use std::sync::Arc;

use pingora::protocols::Stream;
use pingora::upstreams::peer::HttpPeer;

use super::h2_exchange::H2Stream;
use super::sending::SendingStream;

/// What kind of connection will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// One from the pool, or a new one.
    Any,
    /// A new one: one from the pool may be closed just then.
    New,
    /// A new one that speaks HTTP/1.1, which alone can switch to another protocol.
    NewHttp1,
}

/// A connection on which nothing was sent for this request yet.
pub struct Connection {
    pub(super) kind: ConnectionKind,
    pub(super) peer: Arc<HttpPeer>,
    /// It came from the pool.
    pub(super) reused: bool,
}

pub(super) enum ConnectionKind {
    H1(Box<SendingStream>),
    H2(Box<H2Stream>),
}

impl Connection {
    /// It came from the pool.
    pub fn is_reused(&self) -> bool {
        self.reused
    }
}

impl ConnectionKind {
    pub(super) fn h1(stream: Stream) -> Self {
        // One from the pool is wrapped already.
        let wrapped = if (*stream).as_any().is::<SendingStream>() {
            stream.into_any().downcast().expect("just asked")
        } else {
            Box::new(SendingStream::new(stream))
        };
        Self::H1(wrapped)
    }
}
