//! An answer's body has one way out: one that comes live, one that failed and is kept, and one that another attempt
//! continues all pass through the same stages before Pingora gets a byte.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::answer::Answer;
use super::assignment::{Assignment, Spoken};
use super::failure::Failure;
use super::gathered::Gathered;
use super::resume::Continuity;
use crate::protocol::StreamKind;
use crate::protocol::errors::{GatewayError, stream_error_event};
use crate::protocol::tail::{Cut, StreamEnd};

/// Takes what an upstream sends through the stages, and holds what is ready for the client.
#[derive(Default)]
pub(super) struct Outlet {
    /// Watches a stream for its protocol's end, as the upstream sends it.
    stream_end: Option<StreamEnd>,
    /// The body has a length, so nothing can be added to it.
    has_length: bool,
    /// The stage of a stream that another attempt may continue: it remembers, withholds and rewrites.
    continuity: Option<Continuity>,
    /// What has passed all stages and was not handed out yet.
    ready: VecDeque<Bytes>,
}

impl Outlet {
    /// Opens the way out for `answer`. What was held of it while it was judged passes first.
    pub(super) fn new(answer: &mut Answer, assignment: &Assignment) -> Self {
        let mut outlet = Self {
            continuity: Continuity::of(answer, assignment),
            ..Self::default()
        };
        outlet.follow(answer);
        outlet
    }

    /// Opens the way out for a stream that no upstream has begun yet.
    pub(super) fn early(kind: StreamKind) -> Self {
        Self {
            stream_end: Some(StreamEnd::new(kind)),
            ..Self::default()
        }
    }

    /// Takes the body from `answer` from now on.
    pub(super) fn follow(&mut self, answer: &mut Answer) {
        self.stream_end = answer.stream_end.take();
        self.has_length = answer.has_length;
        for chunk in std::mem::take(&mut answer.held) {
            self.pass(chunk);
        }
    }

    /// Takes the next bytes of the body, as the upstream sent them.
    pub(super) fn feed(&mut self, chunk: Bytes) {
        if let Some(end) = &mut self.stream_end {
            end.feed(&chunk);
        }
        self.pass(chunk);
    }

    /// Takes a chunk through the stages.
    fn pass(&mut self, chunk: Bytes) {
        let passed = match &mut self.continuity {
            Some(continuity) => continuity.feed(chunk),
            None => chunk,
        };
        if !passed.is_empty() {
            self.ready.push_back(passed);
        }
    }

    /// Returns whether a stream stands where something of the gateway's own may be put without breaking an event.
    pub(super) fn is_between_events(&self) -> bool {
        let has_whole_events = self.continuity.as_ref().is_some_and(|it| it.transcript.holds_back());
        let is_between = |end: &StreamEnd| has_whole_events || end.cut() == Cut::Boundary;
        !self.has_length && self.ready.is_empty() && self.stream_end.as_ref().is_some_and(is_between)
    }

    /// Adds an event that readers of the stream ignore, which keeps connections on the way to the client alive.
    pub(super) fn keep_alive(&mut self, kind: StreamKind) {
        self.ready.push_back(Bytes::from_static(match kind {
            StreamKind::Messages => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
            _ => b": keep-alive\n\n",
        }));
    }

    /// Takes the next bytes for the client, as many as may go at once.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let mut gathered = Gathered::default();
        for _ in 0..self.ready.len() {
            match self.ready.pop_front_if(|chunk| gathered.has_room_for(chunk.len())) {
                Some(chunk) => gathered.push(chunk),
                None => break,
            }
        }
        (gathered.len() > 0).then(|| gathered.finish())
    }

    /// Returns whether the answer is whole if it ends now.
    pub(super) fn may_end(&self) -> bool {
        self.stream_end.as_ref().is_none_or(StreamEnd::is_complete)
    }

    /// Returns whether a stream has said everything, so that its client need not wait for the upstream to end the response.
    pub(super) fn has_said_all(&self) -> bool {
        !self.has_length && self.stream_end.as_ref().is_some_and(StreamEnd::has_said_all)
    }

    /// Returns whether the protocol's own end has come, so that nothing is missing however the connection ends.
    pub(super) fn has_come_to_its_end(&self) -> bool {
        !self.has_length && self.stream_end.as_ref().is_some_and(StreamEnd::has_come)
    }

    /// Makes ready what a stage still holds back of an answer that has ended. Returns whether everything was handed out.
    pub(super) fn finish(&mut self) -> bool {
        if !self.ready.is_empty() || self.withholds_error() {
            return false;
        }
        let rest = self.continuity.as_mut().map(|it| it.transcript.rest());
        self.ready.extend(rest.filter(|rest| !rest.is_empty()));
        self.ready.is_empty()
    }

    /// Returns whether another attempt may continue the stream.
    pub(super) fn can_resume(&self) -> bool {
        self.continuity.as_ref().is_some_and(|it| it.transcript.can_resume())
    }

    /// Finds another attempt that continues the stream. `None`: nobody could.
    pub(super) async fn resume(&mut self, failure: &Failure) -> Option<(Answer, Arc<Assignment>)> {
        self.continuity.as_mut()?.resume(failure).await
    }

    /// Returns the error that the upstream has reported and that is withheld from the client.
    pub(super) fn withheld_error(&self) -> Option<Bytes> {
        self.continuity.as_ref()?.transcript.withheld_error()
    }

    fn withholds_error(&self) -> bool {
        self.withheld_error().is_some()
    }

    /// Lets the client have what was withheld after all.
    pub(super) fn release_withheld(&mut self) {
        let released = self.continuity.as_mut().map(|it| it.transcript.release());
        self.ready.extend(released);
    }

    /// Takes the data of the event by which the upstream has reported an error that the client gets.
    pub(super) fn take_reported(&mut self) -> Option<Vec<u8>> {
        if self.withholds_error() {
            return None;
        }
        self.stream_end.as_mut()?.take_reported()
    }

    /// Ends an answer that broke off: a stream's client gets an error event after what has come.
    pub(super) fn break_off(&mut self, failure: &Failure, spoken: &Spoken) {
        let Some(end) = self.stream_end.as_ref().filter(|_| !self.has_length) else {
            return;
        };
        let error = GatewayError::new(502, "upstream_broken", failure.to_string());
        let has_whole_events = self.continuity.as_ref().is_some_and(|it| it.transcript.holds_back());
        let cut = if has_whole_events { Cut::Boundary } else { end.cut() };
        let request_id = spoken.request_id.to_str().unwrap_or_default();
        self.ready.push_back(stream_error_event(
            spoken.protocol,
            spoken.kind,
            cut,
            &error,
            request_id,
        ));
    }
}
