//! A stream that sends a queued request while its owner waits for the answer.
//!
//! Reading drives the writing, so that an upstream that answers before it has taken the whole body is heard, and one that
//! never reads can't block the attempt. A small body goes out in one write with its header.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::body::Segments;

/// Bodies up to this are copied behind the header: one system call instead of two.
const ONE_WRITE_MAX_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct SendingStream {
    inner: Stream,
    queue: VecDeque<Bytes>,
    sending: bool,
    /// When the upstream last took bytes.
    taken_at: Instant,
}

impl SendingStream {
    pub(super) fn new(inner: Stream) -> Self {
        Self {
            inner,
            queue: VecDeque::new(),
            sending: false,
            taken_at: Instant::now(),
        }
    }

    /// Queues a request: its header as it goes on the wire, and its body.
    pub(super) fn queue(&mut self, mut header: BytesMut, body: &Segments) {
        self.queue.clear();
        if body.len() <= ONE_WRITE_MAX_BYTES {
            body.iter().for_each(|part| header.extend_from_slice(part));
            self.queue.push_back(header.freeze());
        } else {
            self.queue.push_back(header.freeze());
            self.queue.extend(body.iter().filter(|part| !part.is_empty()).cloned());
        }
        self.sending = true;
        self.taken_at = Instant::now();
    }

    pub(super) fn taken_at(&self) -> Instant {
        self.taken_at
    }

    /// Writes as much as the upstream takes now. A write error only ends the sending: the answer may be there to read.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if self.sending && self.poll_send(cx).is_ready() {
            self.queue.clear();
            self.sending = false;
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(front) = self.queue.front_mut() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, front))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            front.advance(written);
            if front.is_empty() {
                self.queue.pop_front();
            }
            self.taken_at = Instant::now();
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }
}

impl AsyncRead for SendingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.drive(cx);
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for SendingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
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
