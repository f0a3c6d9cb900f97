//! How long the parts of one attempt took, once it is connected.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// Written by the session, each once; read by the proxy.
#[derive(Debug, Default)]
pub struct Timings {
    began: OnceLock<Instant>,
    headers: OnceLock<Duration>,
    judged: OnceLock<Judged>,
}

#[derive(Debug)]
struct Judged {
    at: Instant,
    /// Since the header.
    after: Duration,
}

impl Timings {
    /// The request begins to be sent.
    pub(super) fn begin(&self, now: Instant) {
        let _ = self.began.set(now);
    }

    /// The final header came, so long after the request's last byte had been taken.
    pub(super) fn header_came(&self, after: Duration) {
        let _ = self.headers.set(after);
    }

    /// The answer is judged; its header had come at `header_at`.
    pub(super) fn judged(&self, header_at: Instant, now: Instant) {
        let after = now.duration_since(header_at);
        let _ = self.judged.set(Judged { at: now, after });
    }

    /// From the request's last byte to the final header.
    pub fn headers(&self) -> Option<Duration> {
        self.headers.get().copied()
    }

    /// From the header to the first meaningful event, or to whatever else the answer was judged by.
    pub fn first_token(&self) -> Option<Duration> {
        self.judged.get().map(|judged| judged.after)
    }

    /// How long the upstream was waited for: from sending to the judgement, or to `now` where there is none.
    pub fn waited(&self, now: Instant) -> Duration {
        let until = self.judged.get().map_or(now, |judged| judged.at);
        self.began
            .get()
            .map_or(Duration::ZERO, |began| until.saturating_duration_since(*began))
    }
}
