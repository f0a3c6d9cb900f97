//! Attempts behind a client that has been answered. A stream that breaks off is resumed: the target that served it is asked
//! first, then those after it in the chain, as far as they have `prefill` (docs: behaviour, "resuming"). Where no upstream
//! has begun yet, the chain goes on as it does before commit ("keep-alives").
//!
//! The session that hands the stream out runs beside Pingora's hooks, so the chain is shared from commit on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::http::{RequestHeader, ResponseHeader};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::asked::Asked;
use super::attempt::edits;
use super::chain::Chain;
use super::diagnosis::{Question, diagnose};
use super::headers::{self, Sending};
use super::off_workers::INLINE_MAX_BYTES;
use super::recorder::{Details, Progress, Recorder};
use crate::body::{Facts, Outgoing, Uses, segments};
use crate::protocol::resume::{Transcript, continuing};
use crate::routing::{Next, Outcome, Step};
use crate::transport::{Assignment, Clocks, Connection, Evidence, Failure, JudgingConnector, Resume, Wanted};

/// A body's tree and what is written from it take about so many times the room of its text.
const PARSED_TIMES: usize = 4;

/// Holds all that another attempt needs.
pub struct Resuming {
    connector: JudgingConnector,
    /// As the client sent it.
    header: RequestHeader,
    /// The session reads ahead: a stream may have broken off before its first bytes are committed to the client.
    committed: Notify,
    /// From commit to the request's end.
    shared: Mutex<Option<Shared>>,
}

struct Shared {
    chain: Chain,
    asked: Asked,
    progress: Progress,
    /// An upstream has begun to answer. Before that attempts follow each other as they do before commit.
    has_begun: bool,
    /// What is done about the last attempt that failed before that, and what its upstream has said.
    next: Next,
    last_words: Option<String>,
}

impl Shared {
    /// Settles the running attempt, which has failed.
    fn fail(&mut self, outcome: &Outcome, details: &Details<'_>) {
        let mut recorder = Recorder {
            asked: &self.asked,
            progress: &mut self.progress,
        };
        if self.has_begun {
            self.chain.settle_resuming(outcome, details, &mut recorder);
        } else {
            self.next = self.chain.settle(outcome, details, &mut recorder);
            self.last_words = details.message.clone();
        }
    }

    /// Gives the gateway's account of what was tried for a client that was answered already.
    fn account(&mut self) -> String {
        self.progress.is_broken = true;
        let left_out = self.chain.left_out(self.asked.model.as_deref(), Instant::now());
        let account = self.progress.ledger.account(&left_out).message;
        match &self.last_words {
            Some(words) => format!("{account}; the last one said: {words}"),
            None => account,
        }
    }
}

impl Resuming {
    /// Prepares for an attempt that is about to be made with `header`, as the client sent it.
    pub(super) fn new(connector: JudgingConnector, header: RequestHeader) -> Self {
        Self {
            connector,
            header,
            committed: Notify::new(),
            shared: Mutex::default(),
        }
    }

    /// Takes the chain over: from now on the client has been answered, by an upstream or, unless one `has_begun`, before any.
    pub(super) fn commit(&self, mut chain: Chain, asked: Asked, progress: Progress, has_begun: bool) {
        // The body is only parsed from now on.
        let uses = Uses {
            raw: false,
            plain: true,
        };
        if has_begun {
            chain.body.keep_for(uses, asked.snapshot.memory.share());
        } else {
            chain.was_answered_early();
        }
        *self.lock() = Some(Shared {
            chain,
            asked,
            progress,
            has_begun,
            next: Next::Exhausted,
            last_words: None,
        });
        self.committed.notify_one();
    }

