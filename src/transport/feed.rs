//! A request body that comes while it is sent: one end is fed by the client, the other one sent to the upstream.

use std::fmt::Write;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::mpsc;

/// Pieces between the client and the upstream. Each is what one read of the client gave, 64 KiB at most.
const PIECES_MAX: usize = 2;

/// Where a request body is fed in. One that is dropped before its end makes the request one that broke off.
pub struct Feed {
    sender: mpsc::Sender<Piece>,
    framing: Framing,
}

/// How a fed body is delimited on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By a length in the header, by the frames of HTTP/2, or by the end of the connection.
    Bare,
    /// In chunks (RFC 9112 §7.1).
    Chunked,
}

/// Bytes as they go on the wire, and whether they are the last.
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) is_last: bool,
}

impl Feed {
    pub(super) fn new(framing: Framing) -> (Self, FedBody) {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        (Self { sender, framing }, FedBody(receiver))
    }

    /// Waits until a piece would be taken. `false`: none ever will be, since the upstream takes no more.
    pub async fn has_room(&self) -> bool {
        self.sender.reserve().await.is_ok()
    }

    /// Feeds in a piece of the body, for which there must be room. No bytes are its end.
    pub fn push(&self, bytes: Bytes) {
        let is_last = bytes.is_empty();
        let bytes = match self.framing {
            Framing::Bare => bytes,
            Framing::Chunked => chunk(&bytes),
        };
        // What an upstream takes no more of is lost with its request.
        let _ = self.sender.try_send(Piece { bytes, is_last });
    }
}

/// One chunk; without bytes the last one.
fn chunk(bytes: &[u8]) -> Bytes {
    let mut chunk = BytesMut::with_capacity(bytes.len() + 16);
    let _ = write!(chunk, "{:x}\r\n", bytes.len());
    chunk.put_slice(bytes);
    chunk.put_slice(b"\r\n");
    chunk.freeze()
}

/// The end from which a body is sent.
pub(super) struct FedBody(mpsc::Receiver<Piece>);

impl std::fmt::Debug for FedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FedBody").finish_non_exhaustive()
    }
}

impl FedBody {
    /// The next piece, once it is there.
    ///
    /// # Errors
    /// Where the client's end was dropped before the body's.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        let piece = ready!(self.0.poll_recv(cx));
        Poll::Ready(piece.ok_or_else(|| io::Error::new(io::ErrorKind::BrokenPipe, "the client's end is gone")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_its_size_before_it_and_the_last_one_has_none() {
        assert_eq!(chunk(&[b'x'; 26]), format!("1a\r\n{}\r\n", "x".repeat(26)));
        assert_eq!(chunk(b""), "0\r\n\r\n");
    }

    #[tokio::test]
    async fn a_body_is_taken_as_fast_as_it_is_sent_and_no_faster() {
        let (feed, mut body) = Feed::new(Framing::Bare);
        for _ in 0..PIECES_MAX {
            assert!(feed.has_room().await);
            feed.push(Bytes::from_static(b"x"));
        }
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), feed.has_room());
        assert!(waiting.await.is_err(), "it is full");
        let piece = std::future::poll_fn(|cx| body.poll_next(cx)).await.unwrap();
        assert_eq!((&*piece.bytes, piece.is_last), (&b"x"[..], false));
        assert!(feed.has_room().await);
        feed.push(Bytes::new());
        drop(body);
        assert!(!feed.has_room().await, "nobody takes any more");
    }
}
