//! Who goes on with a committed stream that breaks off: the target that served it, then those after it in the chain, as
//! far as they have `prefill` (docs: behaviour, "resuming").

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::break_off::BreakOff;
use super::context::{RequestContext, RequestId, Serving};
use super::headers::Sending;
use super::off_workers::INLINE_MAX_BYTES;
use super::{Snapshot, attempt, headers, health, measure, record, verdict};
use crate::body::{Outgoing, Replay, Segments, Uses};
use crate::classify::Class;
use crate::protocol::resume::{Transcript, continuing};
use crate::protocol::{Protocol, StreamKind};
use crate::routing::{Entry, Outcome, Route, Step};
use crate::telemetry::metrics::{RouteMeter, Served};
use crate::transport::{Assignment, Evidence, Failure, JudgingConnector, Resumable, Resume, Timings, Wanted};
use crate::upstream::Refused;

/// A body's tree and what is written from it take about so many times the room of its text.
const PARSED_TIMES: usize = 4;

/// All that another attempt needs, kept from before commit.
pub struct Resuming {
    snapshot: Arc<Snapshot>,
    connector: JudgingConnector,
    id: RequestId,
    protocol: Protocol,
    kind: StreamKind,
    model: Option<Arc<str>>,
    route: Option<Arc<Route>>,
    /// As the client sent it.
    header: RequestHeader,
    body: Replay,
    /// The session reads ahead: a stream may have broken off before its first bytes are committed to the client.
    committed: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The target that served first, then those after it.
    order: Vec<Step>,
    /// Where in `order` the next one is.
    cursor: usize,
    attempts_made: u32,
    attempts_left: u32,
    serving: Option<Serving>,
    running: Option<Serving>,
    /// Of attempts to go on.
    entries: Vec<Entry>,
    resumed: u32,
    /// The answer that was served first has broken off.
    first_broke_off: bool,
    /// It, or one that went on with it, broke off, and nobody went on.
    is_broken: bool,
}

impl State {
    fn has_another(&self) -> bool {
        let rest = self.order.get(self.cursor..).unwrap_or_default();
        self.attempts_left > 0 && rest.iter().any(|step| step.target.prefill)
    }
}

