//! A real configuration → one that meets stand-ins only.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};

use crate::config::{BaseUrl, Config, Key, ListenAddress, Listener, UpstreamTls};
use crate::drill::{StandInSpec, StandIns};

/// Where the gateway listens for the drill's own request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    /// What the configuration names but could not be used, and why.
    pub(super) instead_of: Option<String>,
}

/// A stand-in for every upstream.
pub(super) fn specs(config: &Config) -> Vec<StandInSpec> {
    let upstreams = config.upstreams.iter();
    upstreams
        .map(|upstream| StandInSpec {
            name: upstream.name.to_string(),
            protocols: upstream.protocols.clone(),
            provider: upstream.provider.as_ref().map(ToString::to_string),
        })
        .collect()
}

/// Points every upstream at its stand-in. Real keys are never sent.
pub(super) fn redirect(config: &mut Config, stand_ins: &StandIns) {
    for upstream in &mut config.upstreams {
        let Some(address) = stand_ins.address(&upstream.name) else {
            continue;
        };
        upstream.url = BaseUrl {
            https: false,
            host: address.ip().to_string(),
            port: address.port(),
            path: std::mem::take(&mut upstream.url.path),
            authority: address.to_string(),
        };
        upstream.tls = UpstreamTls::default();
        upstream.http = crate::config::HttpVersions::Auto;
        // Stand-ins have no accounts.
        upstream.balance = None;
        if matches!(upstream.key, Key::Secret(_)) {
            upstream.key = Key::None;
        }
    }
}

/// Makes sure that the gateway has a plain TCP listener on a port that is free now, and returns it.
pub(super) fn listen(config: &mut Config) -> io::Result<Place> {
    // A gateway that runs on this machine keeps its own.
    if let Some(ListenAddress::Tcp(written)) = config.admin.as_mut().map(|admin| &mut admin.address) {
        *written = free(written).or_else(|_| any_port())?.to_string();
    } else {
        config.admin = None;
    }
    let mut place = None;
    for listener in &mut config.listen {
        let ListenAddress::Tcp(written) = &listener.address else {
            continue;
        };
        let (address, instead_of) = match free(written) {
            Ok(address) => {
                listener.address = ListenAddress::Tcp(address.to_string());
                (address, None)
            }
            Err(error) => {
                let address = any_port()?;
                let why = if error.kind() == ErrorKind::AddrInUse {
                    "taken".to_owned()
                } else {
                    error.to_string()
                };
                let instead_of = Some(format!("{written}: {why}"));
                listener.address = ListenAddress::Tcp(address.to_string());
                (address, instead_of)
            }
        };
        if place.is_none() && listener.tls.is_none() {
            place = Some(Place {
                address: reachable(address),
                instead_of,
            });
        }
    }
    if let Some(place) = place {
        return Ok(place);
    }
    let address = any_port()?;
    let plain = Listener::plain(ListenAddress::Tcp(address.to_string()));
    config.listen.push(plain);
    Ok(Place {
        address,
        instead_of: Some("the configuration has no plain TCP listener".to_owned()),
    })
}

fn free(written: &str) -> io::Result<SocketAddr> {
    let address = written.to_socket_addrs()?.next().ok_or(ErrorKind::AddrNotAvailable)?;
    // Where the configuration leaves the port open, this is the one.
    TcpListener::bind(address)?.local_addr()
}

fn any_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Returns where a client on this machine reaches a listener: one on all addresses is also on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}
