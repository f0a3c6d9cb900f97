//! The process: listeners, Pingora's server around the proxy, signals, readiness and the end.

mod balance;
mod listeners;
mod notify;
mod shutdown;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use pingora_core::apps::HttpServerOptions;
use pingora_core::connectors::ConnectorOptions;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_proxy::ProxyServiceBuilder;
use thiserror::Error;

use crate::config::{Config, ListenAddress};
use crate::proxy::{Gateway, InFlight, Snapshot};
use crate::transport::JudgingConnector;
use crate::transport::origin::OriginError;
use listeners::{Listeners, OnBoundSockets};
use shutdown::Shutdown;

/// Idle connections to upstreams, over all of them.
const POOLED_CONNECTIONS_MAX: usize = 1024;

/// Why the server did not start.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {reason}{}", hint(.reason))]
    Listen { address: String, reason: std::io::Error },
    #[error("listener {address}: tls: {reason}")]
    Tls { address: String, reason: String },
    #[error("signals can't be watched: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Origin(#[from] OriginError),
}

fn hint(reason: &std::io::Error) -> &'static str {
    match reason.kind() {
        std::io::ErrorKind::AddrInUse => "; another process listens there (`ss -ltnp` tells which)",
        std::io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE, sockets need a directory that this user may write to"
        }
        std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// Where the server listens, once it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    Tcp { address: SocketAddr, tls: bool },
    Unix(PathBuf),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { address, tls } => write!(f, "{}://{address}", if *tls { "https" } else { "http" }),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Serves until a signal ends the process; returns only on errors at start. `on_ready` is called once, when
/// connections are accepted.
///
/// # Errors
/// Where a listener can't be bound or a certificate can't be used: then nothing was started.
pub fn run(config: &Config, on_ready: impl FnOnce(&[Bound]) + Send + 'static) -> Result<(), ServeError> {
    let loaded_at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::compile(config, loaded_at, None)?));
    let in_flight = InFlight::default();
    let shutdown = Shutdown::watch(in_flight.clone(), config.server.drain).map_err(ServeError::Signals)?;
    let listeners = Listeners::bind(&config.listen)?;

    let conf = server_conf(config);
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let conf = Arc::clone(&server.configuration);
    let connector = JudgingConnector::new(&ConnectorOptions::from_server_conf(&conf));
    // Whether a listener takes HTTP/2 without TLS is a setting of the service in Pingora, so each kind has its own.
    for h2c in [false, true] {
        let of_kind: Vec<_> = config.listen.iter().filter(|listener| listener.h2c == h2c).collect();
        if of_kind.is_empty() {
            continue;
        }
        let gateway = Gateway::new(Arc::clone(&snapshot), connector.clone(), in_flight.clone());
        let mut options = HttpServerOptions::default();
        options.h2c = h2c;
        let mut service = ProxyServiceBuilder::new(&conf, gateway)
            .name(if h2c { "gateway-h2c" } else { "gateway" })
            .custom(connector.clone(), Arc::new(|_, _, _| Box::pin(async { None })))
            .server_options(options)
            .build();
        listeners::add(&mut service, &of_kind)?;
        server.add_service(OnBoundSockets::new(service, listeners.sockets()));
    }

    server.add_service(balance::service(snapshot, connector));

    notify::when_running(server.watch_execution_phase(), listeners.into_bound(), on_ready);
    server.run(RunArgs {
        shutdown_signal: Box::new(shutdown),
    });
    Ok(())
}

fn server_conf(config: &Config) -> ServerConf {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = config.server.threads.unwrap_or(available);
    // Pingora's own loop must not end before a request's budget does.
    let budgets = config
        .routes
        .iter()
        .map(|route| config.policy.retry.with(&route.overrides.retry).attempts);
    let attempts = budgets.chain([config.policy.retry.attempts]).max().unwrap_or(1);
    ServerConf {
        threads,
        max_retries: usize::try_from(attempts).unwrap_or(usize::MAX).saturating_add(1),
        upstream_keepalive_pool_size: POOLED_CONNECTIONS_MAX.div_ceil(threads),
        // Pingora sleeps through the whole of it; `Shutdown` ends the process as soon as nothing is in flight.
        grace_period_seconds: Some(config.server.drain.as_secs().saturating_add(1)),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    }
}

impl From<&ListenAddress> for String {
    /// As Pingora knows the listener.
    fn from(address: &ListenAddress) -> Self {
        match address {
            ListenAddress::Tcp(address) => address.clone(),
            ListenAddress::Unix(path) => path.display().to_string(),
        }
    }
}
