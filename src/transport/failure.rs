//! How an attempt ends without an answer that could be judged.

use bytes::Bytes;
use pingora::{Error, ErrorType};
use thiserror::Error as ThisError;

use super::unreachable::Unreachable;

/// An attempt's end for reasons of the transport. Rides in a Pingora error as its cause.
#[derive(Debug, ThisError)]
pub enum Failure {
    #[error("could not connect: {0}")]
    Connect(Unreachable),
    /// The limit on open files is reached, but for the reserve.
    #[error("the gateway has no file descriptor left for a new connection")]
    NoDescriptors,
    #[error("no connection within the connect clock: {0}")]
    ConnectClock(String),
    /// `reused`: on a connection from the pool, which may have died while it was idle.
    #[error("connection closed or reset before a response")]
    Reset { reused: bool },
    #[error("not a valid HTTP response: {0}")]
    Invalid(String),
    #[error("the upstream took nothing of the request within the idle clock")]
    Stalled,
    #[error("no response header within the headers clock")]
    HeadersClock,
    #[error("no response header within the answer clock")]
    AnswerClock,
    #[error("nothing more of the answer within the idle clock")]
    Silent,
    #[error("no answer in the time that the client waits, less what the next target needs")]
    MadeWay,
    #[error("nothing meaningful within the first_token clock")]
    FirstTokenClock,
    /// Behind a client that was answered before any upstream was: what was tried.
    #[error("{0}")]
    Exhausted(String),
    #[error("the request's deadline passed")]
    Deadline,
    #[error("the answer broke off after it had begun: {reason}")]
    Broken { reason: String, fell_silent: bool },
    /// After it had begun, by an event with this data.
    #[error("the upstream reported an error in its stream")]
    Reported(Bytes),
}

impl Failure {
    /// The clock that ran out, by its name in the configuration.
    pub fn clock(&self) -> Option<&'static str> {
        match self {
            Self::ConnectClock(_) => Some("connect"),
            Self::Stalled | Self::Silent => Some("idle"),
            Self::AnswerClock => Some("answer"),
            Self::MadeWay => Some("client"),
            Self::HeadersClock => Some("headers"),
            Self::FirstTokenClock => Some("first_token"),
            Self::Deadline => Some("deadline"),
            _ => None,
        }
    }

    /// Describes a response that broke off, for this reason.
    pub fn broken(reason: impl Into<String>) -> Self {
        Self::Broken {
            reason: reason.into(),
            fell_silent: false,
        }
    }

    /// Describes a response that broke off with an error of its connection.
    pub fn broken_by(error: &Error) -> Self {
        Self::broken(match error.etype() {
            ErrorType::ConnectionClosed | ErrorType::Custom("PrematureBodyEnd") => {
                "the upstream closed the connection before the end".to_owned()
            }
            ErrorType::ReadError | ErrorType::H2Error | ErrorType::H2Downgrade => {
                "the upstream's connection broke".to_owned()
            }
            other => format!("what the upstream sent could not be read ({})", other.as_str()),
        })
    }

    /// Describes a response that broke off by saying nothing more.
    pub fn fell_silent(what: &str) -> Self {
        Self::Broken {
            reason: format!("{what} within the idle clock"),
            fell_silent: true,
        }
    }

    /// Why there is no connection, in a few words without names and addresses; `None`: it is not for that, or a clock says it.
    pub fn why_unreachable(&self) -> Option<&'static str> {
        match self {
            Self::Connect(unreachable) => Some(unreachable.why),
            _ => None,
        }
    }

    /// As what Pingora is told.
    pub fn into_error(self) -> Box<Error> {
        Error::because(ErrorType::Custom("AttemptFailed"), "", self).into_up()
    }

    /// The failure that a Pingora error carries, if the judging connector made it.
    pub fn of(error: &Error) -> Option<&Self> {
        error.cause.as_ref()?.downcast_ref()
    }
}
