//! The clock on a client that takes no bytes: it starts when a write has to wait, and restarts with every byte that is
//! taken.
//!
//! The kernel wakes a writer only when much of its buffer is free again, which may take minutes with a slow reader. So
//! before a client is given up, the kernel is asked whether it has acknowledged anything meanwhile.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::SocketDigest;
use tokio::time::{Instant, Sleep, sleep_until};

/// How often the kernel is asked within the clock's time.
const LOOKS: u32 = 4;

#[derive(Debug)]
pub(super) struct SendClock {
    socket: Option<Arc<SocketDigest>>,
    timeout: Duration,
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    /// When the client last took some bytes, as far as is known.
    taken_at: Instant,
    acknowledged_bytes: u64,
    look: Pin<Box<Sleep>>,
}

impl SendClock {
    /// Starts the clock. `socket`: `None` if it cannot be asked.
    pub(super) fn new(socket: Option<Arc<SocketDigest>>, timeout: Duration) -> Self {
        Self {
            socket,
            timeout,
            waiting: None,
        }
    }

    /// Passes on the result of a write, and turns a write that has waited for too long into an error.
    pub(super) fn watch<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.waiting = None;
            return write;
        }
        ready!(self.poll_expired(cx));
        self.waiting = None;
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client has taken nothing of its answer for too long",
        )))
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let step = self.timeout / LOOKS;
        loop {
            let acknowledged_bytes = || {
                let socket = self.socket.as_ref()?;
                Some(socket.tcp_info()?.tcpi_bytes_acked)
            };
            let waiting = self.waiting.get_or_insert_with(|| {
                let now = Instant::now();
                Box::new(Waiting {
                    taken_at: now,
                    acknowledged_bytes: acknowledged_bytes().unwrap_or(0),
                    look: Box::pin(sleep_until(now + step)),
                })
            });
            ready!(waiting.look.as_mut().poll(cx));
            let now = Instant::now();
            match acknowledged_bytes() {
                Some(bytes) if bytes > waiting.acknowledged_bytes => {
                    waiting.acknowledged_bytes = bytes;
                    waiting.taken_at = now;
                }
                _ if now >= waiting.taken_at + self.timeout => return Poll::Ready(()),
                _ => {}
            }
            waiting.look.as_mut().reset(now + step);
        }
    }
}
