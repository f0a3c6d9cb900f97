//! A request's body on its way out, and what an exchange waits for meanwhile.

use tokio::time::Instant;

use super::feed::FedBody;
use crate::body::Segments;

/// A body on its way out.
pub(super) enum Outgoing<'a> {
    Whole(&'a Segments),
    /// It comes while it is sent.
    Fed(FedBody),
}

impl Outgoing<'_> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_empty(),
            Self::Fed(_) => false,
        }
    }
}

/// What an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    /// More of the request, which is fed in.
    Client,
    /// The upstream has taken nothing of what is there since then.
    Room { since: Instant },
    /// The upstream has had the whole request since then.
    Answer { since: Instant },
}

/// What follows the header of a request that is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayedBody {
    None,
    /// As much as the header says.
    Sized,
    Unsized,
    /// None. The request asks to switch to the protocol that its `upgrade` names.
    Upgrade,
}