    /// Lends the chain, and where its attempts are recorded. Nothing is done before commit.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Chain, &mut Recorder<'_>) -> T) -> Option<T> {
        let mut shared = self.lock();
        let Shared {
            chain, asked, progress, ..
        } = shared.as_mut()?;
        Some(work(chain, &mut Recorder { asked, progress }))
    }

    /// Ends the request, and returns what has become of it.
    pub(super) fn end(&self) -> Option<Progress> {
        // The client left while an attempt to go on ran.
        self.with(|chain, recorder| {
            if let Some(attempt) = chain.attempt.take_if(|attempt| !attempt.is_answered()) {
                attempt.abandoned(recorder);
            }
        })?;
        self.lock().take().map(|shared| shared.progress)
    }

    /// Does `work` for a search for an upstream that begins to answer.
    ///
    /// # Errors
    /// There is nothing left to do; the account of what was tried.
    fn searching<T>(&self, work: impl FnOnce(&mut Shared) -> Option<T>) -> Result<T, String> {
        let mut shared = self.lock();
        let Some(shared) = shared.as_mut() else {
            return Err("the request has ended".to_owned());
        };
        match work(shared) {
            Some(done) => Ok(done),
            None => Err(shared.account()),
        }
    }

    /// Makes the request of an attempt that is connected; settles one that is not (`None`).
    fn send(
        &self,
        shared: &mut Shared,
        opened: Result<Connection, Failure>,
        took: Duration,
        step: &Step,
        clocks: Clocks,
    ) -> Option<(Box<RequestHeader>, Arc<Assignment>)> {
        let mut recorder = Recorder {
            asked: &shared.asked,
            progress: &mut shared.progress,
        };
        let attempt = shared.chain.attempt.as_mut()?;
        attempt.opened(opened, took, &mut recorder);
        let connection = match attempt.take_opened()? {
            Ok(connection) => connection,
            Err(failure) => {
                let reason = failure.to_string();
                shared.fail(&Outcome::from(&failure), &Details::of_failure(&failure, &reason));
                return None;
            }
        };
        let body = shared.chain.body.outgoing(step.model.as_deref(), edits(step));
        let Some(header) = self.header_for(step, &shared.asked, &body) else {
            shared.next = Next::Exhausted;
            return None;
        };
        let attempt = shared.chain.attempt.as_mut()?;
        let assignment = attempt.assign(&shared.asked, connection, body.segments, clocks, None);
        Some((header, assignment))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Shared>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the request that asks the target of `step` to resume the stream. `None`: the answer is of a kind that is not
    /// continued, or there is no room for such a request, which takes several times the room of its text while it is made.
    async fn request_for(&self, step: &Step, transcript: &Transcript) -> Option<(Box<RequestHeader>, Outgoing)> {
        let (model, provider) = (step.model.clone(), step.target.upstream.provider.clone());
        let (text, tokens) = (transcript.text().to_owned(), transcript.tokens());
        let (asked, plain) = self.with(|chain, recorder| {
            let plain = chain.body.plain().cloned();
            (recorder.asked.clone(), plain)
        })?;
        let (kind, plain) = (asked.kind, plain?);
        let mut share = asked.snapshot.memory.share();
        if !share.try_grow_to(plain.len() * PARSED_TIMES + 2 * text.len()) {
            return None;
        }
        let is_large = plain.len() > INLINE_MAX_BYTES;
        let work = move || continuing(kind, &plain, &text, tokens, model.as_deref(), provider.as_deref());
        let body = if is_large {
            asked.snapshot.off_workers.turn().await?.run(work).await.1
        } else {
            work()
        }?;
        share.shrink_to(body.len());
        let body = Outgoing {
            segments: segments(&share.carry(body), &Facts::default(), None, edits(step)),
            is_decoded: true,
        };
        Some((self.header_for(step, &asked, &body)?, body))
    }

    /// Makes the header with which the target of `step` is sent `body`.
    fn header_for(&self, step: &Step, asked: &Asked, body: &Outgoing) -> Option<Box<RequestHeader>> {
        let mut header = Box::new(self.header.clone());
        let sending = Sending::Whole { body, stream: true };
        headers::to_upstream(&mut header, step, &asked.id, &sending).ok()?;
        Some(header)
    }

    /// Begins attempts until one has a connection.
    async fn begin_next(&self, transcript: &Transcript) -> Option<(Box<RequestHeader>, Arc<Assignment>)> {
        loop {
            let step = self.with(|chain, recorder| {
                let begun = chain.begin_resuming(Instant::now(), recorder);
                begun.map(|attempt| attempt.step.clone())
            })??;
            let Some((header, body)) = self.request_for(&step, transcript).await else {
                // Nothing is sent, so it is no attempt.
                self.with(|chain, _| chain.attempt = None);
                return None;
            };
            let (asked, clocks) = self.with(|chain, recorder| (recorder.asked.clone(), chain.clocks(&step)))?;
            let endpoint = &asked.snapshot.endpoints[step.target.upstream.index];
            let began = Instant::now();
            let connect = step.target.timeouts.connect;
            let opening = self.connector.open(endpoint, Wanted::New, connect, clocks.deadline);
            let opened = opening.await;
            let opened = self.with(|chain, recorder| {
                let attempt = chain.attempt.as_mut()?;
                attempt.opened(opened, began.elapsed(), recorder);
                attempt.take_opened()
            })??;
            match opened {
                Err(failure) => self.failed(&failure),
                Ok(connection) => {
                    let assignment = self.with(|chain, _| {
                        let attempt = chain.attempt.as_mut()?;
                        Some(attempt.assign(&asked, connection, body.segments, clocks, None))
                    })??;
                    return Some((header, assignment));
                }
            }
        }
    }
}

