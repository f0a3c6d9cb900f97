//! The floor of `scripts/bench --parts`: what Pingora's custom connector costs with a session that judges nothing.
//!
//! `floor_proxy LISTEN UPSTREAM [--threads N]`, both addresses `IP:PORT`, HTTP/1.1 on both sides. It goes the way that
//! Switchback goes: the request's body is read first and sent from memory, and the answer passes through a session of
//! its own on a pooled connection. Nothing is looked at, put together,
//! logged or counted. What Switchback costs above this is its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use clap::Parser;
use futures_util::{Stream, stream};
use http::HeaderMap;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::custom::{Connection, Connector};
use pingora::connectors::http::v1;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::custom::client;
use pingora::protocols::http::custom::{BodyWrite, CustomMessageWrite};
use pingora::protocols::http::v1::client::HttpSession;
use pingora::protocols::l4::socket;
use pingora::protocols::tls::CustomALPN;
use pingora::protocols::{ALPN, Digest, UniqueIDType};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{ProxyHttp, ProxyServiceBuilder, Session};

/// The release binary's.
#[global_allocator]
static ALLOCATOR: switchback::memory::Allocator = switchback::memory::Allocator;

#[derive(Parser)]
#[command(about = "Pingora's custom connector with a session that judges nothing, to measure against")]
struct Arguments {
    listen: SocketAddr,
    upstream: SocketAddr,
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

struct FloorProxy {
    peer: HttpPeer,
}

/// A request's body as it was read, on its way from the client to the session in the header's extensions.
#[derive(Clone, Default)]
struct Body(Vec<Bytes>);

#[async_trait]
impl ProxyHttp for FloorProxy {
    type CTX = Body;

    fn new_ctx(&self) -> Body {
        Body::default()
    }

    async fn request_filter(&self, session: &mut Session, body: &mut Body) -> Result<bool> {
        while let Some(chunk) = session.read_request_body().await? {
            body.0.push(chunk);
        }
        Ok(false)
    }

    async fn upstream_peer(&self, _session: &mut Session, _body: &mut Body) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.peer.clone()))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        body: &mut Body,
    ) -> Result<()> {
        request.extensions_mut().insert(std::mem::take(body));
        Ok(())
    }
}

/// HTTP/1.1 connections from Pingora's own pool.
struct PassingConnector {
    http1: v1::Connector,
}

#[async_trait]
impl Connector for PassingConnector {
    type Session = PassingSession;

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<Self::Session>, bool)> {
        let (http, reused) = self.http1.get_http_session(peer).await?;
        Ok((Connection::Session(PassingSession { http, request: None }), reused))
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, peer: &P) -> Option<Self::Session> {
        let http = self.http1.reused_http_session(peer).await?;
        Some(PassingSession { http, request: None })
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        session: Self::Session,
        peer: &P,
        idle_timeout: Option<Duration>,
    ) {
        self.http1.release_http_session(session.http, peer, idle_timeout).await;
    }
}

/// Sends the request when its answer is asked for, and hands out what comes.
struct PassingSession {
    http: HttpSession,
    request: Option<Box<RequestHeader>>,
}

#[async_trait]
impl client::Session for PassingSession {
    async fn write_request_header(&mut self, request: Box<RequestHeader>, _end: bool) -> Result<()> {
        self.request = Some(request);
        Ok(())
    }

    async fn read_response_header(&mut self) -> Result<()> {
        if let Some(mut request) = self.request.take() {
            let Some(Body(body)) = request.extensions_mut().remove::<Body>() else {
                return Error::e_explain(ErrorType::InternalError, "a request without its body");
            };
            self.http.write_request_header(request).await?;
            for chunk in &body {
                self.http.write_body(chunk).await?;
            }
            self.http.finish_body().await?;
        }
        self.http.read_response().await?;
        Ok(())
    }

    async fn read_response_body(&mut self) -> Result<Option<Bytes>> {
        self.http.read_body_bytes().await
    }

    async fn check_response_end_or_error(&mut self, _headers: bool) -> Result<bool> {
        Ok(self.http.is_body_done())
    }

    fn response_header(&self) -> Option<&ResponseHeader> {
        self.http.resp_header()
    }

    fn response_finished(&self) -> bool {
        false
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.http.shutdown().await;
    }

    async fn read_trailers(&mut self) -> Result<Option<HeaderMap>> {
        Ok(None)
    }

    // The body goes out with the header: what Pingora's own pipe sends is swallowed.

    async fn write_request_body(&mut self, _data: Bytes, _end: bool) -> Result<()> {
        Ok(())
    }

    async fn finish_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_request_body_writer(&mut self) -> Option<Box<dyn BodyWrite>> {
        Some(Box::new(Swallow))
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.http.read_timeout = timeout;
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.http.write_timeout = timeout;
    }

    fn was_upgraded(&self) -> bool {
        false
    }

    fn digest(&self) -> Option<&Digest> {
        Some(self.http.digest())
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Some(self.http.digest_mut())
    }

    fn server_addr(&self) -> Option<&socket::SocketAddr> {
        self.http.server_addr()
    }

    fn client_addr(&self) -> Option<&socket::SocketAddr> {
        self.http.client_addr()
    }

    fn fd(&self) -> UniqueIDType {
        self.http.stream().id()
    }

    // No custom messages.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync>> {
        Some(Box::new(stream::empty()))
    }

    async fn drain_custom_messages(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        Some(Box::new(()))
    }
}

struct Swallow;

#[async_trait]
impl BodyWrite for Swallow {
    async fn write_all_buf(&mut self, data: &mut Bytes) -> Result<()> {
        data.clear();
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    async fn cleanup(&mut self) -> Result<()> {
        Ok(())
    }

    fn upgrade_body_writer(&mut self) {}
}

fn main() {
    let Arguments {
        listen,
        upstream,
        threads,
    } = Arguments::parse();
    let mut server = Server::new_with_opt_and_conf(
        None,
        ServerConf {
            threads,
            ..ServerConf::default()
        },
    );
    server.bootstrap();
    let mut peer = HttpPeer::new(upstream, false, String::new());
    peer.options.alpn = ALPN::Custom(CustomALPN::new(b"floor".to_vec()));
    let connector = PassingConnector {
        http1: v1::Connector::new(Some(ConnectorOptions::from_server_conf(&server.configuration))),
    };
    // Clients speak plain HTTP/1.1, which Pingora serves itself: no client's connection comes here.
    let of_clients = Arc::new(|_, _, _: &_| Box::pin(std::future::ready(None)) as _);
    let mut service = ProxyServiceBuilder::new(&server.configuration, FloorProxy { peer })
        .name("floor")
        .custom(connector, of_clients)
        .build();
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever();
}
