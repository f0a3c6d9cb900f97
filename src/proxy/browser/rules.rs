//! Each listener's rules for browsers, found by the address that a connection was accepted on.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use http::HeaderValue;
use pingora::http::RequestHeader;
use pingora::protocols::l4::socket::SocketAddr as Local;

use super::refused::{Refused, SHOWN_CHARS_MAX};
use crate::config::{ANY_ORIGIN, ListenAddress, Listener};
use crate::proxy::host::Hosts;

/// The listeners that say anything. Most configurations have none.
#[derive(Debug, Default)]
pub struct BrowserRules(Vec<Rules>);

#[derive(Debug)]
pub(super) struct Rules {
    place: Place,
    cors: Vec<String>,
    hosts: Hosts,
}

#[derive(Debug)]
enum Place {
    Tcp(SocketAddr),
    /// `localhost:PORT`, on any loopback address.
    Localhost(u16),
    Unix(PathBuf),
}

impl BrowserRules {
    pub fn of_listeners(listeners: &[Listener]) -> Self {
        let with_rules = listeners
            .iter()
            .filter(|listener| !listener.cors.is_empty() || !listener.hosts.is_empty());
        Self(with_rules.filter_map(Rules::compile).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the rules of the listener that accepted a connection at `local`.
    pub(super) fn of(&self, local: Option<&Local>) -> Option<&Rules> {
        match local? {
            Local::Inet(local) => {
                let rank = |rules: &&Rules| rules.place.rank(*local);
                self.0.iter().filter(|rules| rank(rules) > 0).max_by_key(rank)
            }
            Local::Unix(local) => {
                let path = local.as_pathname()?;
                let is_there = |rules: &&Rules| matches!(&rules.place, Place::Unix(place) if place == path);
                self.0.iter().find(is_there)
            }
        }
    }
}

impl Place {
    /// Ranks how precisely it names the address: 0 for not at all, then in the order in which the kernel chooses
    /// between sockets.
    fn rank(&self, local: SocketAddr) -> u8 {
        match self {
            Self::Localhost(port) => u8::from(*port == local.port() && local.ip().is_loopback()) * 3,
            Self::Tcp(place) if place.port() != local.port() => 0,
            Self::Tcp(place) if place.ip().to_canonical() == local.ip().to_canonical() => 3,
            // An unspecified IPv6 address takes IPv4 as well.
            Self::Tcp(place) if place.ip().is_unspecified() => 1 + u8::from(place.is_ipv4() == local.is_ipv4()),
            Self::Tcp(_) | Self::Unix(_) => 0,
        }
    }
}

impl Rules {
    /// Compiles the rules. `None`: the address cannot be bound either.
    fn compile(listener: &Listener) -> Option<Self> {
        let place = match &listener.address {
            ListenAddress::Unix(path) => Place::Unix(path.clone()),
            ListenAddress::Tcp(text) => match text.strip_prefix("localhost:") {
                Some(port) => Place::Localhost(port.parse().ok()?),
                None => Place::Tcp(text.parse().ok()?),
            },
        };
        Some(Self {
            place,
            cors: listener.cors.clone(),
            hosts: Hosts::new(listener.hosts.clone()),
        })
    }

    pub(super) fn has_cors(&self) -> bool {
        !self.cors.is_empty()
    }

    /// Returns the value of `access-control-allow-origin` for a page of `origin`, if it may send requests here.
    pub(super) fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.cors.iter().any(|allowed| allowed == ANY_ORIGIN) {
            return Some(HeaderValue::from_static("*"));
        }
        let is_named = |allowed: &String| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
        self.cors.iter().any(is_named).then(|| origin.clone())
    }

    pub(super) fn check_host(&self, request: &RequestHeader, local: Option<IpAddr>) -> Result<(), Refused> {
        if self.hosts.is_empty() {
            return Ok(());
        }
        let checked = self.hosts.check(&request.uri, &request.headers, local);
        checked.map_err(|host| Refused::Host {
            host: host.chars().take(SHOWN_CHARS_MAX).collect(),
        })
    }
}
