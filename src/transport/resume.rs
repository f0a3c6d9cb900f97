//! A stream that breaks off after commit is gone on with by another attempt, where somebody has asked for that.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::answer::Answer;
use super::assignment::{Assignment, Resume};
use super::failure::Failure;
use super::turns::Turns;
use crate::memory::Share;
use crate::protocol::resume::Transcript;

/// Room for a transcript is made by so much at once.
const STEP_BYTES: usize = 4 * 1024;

type Resumed = Option<(Answer, Arc<Assignment>)>;

/// What a session needs to go on with its stream.
pub(super) struct Continuity {
    /// Boxed, for Pingora's future has the session in it three times, and few streams have one.
    pub(super) transcript: Box<Transcript>,
    /// Of the transcript.
    share: Share,
    resume: Arc<dyn Resume>,
}

impl Continuity {
    /// `None`: the answer is not to be resumed, whatever happens.
    pub(super) fn of(answer: &Answer, assignment: &Assignment) -> Option<Self> {
        let resumable = assignment.resumable.as_ref().filter(|it| it.continues)?;
        let is_stream = answer.evidence.is_none() && answer.stream_end.is_some() && !answer.has_length;
        let transcript = Transcript::new(assignment.heard.kind, resumable.max_held_bytes).filter(|_| is_stream)?;
        Some(Self {
            transcript: Box::new(transcript),
            share: assignment.memory.share(),
            resume: Arc::clone(&resumable.by),
        })
    }

    /// What goes to the client of `chunk`. A transcript for which there is no room is given up.
    pub(super) fn feed(&mut self, chunk: Bytes) -> Bytes {
        let passed = self.transcript.feed(chunk);
        let held = self.transcript.held_bytes().next_multiple_of(STEP_BYTES);
        if held > self.share.bytes() && !self.share.try_grow_to(held) {
            self.transcript.give_up();
        }
        if !self.transcript.can_resume() {
            self.share.shrink_to(self.transcript.held_bytes());
        }
        passed
    }

    /// The answer that goes on with the stream, and the attempt that it is of. `None`: nobody could, and the stream ends
    /// as `failure` left it.
    ///
    /// Boxed, for whoever reads a stream has it in their future, with each chunk anew, and hardly ever goes this way.
    pub(super) fn resume<'a>(&'a mut self, failure: &'a Failure) -> Pin<Box<dyn Future<Output = Resumed> + Send + 'a>> {
        Box::pin(self.resumed_by_another(failure))
    }

    async fn resumed_by_another(&mut self, failure: &Failure) -> Resumed {
        self.resume.broke_off(failure).await;
        let mut turns = Turns::default();
        while let Some((request, assignment)) = self.resume.next(&self.transcript).await {
            // Whoever finds the next attempt counts them, too; this only holds should it ever forget.
            turns.next().await.ok()?;
            match Answer::to(request, &assignment).await {
                Err(failure) => self.resume.failed(&failure),
                Ok(answer) => {
                    if let Some((answer, status)) = self.accept(answer) {
                        self.resume.resumed(status);
                        self.transcript.go_on();
                        return Some((answer, assignment));
                    }
                }
            }
        }
        None
    }

    /// A stream that has begun, with its status.
    fn accept(&self, answer: Answer) -> Option<(Answer, u16)> {
        let Some(header) = answer.wire.header() else {
            self.resume.failed(&Failure::Reset { reused: false });
            return None;
        };
        if let Some(evidence) = &answer.evidence {
            self.resume.refused(header, evidence);
            return None;
        }
        if answer.stream_end.is_none() {
            self.resume.failed(&Failure::Invalid("no stream of events".to_owned()));
            return None;
        }
        let status = header.status.as_u16();
        Some((answer, status))
    }
}
