//! Everything a request reads of the configuration, replaced as a whole by a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::browser::BrowserRules;
use super::meters::Meters;
use super::off_workers::OffWorkers;
use super::recent_failures::RecentFailures;
use crate::config::{self, Config};
use crate::memory::Budget;
use crate::routing::RouteTable;
use crate::transport::origin::{ClientCert, HttpVersions, OriginError, OriginTls};
use crate::transport::tunnel::{Proxy, ProxyKind};
use crate::transport::{Endpoint, Origin, Resolver};
use crate::upstream::Upstream;

#[derive(Debug)]
pub struct Snapshot {
    pub table: RouteTable,
    /// What is counted and remembered of its routes and targets.
    pub meters: Meters,
    /// Indexed by [`Upstream::index`](crate::upstream::Upstream).
    pub endpoints: Vec<Arc<Endpoint>>,
    resolver: Arc<Resolver>,
    /// The memory of all requests. It is the same for all snapshots; its bound is that of the latest.
    pub memory: Budget,
    /// Where large bodies are read. It is the same for all snapshots.
    pub off_workers: OffWorkers,
    /// Requests that have just failed with every target.
    pub(super) recent_failures: RecentFailures,
    pub max_body_bytes: usize,
    /// Bounds the text of one stream that may be resumed.
    pub max_held_bytes: usize,
    pub client_timeout: Duration,
    /// How long a client may take none of its answer.
    pub send_timeout: Duration,
    /// How long a client's connection may be open without a request.
    pub idle: Duration,
    /// The most client connections; `None`: by the limit on open files.
    pub connections: Option<usize>,
    pub attempt_header: bool,
    pub browser_rules: BrowserRules,
    /// Unix seconds at which the configuration was loaded: `created` in model lists.
    pub loaded_at: u64,
}

impl Snapshot {
    /// Compiles a configuration. `previous` is the snapshot that this one replaces: upstreams and targets that are
    /// still there keep their health and what was counted.
    ///
    /// # Errors
    /// A certificate or key cannot be used for TLS.
    pub fn compile(config: &Config, loaded_at: u64, previous: Option<&Self>) -> Result<Self, OriginError> {
        let table = RouteTable::compile(config, previous.map(|previous| &previous.table));
        let resolver = previous.map_or_else(Resolver::system, |previous| Arc::clone(&previous.resolver));
        let endpoints = table
            .upstreams
            .iter()
            .map(|upstream| Endpoint::new(&origin(upstream), &resolver).map(Arc::new));
        Ok(Self {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            resolver,
            memory: previous.map_or_else(
                || Budget::new(config.server.memory_bytes),
                |previous| previous.memory.clone(),
            ),
            off_workers: previous.map_or_else(OffWorkers::default, |previous| previous.off_workers.clone()),
            recent_failures: RecentFailures::default(),
            max_body_bytes: config.server.max_body_bytes,
            max_held_bytes: config.server.max_held_bytes,
            client_timeout: config.server.client_timeout,
            send_timeout: config.server.send_timeout,
            idle: config.server.idle,
            connections: config.server.connections,
            attempt_header: config.server.attempt_header,
            browser_rules: BrowserRules::of_listeners(&config.listen),
            loaded_at,
            meters: Meters::compile(&table, previous.map(|previous| &previous.meters), Instant::now()),
            table,
        })
    }

    /// Looks up the names of all upstreams in the background, so that their first requests need not wait for that.
    pub fn look_up_ahead(&self) {
        self.endpoints.iter().for_each(|endpoint| endpoint.look_up_ahead());
    }
}

/// Returns what the transport needs to know of an upstream.
fn origin(upstream: &Upstream) -> Origin {
    let proxy = upstream.proxy.as_ref().map(|proxy| Proxy {
        kind: match proxy.kind {
            config::ProxyKind::Http => ProxyKind::Http,
            config::ProxyKind::Https => ProxyKind::Https,
            config::ProxyKind::Socks5 => ProxyKind::Socks5,
        },
        host: proxy.host.clone(),
        port: proxy.port,
        login: proxy
            .login
            .as_ref()
            .map(|login| (login.user.clone(), login.password.clone())),
    });
    let client_cert = upstream.tls.client_cert.as_ref();
    Origin {
        name: Arc::clone(&upstream.name),
        https: upstream.url.https,
        host: upstream.url.host.clone(),
        port: upstream.url.port,
        http: match upstream.http {
            config::HttpVersions::Auto => HttpVersions::Auto,
            config::HttpVersions::Http1 => HttpVersions::Http1,
            config::HttpVersions::Http2 => HttpVersions::Http2,
        },
        proxy,
        tls: OriginTls {
            ca: upstream.tls.ca.clone(),
            client_cert: client_cert.map(|pem| ClientCert {
                chain: Arc::clone(&pem.cert),
                key: Arc::clone(&pem.key),
            }),
            server_name: upstream.tls.server_name.clone(),
            skip_verification: upstream.tls.insecure,
        },
    }
}
