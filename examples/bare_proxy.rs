//! The yardstick of `scripts/bench`: what Pingora alone costs, with nothing of Switchback in it.
//!
//! `bare_proxy LISTEN UPSTREAM [NEXT_UPSTREAM] [--threads N]`, all addresses `IP:PORT`, HTTP/1.1 on both sides, no
//! body handling. With two upstreams it switches to the second as Pingora means it to be done: when the first
//! refuses, or answers 500. Pingora replays bodies up to 64 KiB then.

use std::net::SocketAddr;

use async_trait::async_trait;
use clap::Parser;
use pingora::http::ResponseHeader;
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{ProxyHttp, ProxyWarnLogContext, Session, http_proxy_service};

/// The release binary's.
#[global_allocator]
static ALLOCATOR: switchback::memory::Allocator = switchback::memory::Allocator;

#[derive(Parser)]
#[command(about = "A bare Pingora proxy, to measure against")]
struct Arguments {
    listen: SocketAddr,
    #[arg(required = true, num_args = 1..=2)]
    upstreams: Vec<SocketAddr>,
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

struct BareProxy {
    upstreams: Vec<SocketAddr>,
}

#[async_trait]
impl ProxyHttp for BareProxy {
    /// How many upstreams have failed this request.
    type CTX = usize;

    fn new_ctx(&self) -> usize {
        0
    }

    async fn upstream_peer(&self, _session: &mut Session, failed: &mut usize) -> Result<Box<HttpPeer>> {
        let last = self.upstreams.len() - 1;
        Ok(Box::new(HttpPeer::new(
            self.upstreams[last.min(*failed)],
            false,
            String::new(),
        )))
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        failed: &mut usize,
        mut error: Box<Error>,
    ) -> Box<Error> {
        *failed += 1;
        error.set_retry(*failed < self.upstreams.len());
        error
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        failed: &mut usize,
    ) -> Result<()> {
        if response.status.as_u16() != 500 || *failed + 1 >= self.upstreams.len() {
            return Ok(());
        }
        *failed += 1;
        let mut error = Error::new_up(ErrorType::HTTPStatus(500));
        error.set_retry(true);
        Err(error)
    }

    /// Pingora's own refuses to retry a POST: chat requests are.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        _session: &mut Session,
        mut error: Box<Error>,
        _failed: &mut usize,
        client_reused: bool,
    ) -> Box<Error> {
        error.retry.decide_reuse(client_reused);
        error
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _failed: &usize,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

fn main() {
    let Arguments {
        listen,
        upstreams,
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
    let mut service = http_proxy_service(&server.configuration, BareProxy { upstreams });
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever();
}