#[async_trait]
impl Resume for Resuming {
    async fn committed(&self) {
        if self.lock().is_none() {
            self.committed.notified().await;
        }
    }

    async fn next_attempt(&self) -> Result<(Box<RequestHeader>, Arc<Assignment>), String> {
        loop {
            let wait = self.searching(|shared| match shared.next {
                Next::Retry { .. } | Next::Fallback => Some(shared.chain.wait),
                Next::Deliver | Next::Exhausted => None,
            })?;
            sleep(wait).await;
            let (step, wanted, clocks, asked) = self.searching(|shared| {
                let mut recorder = Recorder {
                    asked: &shared.asked,
                    progress: &mut shared.progress,
                };
                let step = shared.chain.begin(Instant::now(), &mut recorder)?.step.clone();
                let (wanted, clocks) = (shared.chain.wanted_connection(), shared.chain.clocks(&step));
                Some((step, wanted, clocks, shared.asked.clone()))
            })?;
            let endpoint = &asked.snapshot.endpoints[step.target.upstream.index];
            let began = Instant::now();
            let connect = step.target.timeouts.connect;
            let opened = self.connector.open(endpoint, wanted, connect, clocks.deadline).await;
            let sent = self.searching(|shared| Some(self.send(shared, opened, began.elapsed(), &step, clocks)))?;
            if let Some(sent) = sent {
                return Ok(sent);
            }
        }
    }

    fn began(&self, status: u16) {
        let mut shared = self.lock();
        let Some(shared) = shared.as_mut() else { return };
        shared.has_begun = true;
        let mut recorder = Recorder {
            asked: &shared.asked,
            progress: &mut shared.progress,
        };
        if let Some(attempt) = &mut shared.chain.attempt {
            attempt.answered(status, &mut recorder);
            recorder.progress.served_by = Some(recorder.asked.target_name(&attempt.step));
        }
    }

    async fn broke_off(&self, failure: &Failure) {
        self.committed().await;
        self.with(|chain, recorder| chain.break_off(failure, recorder));
    }

    async fn next(&self, transcript: &Transcript) -> Option<(Box<RequestHeader>, Arc<Assignment>)> {
        let next = self.begin_next(transcript).await;
        if next.is_none() {
            self.with(|_, recorder| {
                recorder.asked.route_meter().resume_failed();
                recorder.progress.is_broken = true;
            });
        }
        next
    }

    fn resumed(&self, status: u16) {
        self.with(|chain, recorder| {
            if let Some(attempt) = &mut chain.attempt {
                attempt.answered(status, recorder);
                recorder.asked.route_meter().resumed();
                recorder.progress.resumed += 1;
            }
        });
    }

    fn failed(&self, failure: &Failure) {
        let reason = failure.to_string();
        if let Some(shared) = self.lock().as_mut() {
            shared.fail(&Outcome::from(failure), &Details::of_failure(failure, &reason));
        }
    }

    fn refused(&self, header: &ResponseHeader, evidence: &Evidence) {
        let mut shared = self.lock();
        let Some(shared) = shared.as_mut() else { return };
        let Some(attempt) = &shared.chain.attempt else { return };
        let step = attempt.step.clone();
        let question = Question {
            header: &self.header,
            body: &shared.chain.body,
            step: &step,
        };
        let (outcome, details) = diagnose(header, evidence, &question, &shared.asked.snapshot);
        shared.fail(&outcome, &details);
    }
}
