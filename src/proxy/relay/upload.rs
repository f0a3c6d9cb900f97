//! What the client sends, on its way to the upstream: a request's body, or its half of a switched connection.

use std::time::Duration;

use bytes::Bytes;
use pingora_proxy::Session;
use tokio::time::Instant;

use super::super::reading;
use super::super::refusal::{Refusal, Stop};
use crate::transport::Feed;
use crate::transport::RelayedBody;
use crate::transport::clock::before;

pub(super) struct Upload {
    /// Where the bytes go, for as long as the upstream takes any.
    feed: Option<Feed>,
    /// Where the bytes will go once the protocol is switched.
    feed_when_switched: Option<Feed>,
    /// Bytes that were read and had no room yet.
    pending: Option<Bytes>,
    /// The client has sent all of it.
    is_read: bool,
    has_switched: bool,
    /// The time since which the client is waited for.
    awaited_since: Instant,
}

impl Upload {
    pub(super) fn new(feed: Option<Feed>, body: RelayedBody) -> Self {
        let (feed, feed_when_switched) = match body {
            RelayedBody::Upgrade => (None, feed),
            _ => (feed, None),
        };
        Self {
            feed,
            feed_when_switched,
            pending: None,
            is_read: matches!(body, RelayedBody::None | RelayedBody::Upgrade),
            has_switched: false,
            awaited_since: Instant::now(),
        }
    }

    /// The client has sent all that it had to.
    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    /// Switches: from here on both sides speak another protocol, for as long as they like.
    pub(super) fn switch(&mut self) {
        self.feed = self.feed_when_switched.take();
        self.is_read = false;
        self.has_switched = true;
    }

    /// Returns whether something is to be fed in: a piece that was read, or the end.
    pub(super) fn wants_room(&self) -> bool {
        self.feed.is_some() && (self.pending.is_some() || self.is_read)
    }

    /// Waits until there is room for it. `false`: there never will be, because the upstream takes no more.
    pub(super) async fn has_room(&self) -> bool {
        match &self.feed {
            Some(feed) => feed.has_room().await,
            None => false,
        }
    }

    /// Feeds it in, or drops it where the upstream takes no more: its answer may still come. Returns whether that was
    /// the end of a switched connection.
    pub(super) fn hand_over(&mut self, has_room: bool) -> bool {
        let pending = self.pending.take();
        let is_end = pending.is_none();
        self.awaited_since = Instant::now();
        if has_room && let Some(feed) = &self.feed {
            feed.push(pending.unwrap_or_default());
        }
        if is_end || !has_room {
            self.feed = None;
        }
        is_end && self.has_switched
    }

    /// Returns whether the client may be read: for more bytes, or to notice that it leaves.
    pub(super) fn may_read(&self) -> bool {
        self.pending.is_none() && !(self.has_switched && self.is_read)
    }

    /// Reads the next piece. Cancel-safe.
    ///
    /// # Errors
    /// The client has left, violates HTTP, or sends nothing for as long as `silence`.
    pub(super) async fn read(&self, session: &mut Session, silence: Duration) -> Result<Option<Bytes>, Stop> {
        let reading = session.read_body_or_idle(self.is_read);
        let read = if self.is_read || self.has_switched {
            reading.await
        } else {
            let read = before(self.awaited_since + silence, reading).await;
            read.map_err(|_| Refusal::Silent { limit: silence })?
        };
        read.map_err(reading::broken)
    }

    /// Takes in what was read. `is_done`: it was the last.
    pub(super) fn take(&mut self, bytes: Option<Bytes>, is_done: bool) {
        self.awaited_since = Instant::now();
        self.is_read = self.is_read || is_done;
        self.pending = bytes.filter(|bytes| !bytes.is_empty() && self.feed.is_some());
    }
}
