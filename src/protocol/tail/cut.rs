//! Where a stream was cut, and what must be sent so that an event of the gateway's own stands alone behind it.

use crate::protocol::Protocol;

/// Where a stream stands after its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Between two events, or before the first.
    Boundary,
    /// A whole line of an event without data so far is there: its name, a comment.
    AfterField,
    /// The stream ends inside of such a line.
    InsideField,
    /// A whole line of an event that has data is there.
    AfterData,
    /// The stream ends inside of a line of such an event.
    InsideData,
}

impl Cut {
    /// What must be sent first so that the client's parser takes the next event for one of its own. A line end after
    /// CR may be taken as part of it, so a line that must be ended for sure gets two.
    ///
    /// Half an event can't be called back. Anthropic's SDKs skip it unread once it is named `ping`; OpenAI's have no
    /// such word, and raise over the half event instead of over the error that follows: it is an exception either way.
    pub fn resync(self, protocol: Protocol) -> &'static [u8] {
        match (self, protocol) {
            // A name without data is taken over by the next event: dispatched alone, SDKs would parse its empty data.
            (Self::Boundary | Self::AfterField, _) => b"",
            (Self::InsideField, _) => b"\n",
            (Self::AfterData, _) | (Self::InsideData, Protocol::OpenAi) => b"\n\n",
            (Self::InsideData, Protocol::Anthropic) => b"\nevent: ping\n\n",
        }
    }
}
