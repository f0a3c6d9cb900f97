//! Pingora's errors: what they say about a request, and those that we return to it.

use pingora::{Error, ErrorSource, ErrorType};

/// No target is left that may be asked.
pub(super) const NOBODY_LEFT: ErrorType = ErrorType::Custom("NobodyLeft");
/// Ends an attempt whose answer the client does not get.
pub(super) const NEXT_ATTEMPT: ErrorType = ErrorType::Custom("NextAttempt");

/// Returns whether the client has left, rather than the gateway or an upstream having failed.
pub(super) fn is_client_gone(error: &Error) -> bool {
    *error.esource() == ErrorSource::Downstream
}

/// Returns whether the client's side of the connection was found closed; no write failed.
pub(super) fn is_closed(error: &Error) -> bool {
    is_client_gone(error) && matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError)
}

/// Returns whether an answer could not be written because of the client's connection: its socket says why, or its time
/// is over.
pub(super) fn is_connection_lost(error: &Error) -> bool {
    error.cause.is_some() || *error.etype() == ErrorType::WriteTimedout
}
