//! The clocks of one attempt, and what it means that one runs out.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;

/// The clocks of an attempt that is connected (docs: behaviour, "attempt").
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    pub beginning: Beginning,
    pub idle: Duration,
    /// Of the whole request; ends at commit.
    pub deadline: Instant,
    /// When the attempt has to make way for the next one, so that the client is answered before it gives up.
    pub makes_way: Option<Instant>,
}

/// The clocks until an answer has begun.
#[derive(Debug, Clone, Copy)]
pub enum Beginning {
    /// Of a stream, which begins when the upstream does.
    Stream { headers: Duration, first_token: Duration },
    /// Of an answer whose header comes when all of it is written. What follows has the idle clock.
    Whole { answer: Duration },
}

impl Beginning {
    /// Bounds the wait for the header.
    pub(super) fn header(self) -> Duration {
        match self {
            Self::Stream { headers, .. } => headers,
            Self::Whole { answer } => answer,
        }
    }

    /// What it means that the header did not come within its clock.
    pub(super) fn without_header(self) -> Failure {
        match self {
            Self::Stream { .. } => Failure::HeadersClock,
            Self::Whole { .. } => Failure::AnswerClock,
        }
    }
}

impl Clocks {
    /// Until when something meaningful has to come of an answer whose header came at `header_at`.
    pub(super) fn meaningful_until(&self, header_at: Instant) -> Instant {
        match self.beginning {
            Beginning::Stream { first_token, .. } => header_at + first_token,
            Beginning::Whole { .. } => Instant::now() + self.idle,
        }
    }

    /// What it means that nothing did.
    pub(super) fn without_meaning(&self) -> Failure {
        match self.beginning {
            Beginning::Stream { .. } => Failure::FirstTokenClock,
            Beginning::Whole { .. } => Failure::Silent,
        }
    }

    /// When the attempt ends if it has no answer by then, however its other clocks stand.
    pub(super) fn end(&self) -> Instant {
        self.makes_way
            .map_or(self.deadline, |makes_way| makes_way.min(self.deadline))
    }

    /// What it means that this time has come.
    pub(super) fn at_end(&self, now: Instant) -> Failure {
        if now >= self.deadline {
            Failure::Deadline
        } else {
            Failure::MadeWay
        }
    }
}
