//! Why the server does not start.

use thiserror::Error;

use super::certificates::CertificateError;
use crate::transport::origin::OriginError;

/// Why the server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {reason}{}", hint(.reason))]
    Listen { address: String, reason: std::io::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
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
