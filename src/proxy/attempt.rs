//! One attempt, from its turn to its end. It ends in one of five ways: it served, it failed, its client abandoned it, its
//! answer broke off, or its upstream was full and it never began. Each way writes ledger, log, meters and health once, here.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;

use super::asked::Asked;
use super::break_off::BreakOff;
use super::recorder::{Details, Failed, Recorder};
use crate::body::{Edits, Segments};
use crate::classify::Class;
use crate::config::{BodyEdits, Timeouts};
use crate::routing::{Entry, Next, Outcome, Step};
use crate::telemetry::metrics::Served;
use crate::transport::{Assignment, Beginning, Clocks, Connection, Failure, Heard, Resumable, Spoken, Timings};
use crate::upstream::Admission;
use crate::upstream::registry::Slot;

pub struct Attempt {
    pub step: Step,
    began: Instant,
    place: Place,
    /// The result of connecting, until it is used.
    opened: Option<Result<Connection, Failure>>,
    /// How long connecting took; `None` where the connection came from the pool, or there is none yet.
    connect: Option<Duration>,
    /// What was sent, and what was observed of the answer.
    assignment: Option<Arc<Assignment>>,
    answer: AnswerState,
}

/// The attempt's place among the requests to its upstream, given back when the attempt is dropped.
enum Place {
    /// Its answer counts for or against the target.
    Judged(Admission),
    /// The request is relayed, so its answer is not judged: any answer counts as one.
    Relayed { _slot: Slot },
}

enum AnswerState {
    None,
    /// The answer goes to the client; holds what the meters need to know of it.
    Good(Option<Served>),
    /// The answer is a failure, and was recorded as one. It may go to the client all the same.
    Failed,
}

impl Attempt {
    pub(super) fn new(step: Step, admission: Admission, began: Instant) -> Box<Self> {
        Self::begin(step, Place::Judged(admission), began)
    }

    pub(super) fn relayed(step: Step, slot: Slot, began: Instant) -> Box<Self> {
        Self::begin(step, Place::Relayed { _slot: slot }, began)
    }

    fn begin(step: Step, place: Place, began: Instant) -> Box<Self> {
        Box::new(Self {
            step,
            began,
            place,
            opened: None,
            connect: None,
            assignment: None,
            answer: AnswerState::None,
        })
    }

    /// Ends an attempt that was never begun, because the upstream has its `max_inflight` requests.
    pub(super) fn full(step: &Step, recorder: &mut Recorder<'_>) {
        let target = recorder.asked.target_name(step);
        recorder.progress.ledger.push(Entry::saturated(target));
    }

    /// Notes that connecting has ended after `took`.
    pub(super) fn opened(&mut self, opened: Result<Connection, Failure>, took: Duration, recorder: &mut Recorder<'_>) {
        // What the pool has is not waited for.
        let is_reused = opened.as_ref().is_ok_and(Connection::is_reused);
        if !is_reused {
            recorder.progress.waited += took;
        }
        if opened.is_ok() {
            self.connect = (!is_reused).then_some(took);
            recorder.meter(&self.step).connected(self.connect);
        }
        self.opened = Some(opened);
    }

    /// Takes the connection, or the reason why there is none; `None` before connecting has ended, or where it was taken
    /// already.
    pub(super) fn take_opened(&mut self) -> Option<Result<Connection, Failure>> {
        self.opened.take()
    }

    /// Makes the assignment for the session that sends `body` on `connection`.
    pub(super) fn assign(
        &mut self,
        asked: &Asked,
        connection: Connection,
        body: Segments,
        clocks: Clocks,
        resumable: Option<Resumable>,
    ) -> Arc<Assignment> {
        let assignment = Arc::new(Assignment {
            connection: Mutex::new(Some(connection)),
            memory: asked.snapshot.memory.clone(),
            max_held_bytes: asked.snapshot.max_held_bytes,
            body,
            clocks,
            heard: Heard { kind: asked.kind },
            spoken: Spoken {
                kind: asked.kind,
                protocol: asked.protocol,
                request_id: asked.id.header(),
            },
            keepalive: asked.keepalive(),
            resumable,
            timings: Timings::default(),
            screening: self.step.target.upstream.clone(),
            reported: OnceLock::new(),
        });
        self.assignment = Some(Arc::clone(&assignment));
        assignment
    }

    /// Returns what was sent, if anything was.
    pub(super) fn assignment(&self) -> Option<&Assignment> {
        self.assignment.as_deref()
    }

    /// Returns whether its answer was judged.
    pub(super) fn is_answered(&self) -> bool {
        !matches!(self.answer, AnswerState::None)
    }

    /// Returns the error that its upstream has reported in the stream that goes to the client.
    pub(super) fn reported(&self) -> Option<&Bytes> {
        self.assignment()?.reported.get()
    }

