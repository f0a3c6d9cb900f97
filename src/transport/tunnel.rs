//! A proxy that leads to an upstream. Pingora asks for a connection to the proxy's address and is given one to the upstream, on
//! which it speaks TLS and HTTP as on any other.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::connectors::{ConnectorOptions, L4Connect, TransportConnector};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream as Connection;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::protocols::{ALPN, Stream, TcpKeepalive};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tunnel_fault::TunnelFault;
use super::unreachable::Unreachable;
use super::{http_tunnel, socks};

/// A proxy, and how to ask it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    pub kind: ProxyKind,
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
    /// User and password.
    pub login: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// `CONNECT` over plain TCP.
    Http,
    /// `CONNECT` over TLS, whose certificate the system's roots must vouch for.
    Https,
    Socks5,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// The way by a proxy to one upstream.
pub(super) struct Tunnel {
    proxy: Proxy,
    host: String,
    port: u16,
    keepalive: TcpKeepalive,
    /// Speaks TLS with the proxy.
    tls: Option<TransportConnector>,
}

impl Tunnel {
    /// The way by `proxy` to the upstream at `host` and `port`.
    pub(super) fn new(proxy: &Proxy, host: &str, port: u16, keepalive: TcpKeepalive) -> Self {
        let options = || Some(ConnectorOptions::new(0));
        Self {
            proxy: proxy.clone(),
            host: host.to_owned(),
            port,
            keepalive,
            tls: (proxy.kind == ProxyKind::Https).then(|| TransportConnector::new(options())),
        }
    }

    async fn open(&self, address: std::net::SocketAddr) -> Result<Connection, TunnelFault> {
        let login = self.proxy.login.as_ref();
        let (connection, ahead) = match (&self.tls, self.proxy.kind) {
            (Some(tls), _) => {
                let mut peer = HttpPeer::new(address, true, self.proxy.host.clone());
                peer.options.alpn = ALPN::H1;
                peer.options.tcp_keepalive = Some(self.keepalive.clone());
                let opened = Box::pin(tls.new_stream(&peer)).await;
                let mut proxy = opened.map_err(|error| TunnelFault::NotReached(Unreachable::of(&error).to_string()))?;
                let ahead = http_tunnel::open(&mut proxy, &self.host, self.port, login).await?;
                let socket = VirtualSocketStream::new(Box::new(OverTls(proxy)));
                (Connection::from(socket), ahead)
            }
            (None, kind) => {
                let opened = TcpStream::connect(address).await;
                let mut proxy = opened.map_err(|error| TunnelFault::NotReached(error.to_string()))?;
                let ahead = match kind {
                    ProxyKind::Socks5 => {
                        socks::open(&mut proxy, &self.host, self.port, login).await?;
                        Vec::new()
                    }
                    ProxyKind::Http | ProxyKind::Https => {
                        http_tunnel::open(&mut proxy, &self.host, self.port, login).await?
                    }
                };
                (Connection::from(proxy), ahead)
            }
        };
        let mut connection = connection;
        connection.rewind(&ahead);
        Ok(connection)
    }
}

#[async_trait]
impl L4Connect for Tunnel {
    /// Connects to the proxy at `address`, and by it to the upstream. Whoever waits has a clock.
    async fn connect(&self, address: &SocketAddr) -> Result<Connection> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "a proxy without an address");
        };
        let opened = self.open(*address).await;
        opened.map_err(|fault| Error::because(ErrorType::ConnectError, "by a proxy", fault))
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// What keeps connections by different proxies, and to different upstreams by one, apart in the pool.
impl Hash for Tunnel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.proxy.hash(state);
        self.host.hash(state);
        self.port.hash(state);
    }
}

/// A tunnel within TLS, whose socket was set up when it was opened.
#[derive(Debug)]
struct OverTls(Stream);

impl VirtualSocket for OverTls {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for OverTls {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for OverTls {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
