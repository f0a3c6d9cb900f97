//! A client's connection, as Pingora's HTTP sees it: one request at a time, with clocks that Pingora lacks.
//!
//! Over HTTP/1 it hands out the running request's body and nothing behind it: what a client sends ahead waits here for
//! its turn. So the header of every request is read by us, within bounds, and Pingora gets it complete. Over HTTP/2
//! bytes pass unchanged.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::send_clock::SendClock;
use crate::protocol::chunked::ChunkedBody;
use crate::protocol::request_header::BodyFraming;

/// How much is read of a request that a client sends ahead while the previous one runs.
const AHEAD_MAX_BYTES: usize = 16 * 1024;
/// How much is read at once while there is no buffer. It lies on the stack, so that an idle connection has none.
const PIECE_BYTES: usize = 4 * 1024;
const SWITCHING_PROTOCOLS: &[u8] = b"HTTP/1.1 101";

#[derive(Debug)]
pub(super) struct ClientStream {
    inner: Stream,
    /// Bytes that were read but not handed out yet.
    pub(super) ahead: BytesMut,
    body: Body,
    /// The request asked for another protocol, and no final response has begun.
    asks_upgrade: bool,
    send_clock: SendClock,
}

/// What may be handed out to the reader.
#[derive(Debug)]
enum Body {
    Length(u64),
    Chunked(Box<ChunkedBody>),
    /// Nothing more belongs to the running request, if one runs.
    Ended,
    /// Everything: this is not HTTP/1, or nobody will look for a request in it.
    Raw,
}

impl ClientStream {
    /// Wraps a connection. `send_timeout`: how long the client may take none of what is written.
    pub(super) fn new(inner: Stream, send_timeout: Duration) -> Self {
        Self {
            send_clock: SendClock::new(inner.get_socket_digest(), send_timeout),
            inner,
            ahead: BytesMut::new(),
            body: Body::Ended,
            asks_upgrade: false,
        }
    }

    /// Starts handing out the body of a request whose header was taken.
    pub(super) fn begin_body(&mut self, framing: BodyFraming, asks_upgrade: bool) {
        self.asks_upgrade = asks_upgrade;
        self.body = match framing {
            BodyFraming::Length(0) => Body::Ended,
            BodyFraming::Length(left) => Body::Length(left),
            BodyFraming::Chunked => Body::Chunked(Box::default()),
        };
    }

    /// Starts handing out everything.
    pub(super) fn pass_all(&mut self) {
        self.body = Body::Raw;
    }

    /// Reads more into `ahead`: returns how many bytes, or 0 at the client's end.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
        let mut piece = ReadBuf::uninit(&mut piece);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut piece))?;
        self.ahead.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    }

    /// Returns how many of `bytes`, which come next, belong to the running request.
    fn claim(body: &mut Body, bytes: &[u8]) -> io::Result<usize> {
        let (claimed, ended) = match body {
            Body::Raw => (bytes.len(), false),
            Body::Ended => (0, true),
            Body::Length(left) => {
                let claimed = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= claimed as u64;
                (claimed, *left == 0)
            }
            Body::Chunked(chunks) => {
                let claimed = chunks
                    .feed(bytes)
                    .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
                (claimed, chunks.is_ended())
            }
        };
        if ended {
            *body = Body::Ended;
        }
        Ok(claimed)
    }

    /// A written 101 makes of the connection something else than HTTP.
    fn watch_upgrade(&mut self, written: &[u8]) {
        if self.asks_upgrade {
            if written.starts_with(SWITCHING_PROTOCOLS) {
                self.body = Body::Raw;
            }
            self.asks_upgrade = written.starts_with(b"HTTP/1.1 10") && !matches!(self.body, Body::Raw);
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if matches!(this.body, Body::Ended) {
                if this.ahead.len() >= AHEAD_MAX_BYTES {
                    // More is read when its turn has come.
                    return Poll::Pending;
                }
                if ready!(this.poll_ahead(cx))? == 0 {
                    return Poll::Ready(Ok(()));
                }
            } else if !this.ahead.is_empty() {
                let most = this.ahead.len().min(buf.remaining());
                let claimed = Self::claim(&mut this.body, &this.ahead[..most])?;
                buf.put_slice(&this.ahead[..claimed]);
                this.ahead.advance(claimed);
                return Poll::Ready(Ok(()));
            } else {
                let before = buf.filled().len();
                ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
                let claimed = Self::claim(&mut this.body, &buf.filled()[before..])?;
                this.ahead.extend_from_slice(&buf.filled()[before + claimed..]);
                buf.set_filled(before + claimed);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.watch_upgrade(buf);
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.send_clock.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.watch_upgrade(bufs.first().map_or(&[], |buf| buf));
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.send_clock.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        this.send_clock.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let closed = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.send_clock.watch(cx, closed)
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // Not the inner stream's own, which would wait for the client without a clock.
        let _ = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for ClientStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl Peek for ClientStream {}

impl GetTimingDigest for ClientStream {
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

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}