impl Resuming {
    /// For an attempt that is about to be made with `header`, as the client sent it, and `body`.
    pub(super) fn new(
        ctx: &RequestContext,
        connector: &JudgingConnector,
        header: &RequestHeader,
        body: &Replay,
    ) -> Self {
        let mut body = body.clone();
        let uses = Uses {
            raw: false,
            plain: true,
        };
        body.keep_for(uses, ctx.snapshot.memory.share());
        Self {
            snapshot: Arc::clone(&ctx.snapshot),
            connector: connector.clone(),
            id: ctx.id,
            protocol: ctx.protocol,
            kind: ctx.kind,
            model: ctx.asked.model.clone(),
            route: ctx.asked.route.clone(),
            header: header.clone(),
            body,
            committed: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// The answer of `serving` goes to the client. After it, those of `following` may be asked, `attempts_left` times in
    /// all.
    pub(super) fn commit(&self, serving: Serving, following: &[Step], attempts_made: u32, attempts_left: u32) {
        let mut state = self.state();
        state.order = std::iter::once(&serving.step).chain(following).cloned().collect();
        (state.attempts_made, state.attempts_left) = (attempts_made, attempts_left);
        state.serving = Some(serving);
        self.committed.notify_one();
    }

    /// The attempt that serves, if it has not broken off.
    pub(super) fn take_serving(&self) -> Option<Serving> {
        self.state().serving.take()
    }

    /// The same where it is as asked.
    pub(super) fn take_serving_if(&self, is_asked: impl FnOnce(&mut Serving) -> bool) -> Option<Serving> {
        self.state().serving.take_if(is_asked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route_meter(&self) -> &RouteMeter {
        self.snapshot
            .meters
            .of_route(self.route.as_deref(), self.model.is_some())
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whose turn it is. The last one is asked however it stands, rather than none.
    fn take_turn(&self) -> Option<Step> {
        let mut state = self.state();
        while state.has_another() {
            let step = state.order[state.cursor].clone();
            state.cursor += 1;
            if !step.target.prefill {
                continue;
            }
            let now = Instant::now();
            match step.admit(!state.has_another(), now) {
                Ok(admission) => {
                    state.attempts_made += 1;
                    state.attempts_left -= 1;
                    state.running = Some(Serving {
                        step: step.clone(),
                        began: now,
                        admission,
                        assignment: None,
                        served: Some(Served::default()),
                    });
                    return Some(step);
                }
                Err(Refused::Full) => state.entries.push(Entry::saturated(step.name(self.model()))),
                Err(Refused::CoolingDown) => {}
            }
        }
        None
    }

    /// The running attempt has a new connection.
    fn connected(&self, step: &Step, connect: Duration) {
        measure::connected(&self.snapshot, step, Some(connect));
        if let Some(running) = &mut self.state().running {
            running.served = Some(Served {
                connect: Some(connect),
                ..Served::default()
            });
        }
    }

    /// What asks the target of `step` to go on; `None` where the answer is of a kind that is not continued.
    ///
    /// Also `None` where there is no room for such a request: several times what its text takes, while it is made.
    async fn request_for(&self, step: &Step, so_far: &Transcript) -> Option<(Box<RequestHeader>, Outgoing)> {
        let (model, provider) = (step.model.clone(), step.target.upstream.provider.clone());
        let (text, tokens) = (so_far.text().to_owned(), so_far.tokens());
        let (kind, plain) = (self.kind, self.body.plain()?.clone());
        let mut share = self.snapshot.memory.share();
        if !share.try_grow_to(plain.len() * PARSED_TIMES + 2 * text.len()) {
            return None;
        }
        let is_large = plain.len() > INLINE_MAX_BYTES;
        let work = move || continuing(kind, &plain, &text, tokens, model.as_deref(), provider.as_deref());
        let body = if is_large {
            self.snapshot.off_workers.turn().await?.run(work).await.1
        } else {
            work()
        }?;
        share.shrink_to(body.len());
        let body = Outgoing {
            segments: Segments::from(share.carry(body)),
            is_decoded: true,
        };
        let mut header = self.header.clone();
        let sending = Sending::Whole {
            body: &body,
            stream: true,
        };
        headers::to_upstream(&mut header, &step.target.upstream, self.protocol, &self.id, &sending).ok()?;
        Some((Box::new(header), body))
    }

    /// Begins attempts until one has a connection.
    async fn begin_next(&self, so_far: &Transcript) -> Option<(Box<RequestHeader>, Arc<Assignment>)> {
        while let Some(step) = self.take_turn() {
            let Some((header, body)) = self.request_for(&step, so_far).await else {
                // Nothing is sent, so it is no attempt.
                self.state().running = None;
                return None;
            };
            let timeouts = &step.target.timeouts;
            let deadline = Instant::now() + timeouts.deadline;
            let endpoint = &self.snapshot.endpoints[step.target.upstream.index];
            let began = Instant::now();
            match self
                .connector
                .open(endpoint, Wanted::New, timeouts.connect, deadline)
                .await
            {
                Err(failure) => self.failed(&failure),
                Ok(connection) => {
                    self.connected(&step, began.elapsed());
                    let assignment = Assignment {
                        connection: Mutex::new(Some(connection)),
                        memory: self.snapshot.memory.clone(),
                        body: body.segments,
                        clocks: attempt::clocks(&step.target, deadline),
                        kind: self.kind,
                        protocol: self.protocol,
                        request_id: self.id.header(),
                        resumable: None,
                        timings: Timings::default(),
                        reported: OnceLock::new(),
                    };
                    let assignment = Arc::new(assignment);
                    if let Some(running) = &mut self.state().running {
                        running.assignment = Some(Arc::clone(&assignment));
                    }
                    return Some((header, assignment));
                }
            }
        }
        None
    }

    /// The running attempt has failed.
    fn settle(&self, outcome: &Outcome, signs: &verdict::Signs<'_>) {
        let mut state = self.state();
        let Some(running) = state.running.take() else { return };
        let change = outcome.report(&running.step, &running.admission, Instant::now());
        health::record_change(&running.step, self.model(), change);
        let action = if state.has_another() { "fallback" } else { "exhausted" };
        let attempt = (&running.step, running.served.and_then(|served| served.connect));
        measure::failed(&self.snapshot, &self.id, attempt, outcome, signs, action);
        let number = state.attempts_made;
        state
            .entries
            .push(self.record(&running, number, outcome, signs, action));
    }

    /// One failed attempt, in the log and for the ledger.
    fn record(
        &self,
        attempt: &Serving,
        number: u32,
        outcome: &Outcome,
        signs: &verdict::Signs<'_>,
        action: &'static str,
    ) -> Entry {
        let failed = record::Failed {
            id: &self.id,
            number,
            target: attempt.step.name(self.model()),
            ms: verdict::elapsed_ms(attempt.began),
            action,
        };
        failed.enter(outcome, signs)
    }
}

/// What makes the answer to `header` one that can be resumed, if anybody of the chain could.
pub(super) fn resumable(
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
    header: &RequestHeader,
) -> Option<Resumable> {
    ctx.resuming = None;
    let chain = ctx.stage.chain()?;
    let is_chat = matches!(ctx.kind, StreamKind::Chat | StreamKind::Messages);
    if !(is_chat && ctx.asked.stream && chain.may_resume()) {
        return None;
    }
    let by = Arc::new(Resuming::new(ctx, connector, header, &chain.body));
    ctx.resuming = Some(Arc::clone(&by));
    Some(Resumable {
        by,
        max_held_bytes: ctx.snapshot.max_held_bytes,
    })
}

/// Enters into the request's ledger what became of its stream.
pub(super) fn account(ctx: &mut RequestContext) {
    if let Some(resuming) = &ctx.resuming {
        let mut state = resuming.state();
        ctx.resumed = state.resumed;
        ctx.is_broken |= state.is_broken;
        if state.first_broke_off {
            ctx.ledger.broke_off();
        }
        state.entries.drain(..).for_each(|entry| ctx.ledger.push(entry));
        // The client left while an attempt to go on ran. That counts against nobody, but it was made.
        if let Some(running) = state.running.take() {
            measure::abandoned(&ctx.snapshot, &running.step);
            ctx.ledger.push(Entry {
                target: running.step.name(resuming.model()),
                status: None,
                class: Some(Class::ClientGone),
                clock: None,
                ms: verdict::elapsed_ms(running.began),
            });
        }
    }
}

#[async_trait]
impl Resume for Resuming {
    async fn broke_off(&self, failure: &Failure) {
        if self.state().order.is_empty() {
            self.committed.notified().await;
        }
        let mut state = self.state();
        let Some(serving) = state.serving.take() else { return };
        let break_off = BreakOff::of(failure, &serving);
        health::record_broken(&serving, self.model(), &break_off);
        match state.entries.iter_mut().rfind(|entry| entry.class.is_none()) {
            Some(resumed) => resumed.broke_off(),
            None => state.first_broke_off = true,
        }
        // It may go on itself.
        let served = |step: &Step| Arc::ptr_eq(&step.target, &serving.step.target);
        state.cursor = state.order.iter().position(served).unwrap_or_default();
        let signs = verdict::Signs::of_break_off(&break_off);
        let action = if state.has_another() { "resume" } else { "exhausted" };
        measure::broke_off(&self.snapshot, &self.id, &serving, &break_off, action);
        self.record(&serving, state.attempts_made, &break_off.outcome(), &signs, action);
    }

    async fn next(&self, so_far: &Transcript) -> Option<(Box<RequestHeader>, Arc<Assignment>)> {
        let next = self.begin_next(so_far).await;
        if next.is_none() {
            self.route_meter().resume_failed();
            self.state().is_broken = true;
        }
        next
    }

    fn resumed(&self, status: u16) {
        let mut state = self.state();
        let Some(mut running) = state.running.take() else {
            return;
        };
        let timings = running.assignment.as_ref().map(|assignment| &assignment.timings);
        running.served = Some(Served {
            connect: running.served.and_then(|served| served.connect),
            ..measure::answer(timings)
        });
        self.route_meter().resumed();
        for change in running.admission.answered() {
            health::record_change(&running.step, self.model(), Some(change));
        }
        state.resumed += 1;
        state.entries.push(Entry {
            target: running.step.name(self.model()),
            status: Some(status),
            class: None,
            clock: None,
            ms: verdict::elapsed_ms(running.began),
        });
        state.serving = Some(running);
    }

    fn failed(&self, failure: &Failure) {
        let reason = failure.to_string();
        let signs = verdict::Signs {
            clock: failure.clock(),
            reason: Some(&reason),
            ..verdict::Signs::default()
        };

        self.settle(&Outcome::from(failure), &signs);
    }

    fn refused(&self, header: &ResponseHeader, evidence: &Evidence) {
        let step = self.state().running.as_ref().map(|running| running.step.clone());
        if let Some(step) = step {
            let (outcome, mut signs) = verdict::read(header, evidence, &step, &self.header, &self.body);
            signs.message = measure::message(&self.snapshot, &step, &self.body, &evidence.payload);
            self.settle(&outcome, &signs);
        }
    }
}
