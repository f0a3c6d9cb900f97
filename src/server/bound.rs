//! The addresses where the server listens.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::ListenAddress;

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

impl From<&ListenAddress> for String {
    /// Writes the address in Pingora's notation.
    fn from(address: &ListenAddress) -> Self {
        match address {
            ListenAddress::Tcp(address) => address.clone(),
            ListenAddress::Unix(path) => path.display().to_string(),
        }
    }
}
