//! A client's HTTP/2 connection: its streams, until none has run for too long.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, HttpSession, handshake};
use pingora::protocols::{Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Ssl};
use pingora::server::ShutdownWatch;
use tokio::time::{sleep, timeout};

use super::registry::{Presence, Registry};
use super::shared::{Clients, Proxy};
use super::stream::ClientStream;

/// How long a client may take to close once it was told that no more streams are taken.
const FAREWELL: Duration = Duration::from_secs(5);
/// How many streams without a valid request close the connection; Pingora's limit.
const MALFORMED_MAX: usize = 32;

pub(super) async fn serve(
    clients: &Clients,
    proxy: &Proxy,
    mut stream: Box<ClientStream>,
    presence: &Arc<Presence>,
    shutdown: &ShutdownWatch,
) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    stream.pass_all();
    let client_timeout = clients.snapshot.load().client_timeout;
    let Ok(Ok(mut connection)) = timeout(client_timeout, handshake(stream, proxy.h2_options())).await else {
        return;
    };
    let mut shutdown = shutdown.clone();
    let mut is_leaving = false;
    let mut malformed = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = poll_fn(|cx| presence.poll_dismissed(cx)), if !is_leaving => None,
            _ = shutdown.wait_for(|stops| *stops), if !is_leaving => None,
            accepted = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => Some(accepted),
            () = sleep(FAREWELL), if is_leaving && presence.is_idle() => return,
        };
        match accepted {
            None => {
                // GOAWAY: what runs is answered to its end, and nothing new begins.
                connection.graceful_shutdown();
                is_leaving = true;
            }
            Some(Ok(Some(H2Accept::Session(session)))) => {
                let running = Running::begin(presence, &clients.registry);
                let (proxy, shutdown) = (Arc::clone(proxy), shutdown.clone());
                tokio::spawn(async move {
                    let _running = running;
                    proxy
                        .process_new_http(ServerSession::new_http2(session), &shutdown)
                        .await;
                });
            }
            Some(Ok(Some(H2Accept::Rejected))) => {
                malformed += 1;
                if malformed == MALFORMED_MAX {
                    return;
                }
            }
            Some(Ok(None) | Err(_)) => return,
        }
    }
}

/// A stream that runs.
struct Running {
    presence: Arc<Presence>,
    registry: Arc<Registry>,
}

impl Running {
    fn begin(presence: &Arc<Presence>, registry: &Arc<Registry>) -> Self {
        presence.begin();
        Self {
            presence: Arc::clone(presence),
            registry: Arc::clone(registry),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.presence.end(self.registry.now_ms());
    }
}
