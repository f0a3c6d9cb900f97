//! A stream that sends a queued request while its owner waits for the answer.
//!
//! Reading drives the writing, so that an upstream that answers before it has taken the whole body is heard, and one that
//! never reads can't block the attempt. A small body goes out in one write with its header. Since nobody else knows how
//! far the writing got, the stream also says whether another request may follow on it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::feed::FedBody;
use super::outgoing::Awaits;
use super::turns::Turns;
use crate::body::Segments;

/// Bodies up to this are copied behind the header: one system call instead of two.
const ONE_WRITE_MAX_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct SendingStream {
    inner: Stream,
    queue: VecDeque<Bytes>,
    /// What is to come of a body that is sent as it comes.
    fed: Option<FedBody>,
    /// The request is complete without it: it is one half of a connection that speaks another protocol.
    is_switched_half: bool,
    progress: Progress,
    /// The request went in one piece: header and body together.
    is_one_piece: bool,
    /// Another request was sent on this connection before.
    has_served: bool,
    /// The upstream said something before it was asked.
    spoke_first: bool,
    /// When the upstream last took bytes.
    taken_at: Instant,
}

/// How far the request has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Not a byte was written yet.
    Queued,
    Sending,
    /// Every byte was written and flushed.
    Sent,
    /// A write failed, and the rest was dropped.
    Failed,
}

impl SendingStream {
    pub(super) fn new(inner: Stream) -> Self {
        Self {
            inner,
            queue: VecDeque::new(),
            fed: None,
            is_switched_half: false,
            progress: Progress::Sent,
            is_one_piece: true,
            has_served: false,
            spoke_first: false,
            taken_at: Instant::now(),
        }
    }

    /// The stream below one that Pingora's session owns.
    pub(super) fn of(stream: &Stream) -> Option<&Self> {
        (**stream).as_any().downcast_ref()
    }

    /// Queues a request: its header as it goes on the wire, and its body.
    pub(super) fn queue(&mut self, mut header: BytesMut, body: &Segments) {
        self.queue.clear();
        self.is_one_piece = body.len() <= ONE_WRITE_MAX_BYTES;
        if self.is_one_piece {
            body.iter().for_each(|part| header.extend_from_slice(part));
            self.queue.push_back(header.freeze());
        } else {
            self.queue.push_back(header.freeze());
            self.queue.extend(body.iter().filter(|part| !part.is_empty()).cloned());
        }
        self.progress = Progress::Queued;
        self.taken_at = Instant::now();
    }

    /// Queues the header of a request whose body is fed in.
    pub(super) fn queue_fed(&mut self, header: BytesMut, body: FedBody) {
        self.queue(header, &Segments::from(Bytes::new()));
        self.fed = Some(body);
    }

    /// The header is written by Pingora's session; `half` is what follows once the protocol is switched.
    pub(super) fn queue_switched(&mut self, half: FedBody) {
        self.fed = Some(half);
        self.is_switched_half = true;
    }

    pub(super) fn taken_at(&self) -> Instant {
        self.taken_at
    }

    /// Whose turn it is.
    pub(super) fn awaits(&self) -> Awaits {
        let since = self.taken_at;
        if !self.queue.is_empty() {
            Awaits::Room { since }
        } else if self.fed.is_some() && !self.is_switched_half {
            Awaits::Client
        } else {
            Awaits::Answer { since }
        }
    }

    /// Whether the upstream can have no part of this request left to wait for: everything that was queued was written
    /// and flushed without an error, and it did not answer before it was asked.
    pub(super) fn has_sent_all(&self) -> bool {
        self.progress == Progress::Sent && !self.spoke_first
    }

    /// Whether an upstream that refused the request has taken it all the same, as it seems. Of a large one, what was
    /// written may still wait in buffers between here and there, with an upstream behind them that has stopped
    /// reading.
    pub(super) fn was_taken_though_refused(&self) -> bool {
        self.is_one_piece
    }

    /// Writes as much as the upstream takes now. A write error only ends the sending: the answer may be there to read.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.progress, Progress::Queued | Progress::Sending) {
            return;
        }
        self.progress = match self.poll_send(cx) {
            Poll::Pending => Progress::Sending,
            Poll::Ready(Ok(())) => Progress::Sent,
            Poll::Ready(Err(_)) => Progress::Failed,
        };
        if self.progress != Progress::Sending {
            self.queue.clear();
            self.fed = None;
            self.has_served = true;
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut turns = Turns::default();
        loop {
            turns.count().map_err(io::Error::other)?;
            ready!(self.poll_write_queue(cx))?;
            let Some(fed) = &mut self.fed else { break };
            let Poll::Ready(piece) = fed.poll_next(cx)? else {
                // What was written is not to wait for what has yet to come.
                ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
                return Poll::Pending;
            };
            self.taken_at = Instant::now();
            if piece.is_last {
                self.fed = None;
            }
            if !piece.bytes.is_empty() {
                self.queue.push_back(piece.bytes);
            }
            turns.moved_on();
        }
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        if self.is_switched_half {
            return Pin::new(&mut self.inner).poll_shutdown(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_queue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut turns = Turns::default();
        while let Some(front) = self.queue.front_mut() {
            turns.count().map_err(io::Error::other)?;
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, front))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            turns.moved_on();
            front.advance(written);
            if front.is_empty() {
                self.queue.pop_front();
            }
            self.taken_at = Instant::now();
        }
        Poll::Ready(Ok(()))
    }

    /// Looks for bytes that are there before the request is. On a connection that has served, they are left over from
    /// somebody else's answer, and must not be taken for this one's. On a new one they may well be meant (a server that
    /// is full says so at once), but what the request itself brings would then be read by the next one.
    fn poll_read_before_sending(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if self.has_served && buf.filled().len() > filled {
            buf.set_filled(filled);
            self.progress = Progress::Failed;
            self.queue.clear();
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "bytes of another answer on a kept connection",
            )));
        }
        self.spoke_first = true;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for SendingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.progress == Progress::Queued
            && let Poll::Ready(read) = self.poll_read_before_sending(cx, buf)
        {
            // What was read is handed out now; the next read goes on with the sending.
            if self.progress == Progress::Queued {
                self.progress = Progress::Sending;
            }
            return Poll::Ready(read);
        }
        self.drive(cx);
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for SendingStream {
    /// Queues what Pingora's session writes itself: the header of a request to switch protocols, of which it has to know.
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.queue.push_back(Bytes::copy_from_slice(buf));
        self.progress = Progress::Queued;
        self.taken_at = Instant::now();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for SendingStream {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for SendingStream {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for SendingStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

#[async_trait]
impl Peek for SendingStream {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buf).await
    }
}

impl GetTimingDigest for SendingStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for SendingStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for SendingStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

#[cfg(test)]
mod tests;
