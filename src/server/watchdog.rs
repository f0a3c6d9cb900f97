//! The watchdog: systemd is told that all is well only if requests are answered. Every half `WatchdogSec` a request
//! goes to the threads that serve clients, on a socket pair instead of a listener; if no answer comes, systemd is told
//! nothing.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::apps::ServerApp;
use pingora::protocols::l4::stream::Stream;
use pingora::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::notify;
use crate::proxy::{Snapshot, WatchdogProxy};

const ANSWER: &[u8] = b"HTTP/1.1 ";
/// How soon a broken data path is probed again: it may recover before systemd ends the process.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Returns how often the service manager wants to hear; `None` if it does not.
pub(super) fn wanted() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

/// Answers the watchdog's requests on the threads of a service.
pub(super) struct ProbedService {
    app: Arc<HttpProxy<WatchdogProxy>>,
    requests: mpsc::Receiver<UnixStream>,
}

/// The way of the watchdog's requests to a [`ProbedService`].
pub(super) struct Probe(mpsc::Sender<UnixStream>);

impl ProbedService {
    pub(super) fn new(conf: &Arc<ServerConf>, snapshot: &Arc<ArcSwap<Snapshot>>) -> (Self, Probe) {
        let (sender, requests) = mpsc::channel(1);
        let app = Arc::new(http_proxy(conf, WatchdogProxy::new(Arc::clone(snapshot))));
        (Self { app, requests }, Probe(sender))
    }

    /// Answers until the watchdog is gone.
    pub(super) async fn run(mut self) {
        let (_never, shutdown) = watch::channel(false);
        while let Some(stream) = self.requests.recv().await {
            let Ok(stream) = tokio::net::UnixStream::from_std(stream) else {
                continue;
            };
            let (app, shutdown) = (Arc::clone(&self.app), shutdown.clone());
            tokio::spawn(async move { app.process_new(Box::new(Stream::from(stream)), &shutdown).await });
        }
    }
}

impl Probe {
    /// Returns when the service has answered a request completely.
    async fn send(&self) -> io::Result<()> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        self.0.send(far).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        let mut near = tokio::net::UnixStream::from_std(near)?;
        near.write_all(WatchdogProxy::REQUEST.as_bytes()).await?;
        let mut begin = [0; ANSWER.len()];
        near.read_exact(&mut begin).await?;
        if begin != ANSWER {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // To its end: a client that leaves within its answer is an error, and errors are logged.
        tokio::io::copy(&mut near, &mut tokio::io::sink()).await?;
        Ok(())
    }
}

/// Keeps the service manager's watchdog informed for as long as the process runs.
pub(super) async fn run(interval: Duration, probes: Vec<Probe>) {
    let half = interval / 2;
    let mut silent = false;
    loop {
        let begin = Instant::now();
        let all = async {
            for probe in &probes {
                probe.send().await?;
            }
            io::Result::Ok(())
        };
        match timeout(half, all).await {
            Ok(Ok(())) => {
                notify::alive();
                silent = false;
                sleep_until(begin + half).await;
            }
            outcome => {
                if !silent {
                    let reason = match outcome {
                        Ok(Err(error)) => error.to_string(),
                        _ => format!("no answer within {} ms", half.as_millis()),
                    };
                    log::error!(
                        reason = reason.as_str();
                        "requests are not answered any more: systemd is not told that all is well"
                    );
                }
                silent = true;
                sleep_until(Instant::now() + PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}
