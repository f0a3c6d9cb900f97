//! The connections of clients, between their acceptance and Pingora's HTTP: how many there may be, how long one may be idle,
//! and the reading of each request's header.
//!
//! Pingora hands every connection over before it reads a byte of it (a "custom session"), and is given requests.

mod http1;
mod http2;
mod refusal;
pub(super) mod registry;
mod send_clock;
mod shared;
mod stream;
pub(super) mod tls;

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::service_stop::ServiceStop;
use crate::memory;
use crate::transport::descriptors;
use http1::{is_begun, read_on};
use registry::Place;
use shared::Proxy;
use stream::ClientStream;
use tls::TlsListeners;

pub(super) use shared::Clients;

/// How a connection of an HTTP/2 client without TLS begins (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How often idle connections are looked for within the time that they may be idle.
const LOOKS: u32 = 4;
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);
/// So often after the last connection has closed, one look apart, workers give up what they have freed: one that has just
/// done so does not, and one that is busy may miss a time.
const TIDYINGS: u32 = 3;

impl Clients {
    /// Closes connections that have been idle for too long, and all idle ones once `stop` says so.
    pub(super) async fn watch_idle(self: Arc<Self>, stop: ServiceStop) {
        loop {
            let limit = self.snapshot.load().idle;
            tokio::select! {
                () = sleep((limit / LOOKS).min(LOOK_EVERY_MAX)) => {
                    self.registry.close_idle(limit);
                    self.tidy_workers();
                }
                () = stop.idle_closing() => return self.registry.close_all(),
            }
        }
    }

    /// Has the workers give up the memory that closed connections have left them with. Nobody can be asked for by name, so
    /// there are more tasks than workers, of which those that are idle take some.
    fn tidy_workers(&self) {
        let one_less = |left: u32| left.checked_sub(1);
        let due = self
            .tidyings
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        if due.is_ok() {
            for _ in 0..2 * Handle::current().metrics().num_workers() {
                tokio::spawn(async { tidy() });
            }
        }
    }

    /// Makes the handler that Pingora calls with each connection of a service; `h2c`: its listeners take HTTP/2 without
    /// TLS.
    pub(super) fn handler(
        self: &Arc<Self>,
        tls: &Arc<TlsListeners>,
        h2c: bool,
    ) -> impl Fn(Proxy, Stream, &ShutdownWatch) -> Handled + use<> {
        let (clients, tls) = (Arc::clone(self), Arc::clone(tls));
        move |proxy, stream, shutdown| {
            let (clients, tls, shutdown) = (Arc::clone(&clients), Arc::clone(&tls), shutdown.clone());
            // In a task of its own, so that what Pingora needed to get here is not kept for as long as the connection is open.
            tokio::spawn(async move {
                clients.serve(&proxy, stream, &tls, h2c, &shutdown).await;
                tidy();
                clients.tidyings.store(TIDYINGS, Ordering::Relaxed);
            });
            Box::pin(ready(None))
        }
    }

    async fn serve(&self, proxy: &Proxy, stream: Stream, tls: &TlsListeners, h2c: bool, shutdown: &ShutdownWatch) {
        let snapshot = self.snapshot.load_full();
        let acceptor = tls.of(&stream);
        let Some(place) = self.enter(stream.id(), snapshot.connections) else {
            if acceptor.is_none() {
                Box::pin(refusal::no_room(ClientStream::new(stream, snapshot.send_timeout))).await;
            }
            return;
        };
        let (stream, is_h2) = match acceptor {
            None => (stream, false),
            Some(acceptor) => match Box::pin(tls::accept(acceptor, stream, snapshot.client_timeout)).await {
                Some(stream) => {
                    let is_h2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
                    (stream, is_h2)
                }
                None => return,
            },
        };
        let mut stream = Box::new(ClientStream::new(stream, snapshot.send_timeout));
        drop(snapshot);
        let presence = place.presence();
        presence.end(self.registry.now_ms());
        if is_h2 || (h2c && acceptor.is_none() && self.has_preface(&mut stream, &presence).await) {
            Box::pin(http2::serve(self, proxy, stream, &presence, shutdown)).await;
        } else {
            http1::serve(self, proxy, stream, &presence, shutdown).await;
        }
    }

    /// A place for the connection that the descriptor `number` is of.
    fn enter(&self, number: i32, most: Option<usize>) -> Option<Place> {
        let most = most.unwrap_or_else(descriptors::connections_by_default);
        let place = self.registry.enter(most, descriptors::is_short(number));
        if place.is_none() {
            refusal::tell(most);
        }
        place
    }

    /// Returns whether the connection begins as HTTP/2 does.
    async fn has_preface(&self, stream: &mut ClientStream, presence: &registry::Presence) -> bool {
        if !is_begun(stream, presence).await {
            return false;
        }
        let until = Instant::now() + self.snapshot.load().client_timeout;
        while H2_PREFACE.starts_with(&stream.ahead) && stream.ahead.len() < H2_PREFACE.len() {
            if !read_on(stream, until).await.unwrap_or(false) {
                return false;
            }
        }
        stream.ahead.starts_with(H2_PREFACE)
    }
}

fn tidy() {
    memory::give_up_own_freed(Instant::now().into_std());
}

type Handled = Pin<Box<dyn Future<Output = Option<Stream>> + Send + 'static>>;
