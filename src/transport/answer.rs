//! One answer: asked for, and read until it has begun or failed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use pingora::http::RequestHeader;
use tokio::time::Instant;

use super::assignment::{Assignment, Evidence};
use super::clock::before;
use super::clocks::Beginning;
use super::failure::Failure;
use super::gathered::Gathered;
use super::turns::Turns;
use super::wire::Wire;
use crate::memory::Share;
use crate::protocol::StreamKind;
use crate::protocol::judge::{Judge, Judgement};
use crate::protocol::tail::StreamEnd;
use crate::protocol::whole_answer::{self, AnswerFault};

/// How long an error answer's body is waited for before the answer is judged by what is there.
const ERROR_BODY_CLOCK: Duration = Duration::from_secs(2);

pub(super) struct Answer {
    pub(super) wire: Wire,
    /// Read, but not handed out yet.
    pub(super) held: VecDeque<Bytes>,
    /// What a failed answer is classified by; `None`: it has begun.
    pub(super) evidence: Option<Evidence>,
    /// Watches a stream for its protocol's end. `None`: no stream, or one that can't be read.
    pub(super) stream_end: Option<StreamEnd>,
    /// Its body has a length, so nothing can be added to it.
    pub(super) has_length: bool,
}

impl Answer {
    /// Sends, and reads until the answer can be judged.
    pub(super) async fn to(request: Box<RequestHeader>, assignment: &Assignment) -> Result<Self, Failure> {
        let clocks = &assignment.clocks;
        assignment.timings.begin(Instant::now());
        let connection = assignment.connection.lock().ok().and_then(|mut opened| opened.take());
        let connection = connection.ok_or(Failure::Reset { reused: false })?;
        let reused = connection.reused;
        let mut wire = connection
            .send(request, &assignment.body)
            .map_err(|_| Failure::Reset { reused })?;
        wire.read_header(clocks).await?;
        assignment.timings.header_came(wire.since_taken());
        let mut answer = Self {
            wire,
            held: VecDeque::new(),
            evidence: None,
            stream_end: None,
            has_length: false,
        };
        answer.judge(assignment).await?;
        Ok(answer)
    }

    /// Reads on until the answer has begun or failed.
    async fn judge(&mut self, assignment: &Assignment) -> Result<(), Failure> {
        let wire = &mut self.wire;
        let Some(header) = wire.header() else {
            return Err(Failure::Reset { reused: false });
        };
        // What is compressed can't be watched. (It was not asked for, but an upstream may send it all the same.)
        let is_readable = !header.headers.contains_key(CONTENT_ENCODING);
        self.has_length = header.headers.contains_key(CONTENT_LENGTH);
        let mut judge = Judge::new(header.status.as_u16(), &header.headers, assignment.heard.kind);
        let begun = Instant::now();
        let mut turns = Turns::default();
        let mut share = assignment.memory.share();
        let judgement = loop {
            turns
                .next()
                .await
                .map_err(|turned| Failure::Invalid(turned.to_string()))?;
            // What is known to be an error is only waited for to be whole.
            let is_error = judge.awaits_error_body();
            let clocks = &assignment.clocks;
            let until = if is_error {
                begun + ERROR_BODY_CLOCK
            } else {
                clocks.meaningful_until(begun)
            };
            let until = until.min(clocks.end());
            let judgement = match before(until, wire.read_body()).await {
                Ok(Ok(Some(chunk))) => {
                    turns.moved_on();
                    // Once as it came, once as the judge reads it.
                    let has_room = share.try_grow_to(share.bytes() + 2 * chunk.len());
                    let judgement = judge.feed(&chunk);
                    self.held.push_back(chunk);
                    if has_room { judgement } else { judge.give_up() }
                }
                Ok(Ok(None)) => judge.end(),
                Ok(Err(_)) | Err(_) if is_error => judge.end(),
                Ok(Err(_)) => return Err(Failure::Reset { reused: false }),
                Err(_) if Instant::now() >= clocks.end() => return Err(clocks.at_end(Instant::now())),
                Err(_) => {
                    wire.fell_silent();
                    return Err(clocks.without_meaning());
                }
            };
            if judgement != Judgement::Undecided {
                break judgement;
            }
        };
        assignment.timings.judged(begun, Instant::now());
        if judge.is_event_stream() && is_readable {
            let mut end = StreamEnd::new(assignment.heard.kind);
            self.held.iter().for_each(|chunk| end.feed(chunk));
            self.stream_end = Some(end);
        }
        let mut fault = (judgement == Judgement::Failed).then(|| judge.fault()).flatten();
        let is_held_whole = judgement == Judgement::Begun
            && judge.is_json()
            && assignment.heard.kind != StreamKind::Other
            && matches!(assignment.clocks.beginning, Beginning::Whole { .. });
        if is_held_whole {
            fault = self.read_whole(assignment, &mut share).await?;
        }
        if judgement == Judgement::Failed || fault.is_some() {
            let held: Gathered = self.held.drain(..).collect();
            let held = share.carry(held.finish());
            self.held = VecDeque::from([held.clone()]);
            self.evidence = Some(Evidence {
                held,
                whole: self.wire.is_ended(),
                payload: Bytes::copy_from_slice(judge.error_payload()),
                fault,
            });
        } else if let Some(last) = self.held.pop_back() {
            // The last to be handed out takes the share with it.
            self.held.push_back(share.carry(last));
        }
        Ok(())
    }

    /// Reads an answer that does not stream to its end, so that one that is cut or is no answer can still be replaced.
    /// Returns what is wrong with it, as far as that can be told: one that is too large to be held passes as it comes.
    async fn read_whole(&mut self, assignment: &Assignment, share: &mut Share) -> Result<Option<AnswerFault>, Failure> {
        let clocks = &assignment.clocks;
        // One buffer, however small the pieces are in which an upstream writes.
        let mut body: Gathered = self.held.drain(..).collect();
        let mut turns = Turns::default();
        let is_whole = loop {
            if body.len() > assignment.max_held_bytes || !share.try_grow_to(body.len()) {
                break false;
            }
            turns
                .next()
                .await
                .map_err(|turned| Failure::Invalid(turned.to_string()))?;
            let until = (Instant::now() + clocks.idle).min(clocks.end());
            match before(until, self.wire.read_body()).await {
                Ok(Ok(Some(chunk))) => {
                    turns.moved_on();
                    body.push(chunk);
                }
                Ok(Ok(None)) => break true,
                Ok(Err(_)) => return Err(Failure::Reset { reused: false }),
                Err(_) if Instant::now() >= clocks.end() => return Err(clocks.at_end(Instant::now())),
                Err(_) => {
                    self.wire.fell_silent();
                    return Err(Failure::Silent);
                }
            }
        };
        let body = body.finish();
        let header = self.wire.header().filter(|_| is_whole);
        let fault = header.and_then(|header| whole_answer::fault(assignment.heard.kind, &header.headers, &body));
        self.held.push_back(body);
        Ok(fault)
    }
}
