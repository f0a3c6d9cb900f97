//! Going on with a committed stream that breaks off: the target that served it is asked first, then those after it in the
//! chain, as far as they have `prefill` (docs: behaviour, "resuming").
//!
//! The session that hands the stream out runs beside Pingora's hooks, so the chain is shared from commit on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pingora::http::{RequestHeader, ResponseHeader};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::asked::Asked;
use super::attempt::edits;
use super::chain::Chain;
use super::diagnosis::{Question, diagnose};
use super::headers::{self, Sending};
use super::off_workers::INLINE_MAX_BYTES;
use super::recorder::{Details, Progress, Recorder};
use crate::body::{Facts, Outgoing, Uses, segments};
use crate::protocol::resume::{Transcript, continuing};
use crate::routing::{Outcome, Step};
use crate::transport::{Assignment, Evidence, Failure, JudgingConnector, Resume, Wanted};

/// A body's tree and what is written from it take about so many times the room of its text.
const PARSED_TIMES: usize = 4;

/// All that another attempt needs.
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
}

impl Resuming {
    /// For an attempt that is about to be made with `header`, as the client sent it.
    pub(super) fn new(connector: JudgingConnector, header: RequestHeader) -> Self {
        Self {
            connector,
            header,
            committed: Notify::new(),
            shared: Mutex::default(),
        }
    }

    /// The answer of the chain's attempt goes to the client.
    pub(super) fn commit(&self, mut chain: Chain, asked: Asked, progress: Progress) {
        // The body is only parsed from now on.
        let uses = Uses {
            raw: false,
            plain: true,
        };
        chain.body.keep_for(uses, asked.snapshot.memory.share());
        *self.lock() = Some(Shared { chain, asked, progress });
        self.committed.notify_one();
    }

    /// The chain, and where its attempts are recorded. Nothing is done before commit.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Chain, &mut Recorder<'_>) -> T) -> Option<T> {
        let mut shared = self.lock();
        let Shared { chain, asked, progress } = shared.as_mut()?;
        Some(work(chain, &mut Recorder { asked, progress }))
    }

    /// The request has ended. What has become of it.
    pub(super) fn end(&self) -> Option<Progress> {
        // The client left while an attempt to go on ran.
        self.with(|chain, recorder| {
            if let Some(attempt) = chain.attempt.take_if(|attempt| !attempt.is_answered()) {
                attempt.abandoned(recorder);
            }
        })?;
        self.lock().take().map(|shared| shared.progress)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Shared>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What asks the target of `step` to go on; `None` where the answer is of a kind that is not continued.
    ///
    /// Also `None` where there is no room for such a request: several times what its text takes, while it is made.
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
        let mut header = self.header.clone();
        let sending = Sending::Whole {
            body: &body,
            stream: true,
        };
        headers::to_upstream(&mut header, step, &asked.id, &sending).ok()?;
        Some((Box::new(header), body))
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
            let sent = self.with(|chain, recorder| {
                let attempt = chain.attempt.as_mut()?;
                attempt.opened(opened, began.elapsed(), recorder);
                match attempt.take_opened()? {
                    Err(failure) => {
                        fail(chain, &failure, recorder);
                        None
                    }
                    Ok(connection) => Some(attempt.assign(&asked, connection, body.segments, clocks, None)),
                }
            })?;
            if let Some(assignment) = sent {
                return Some((header, assignment));
            }
        }
    }
}

/// The attempt to go on got no answer.
fn fail(chain: &mut Chain, failure: &Failure, recorder: &mut Recorder<'_>) {
    let reason = failure.to_string();
    let details = Details::of_failure(failure, &reason);
    chain.settle_resuming(&Outcome::from(failure), &details, recorder);
}

#[async_trait]
impl Resume for Resuming {
    async fn broke_off(&self, failure: &Failure) {
        if self.lock().is_none() {
            self.committed.notified().await;
        }
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
        self.with(|chain, recorder| fail(chain, failure, recorder));
    }

    fn refused(&self, header: &ResponseHeader, evidence: &Evidence) {
        self.with(|chain, recorder| {
            let Some(attempt) = &chain.attempt else { return };
            let step = attempt.step.clone();
            let question = Question {
                header: &self.header,
                body: &chain.body,
                step: &step,
            };
            let (outcome, details) = diagnose(header, evidence, &question, &recorder.asked.snapshot);
            chain.settle_resuming(&outcome, &details, recorder);
        });
    }
}
