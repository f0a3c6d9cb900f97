//! Where an upstream is, and the peers that Pingora connects to there.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::{ALPN, TcpKeepalive};
use pingora::upstreams::peer::{HttpPeer, PeerOptions};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::tunnel::{Proxy, ProxyKind, Tunnel};

/// Providers close idle connections after 60 s to 120 s; ours close first, so that few are found dead.
pub(super) const IDLE_IN_POOL: Duration = Duration::from_secs(55);
/// Streams that one HTTP/2 connection carries at once; servers' usual limit is 100.
const H2_STREAMS_MAX: usize = 100;

/// Where an upstream is and how to speak to it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The upstream's, for errors.
    pub name: Arc<str>,
    pub https: bool,
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
    pub http: HttpVersions,
    /// The proxy that leads there, which resolves the name.
    pub proxy: Option<Proxy>,
    pub tls: OriginTls,
}

/// Which versions of HTTP to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersions {
    /// By ALPN over TLS, HTTP/1.1 else.
    Auto,
    Http1,
    /// Without TLS: by prior knowledge (RFC 9113 §3.3).
    Http2,
}

/// PEM bytes, and what differs from the usual verification.
#[derive(Clone, Default)]
pub struct OriginTls {
    /// Instead of the system's roots.
    pub ca: Option<Arc<[u8]>>,
    pub client_cert: Option<ClientCert>,
    /// Verified instead of the host.
    pub server_name: Option<String>,
    pub skip_verification: bool,
}

/// What the gateway shows to the upstream: a certificate chain and its key.
#[derive(Clone, Hash)]
pub struct ClientCert {
    pub chain: Arc<[u8]>,
    pub key: Arc<[u8]>,
}

impl std::fmt::Debug for OriginTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginTls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Error)]
#[error("upstream `{upstream}`: tls.{key}: {reason}")]
pub struct OriginError {
    upstream: Arc<str>,
    key: &'static str,
    reason: String,
}

/// How a peer that has vanished is found out: after a minute of silence it is asked, and after four questions without an answer,
/// within two minutes in all, its connection ends. What was sent and is not acknowledged ends it by the kernel's own clock.
pub fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(15),
        count: 4,
        user_timeout: Duration::ZERO,
    }
}

/// What every peer of an origin has in common.
#[derive(Debug)]
pub(super) struct Scheme {
    tls: bool,
    /// Never empty where `tls`: rustls would skip the verification.
    server_name: String,
    options: PeerOptions,
    client_cert: Option<Arc<CertKey>>,
    /// Keeps connections of upstreams with different TLS settings apart in the pool.
    pool: u64,
}

impl Scheme {
    pub(super) fn of(origin: &Origin) -> Result<Self, OriginError> {
        let refuse = |key, reason| OriginError {
            upstream: Arc::clone(&origin.name),
            key,
            reason,
        };
        let tls = &origin.tls;
        let is_within_tls = origin
            .proxy
            .as_ref()
            .is_some_and(|proxy| proxy.kind == ProxyKind::Https);
        let tunnel = origin
            .proxy
            .as_ref()
            .map(|proxy| Arc::new(Tunnel::new(proxy, &origin.host, origin.port, keepalive())));
        let pool = pool_key(origin, tunnel.as_deref());
        let mut options = PeerOptions::new();
        options.custom_l4 = tunnel.map(|tunnel| tunnel as _);
        options.alpn = match (origin.http, origin.https) {
            (HttpVersions::Http2, _) => ALPN::H2,
            // Pingora tells connections of HTTP/2 apart by their sockets, and TLS within TLS has none.
            _ if is_within_tls => ALPN::H1,
            (HttpVersions::Auto, true) => ALPN::H2H1,
            (HttpVersions::Http1, _) | (HttpVersions::Auto, false) => ALPN::H1,
        };
        options.max_h2_streams = H2_STREAMS_MAX;
        options.tcp_keepalive = Some(keepalive());
        options.idle_timeout = Some(IDLE_IN_POOL);
        options.verify_cert = !tls.skip_verification;
        options.verify_hostname = !tls.skip_verification;
        if let Some(pem) = &tls.ca {
            let roots = certificates(pem).map_err(|reason| refuse("ca", reason))?;
            options.ca = Some(roots.into_iter().map(|der| WrappedX509::new(der, parse_x509)).collect());
        }
        let client_cert = match &tls.client_cert {
            Some(ClientCert { chain, key }) => {
                let chain = certificates(chain).map_err(|reason| refuse("cert", reason))?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| refuse("key", e.to_string()))?;
                Some(Arc::new(CertKey::new(chain, key.secret_der().to_vec())))
            }
            None => None,
        };
        let server_name = tls.server_name.clone().unwrap_or_else(|| origin.host.clone());
        Ok(Self {
            tls: origin.https,
            server_name,
            options,
            client_cert,
            pool,
        })
    }

    pub(super) fn peer(&self, address: SocketAddr) -> HttpPeer {
        let mut peer = HttpPeer::new(address, self.tls, self.server_name.clone());
        peer.options = self.options.clone();
        peer.client_cert_key.clone_from(&self.client_cert);
        peer.group_key = self.pool;
        peer
    }
}

fn pool_key(origin: &Origin, tunnel: Option<&Tunnel>) -> u64 {
    let mut hasher = DefaultHasher::new();
    origin.name.hash(&mut hasher);
    tunnel.hash(&mut hasher);
    origin.tls.ca.hash(&mut hasher);
    origin.tls.client_cert.hash(&mut hasher);
    hasher.finish()
}

/// DER of the certificates in `pem`, at least one. Each is parsed here, since Pingora panics over one that is broken.
fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|e| e.to_string())?;
        x509_parser::parse_x509_certificate(&der).map_err(|e| format!("not a certificate: {e}"))?;
        found.push(der.to_vec());
    }
    if found.is_empty() {
        return Err("no certificate in it".to_owned());
    }
    Ok(found)
}
