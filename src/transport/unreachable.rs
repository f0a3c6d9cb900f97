//! Why there is no connection to an upstream: a few words that a client may read, and details for the log.

use std::fmt;

use pingora::{Error, ErrorType};

use super::tunnel_fault::TunnelFault;

/// Why there is no connection. `Display` is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// What happened, without any name or address: `connection refused`.
    pub why: &'static str,
    details: Option<String>,
}

impl Unreachable {
    pub(super) const NO_ANSWER: &str = "no answer";

    /// `details`: what the log says instead, or besides.
    pub(super) fn new(why: &'static str, details: impl Into<Option<String>>) -> Self {
        Self {
            why,
            details: details.into(),
        }
    }

    /// Reads what Pingora says of a connection that could not be opened, without addresses of ours or its own words around
    /// it.
    pub(super) fn of(error: &Error) -> Self {
        let cause = error.root_cause();
        if let Some(fault) = cause.downcast_ref::<TunnelFault>() {
            return Self::new(fault.why(), fault.to_string());
        }
        let kind = cause.downcast_ref::<Error>().map_or(error.etype(), |root| root.etype());
        let why = match error.etype() {
            ErrorType::ConnectRefused => return Self::new("connection refused", None),
            ErrorType::ConnectNoRoute => "no route to it",
            ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Self::NO_ANSWER,
            ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert => match certificate_fault(error) {
                Some(why) => return Self::new(why, None),
                None => "TLS failed",
            },
            ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => "connection closed",
            _ => "connecting failed",
        };
        let details = match cause.is::<Error>() {
            true => kind.as_str().to_owned(),
            false => cause.to_string(),
        };
        Self::new(why, details)
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.details {
            Some(details) if details.starts_with(self.why) => f.write_str(details),
            Some(details) => write!(f, "{}: {details}", self.why),
            None => f.write_str(self.why),
        }
    }
}

/// Finds what is wrong with the certificate, if that is why TLS failed. Pingora keeps only the words of rustls.
fn certificate_fault(error: &Error) -> Option<&'static str> {
    let text = error.to_string();
    let (_, fault) = text.split_once("invalid peer certificate")?;
    Some(
        if fault.contains("not valid for name") || fault.contains("NotValidForName") {
            "certificate of another name"
        } else if fault.contains("expired") || fault.contains("Expired") {
            "certificate expired"
        } else {
            "certificate not trusted"
        },
    )
}
