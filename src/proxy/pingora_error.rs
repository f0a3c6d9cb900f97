//! What Pingora's errors say of a request, and those that it is told itself.

use pingora::{Error, ErrorSource, ErrorType};

/// Nobody is left who may be asked.
pub(super) const NOBODY_LEFT: ErrorType = ErrorType::Custom("NobodyLeft");
/// Ends an attempt whose answer the client does not get.
pub(super) const NEXT_ATTEMPT: ErrorType = ErrorType::Custom("NextAttempt");

/// Whether the client has gone away, rather than that the gateway or an upstream has failed.
pub(super) fn is_client_gone(error: &Error) -> bool {
    *error.esource() == ErrorSource::Downstream
}

/// Whether the client's side of the connection was found closed; nothing failed to be written.
pub(super) fn is_closed(error: &Error) -> bool {
    is_client_gone(error) && matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError)
}

/// Whether an answer could not be written because of the client's connection: its socket says why, or its time is over.
pub(super) fn is_connection_lost(error: &Error) -> bool {
    error.cause.is_some() || *error.etype() == ErrorType::WriteTimedout
}