    /// Notes that a good answer has begun, which the client gets.
    pub(super) fn answered(&mut self, status: u16, recorder: &mut Recorder<'_>) {
        recorder.enter(&self.step, self.began, Some(status), None, &Details::default());
        recorder.progress.waited += self.waited(Instant::now());
        self.answer = match &self.place {
            Place::Judged(admission) => {
                for change in admission.answered() {
                    recorder.cooldown(&self.step, Some(change));
                }
                if status == StatusCode::SWITCHING_PROTOCOLS {
                    // How long people talk on it says nothing of the target.
                    recorder.meter(&self.step).served(&Served::default(), Instant::now());
                    self.answer = AnswerState::Good(None);
                    return;
                }
                let timings = self.assignment().map(|assignment| &assignment.timings);
                AnswerState::Good(Some(Served {
                    connect: self.connect,
                    headers: timings.and_then(Timings::headers),
                    first_token: timings.and_then(Timings::first_token),
                    total: None,
                }))
            }
            Place::Relayed { .. } => {
                recorder.meter(&self.step).served(&Served::default(), Instant::now());
                AnswerState::Good(None)
            }
        };
    }

    /// Ends an attempt whose answer has come to its end, `whole` or because the client has left.
    pub(super) fn served(self, whole: bool, recorder: &Recorder<'_>) {
        // A failure that is delivered comes to its end, too, and is no sign that answers do.
        let AnswerState::Good(Some(served)) = self.answer else {
            return;
        };
        let now = Instant::now();
        let served = Served {
            total: whole.then(|| now.duration_since(self.began)),
            ..served
        };
        recorder.meter(&self.step).served(&served, now);
        if let (true, Place::Judged(admission)) = (whole, self.place) {
            admission.completed();
        }
    }

    /// Ends an attempt that got no answer, or a failed one. `decide` chooses what is done about it, after the health of
    /// its target and upstream has been updated.
    pub(super) fn failed(
        &mut self,
        outcome: &Outcome,
        details: &Details<'_>,
        now: Instant,
        recorder: &mut Recorder<'_>,
        decide: impl FnOnce() -> Next,
    ) -> Next {
        if let Place::Judged(admission) = &self.place {
            recorder.cooldown(&self.step, outcome.report(&self.step, admission, now));
        }
        let next = decide();
        let number = recorder.progress.ledger.attempts() + 1;
        recorder.failed(&self.failure(outcome, details, next.name()), number);
        recorder.enter(&self.step, self.began, outcome.status, Some(outcome.class), details);
        recorder.progress.waited += self.waited(now);
        self.answer = AnswerState::Failed;
        next
    }

    /// Ends an attempt whose answer broke off after it had begun, or in which its upstream has reported an error.
    pub(super) fn broke_off(self, break_off: &BreakOff, action: &'static str, recorder: &mut Recorder<'_>) {
        if let Place::Judged(admission) = &self.place {
            let cooldown = &self.step.target.cooldown;
            let change = admission.broke_off(break_off.blames(), cooldown, Instant::now());
            recorder.cooldown(&self.step, change);
        }
        // A failure that is delivered was recorded before it began.
        if let AnswerState::Good(Some(_)) = self.answer {
            let details = Details {
                reason: Some(&break_off.reason),
                rule: break_off.rule,
                ..Details::default()
            };
            let number = recorder.progress.ledger.attempts();
            recorder.failed(&self.failure(&break_off.outcome(), &details, action), number);
            recorder.progress.ledger.broke_off();
        }
    }

    /// Ends an attempt whose client has left before there was an answer. It counts against nobody, but is recorded.
    pub(super) fn abandoned(self, recorder: &mut Recorder<'_>) {
        recorder.meter(&self.step).abandoned();
        recorder.enter(
            &self.step,
            self.began,
            None,
            Some(Class::ClientGone),
            &Details::default(),
        );
    }

    fn failure<'a>(&'a self, outcome: &'a Outcome, details: &'a Details<'a>, action: &'static str) -> Failed<'a> {
        Failed {
            step: &self.step,
            began: self.began,
            connect: self.connect,
            outcome,
            details,
            action,
        }
    }

    /// Returns how long its upstream was waited for since connecting.
    fn waited(&self, now: Instant) -> Duration {
        let timings = self.assignment().map(|assignment| &assignment.timings);
        timings.map_or(Duration::ZERO, |timings| timings.waited(now))
    }
}

/// Returns the clocks until an answer has begun: one that `streams`, or one whose header comes when all of it is written.
pub(super) fn beginning(timeouts: &Timeouts, streams: bool) -> Beginning {
    match streams {
        true => Beginning::Stream {
            headers: timeouts.headers,
            first_token: timeouts.first_token,
        },
        false => Beginning::Whole {
            answer: timeouts.answer,
        },
    }
}

/// Returns what is changed in a body that goes to the target of `step`.
pub(super) fn edits(step: &Step) -> Edits<'_> {
    let BodyEdits { set, drop } = &step.target.body;
    Edits {
        set: set.as_slice(),
        drop: drop.as_slice(),
    }
}
