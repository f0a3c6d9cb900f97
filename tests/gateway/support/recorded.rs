//! A byte stream that remembers what was read from it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct Recorded<S> {
    stream: S,
    read: Arc<Mutex<Vec<u8>>>,
}

/// What was read from a [`Recorded`].
#[derive(Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Vec<u8>>>);

impl Recording {
    pub(crate) fn of<S>(&self, stream: S) -> Recorded<S> {
        Recorded {
            stream,
            read: Arc::clone(&self.0),
        }
    }

    /// The error codes of the GOAWAY frames among HTTP/2 frames (RFC 9113, sections 4.1 and 6.8).
    pub(crate) fn goaways(&self) -> Vec<u32> {
        let bytes = self.0.lock().expect("no test panics with it locked");
        let (mut codes, mut rest) = (Vec::new(), bytes.as_slice());
        while let [high, middle, low, kind, _flags, _, _, _, _, after @ ..] = rest {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            let Some(payload) = after.get(..length) else { break };
            if *kind == 7 {
                codes.push(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")));
            }
            rest = &after[length..];
        }
        codes
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let mut read = self.read.lock().expect("no test panics with it locked");
        read.extend_from_slice(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
