//! The search for an upstream that begins to answer, behind a client that was answered already: its connection would not have
//! survived the silence.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use tokio::time::Instant;

use super::answer::Answer;
use super::assignment::{Assignment, Resume};
use super::clock::before;
use super::failure::Failure;

/// Marks, in its extensions, a header that was made before any upstream has answered.
#[derive(Debug, Clone, Copy)]
pub struct Early;

/// The outcome of an attempt, or the gateway's account of all of them where no other is left.
type Attempted = Result<(Arc<Assignment>, Result<Answer, Failure>), String>;
type Running = Pin<Box<dyn Future<Output = Attempted> + Send>>;

/// Runs one attempt after the other until an answer begins.
pub(super) struct Search {
    by: Arc<dyn Resume>,
    /// The longest silence.
    every: Duration,
    /// The attempt that runs. Nobody else locks it: the lock only makes the session `Sync`, as Pingora wants it.
    running: Mutex<Running>,
}

/// The state of a search.
pub(super) enum Found {
    /// Nothing has come for a while.
    Silence,
    /// An attempt has failed, and another one runs.
    Failure,
    /// An answer has begun.
    Answer(Box<Answer>, Arc<Assignment>),
    /// Nobody is left; this is what was tried.
    Nobody(String),
}

impl Search {
    /// Begins with an attempt that runs already.
    pub(super) fn new(
        by: Arc<dyn Resume>,
        assignment: Arc<Assignment>,
        every: Duration,
        running: impl Future<Output = Result<Answer, Failure>> + Send + 'static,
    ) -> Self {
        let knows = Arc::clone(&by);
        let running = async move {
            let answer = running.await;
            knows.committed().await;
            Ok((assignment, answer))
        };
        Self {
            by,
            every,
            running: Mutex::new(Box::pin(running)),
        }
    }

    /// Waits for news, until the silence has been long enough. Cancel-safe.
    pub(super) async fn look(&mut self) -> Found {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Ok(attempted) = before(Instant::now() + self.every, running.as_mut()).await else {
            return Found::Silence;
        };
        let (assignment, answer) = match attempted {
            Ok(attempted) => attempted,
            Err(account) => return Found::Nobody(account),
        };
        match answer {
            Err(failure) => self.by.failed(&failure),
            Ok(answer) => {
                let status = answer.wire.header().map(|header| header.status.as_u16());
                match (&answer.evidence, answer.wire.header(), status) {
                    (Some(evidence), Some(header), _) => self.by.refused(header, evidence),
                    (None, _, Some(status)) if answer.stream_end.is_some() => {
                        self.by.began(status);
                        return Found::Answer(Box::new(answer), assignment);
                    }
                    _ => self.by.failed(&Failure::Invalid("no stream of events".to_owned())),
                }
            }
        }
        let by = Arc::clone(&self.by);
        *running = Box::pin(async move {
            let (request, assignment) = by.next_attempt().await?;
            let answer = Answer::to(request, &assignment).await;
            Ok((assignment, answer))
        });
        Found::Failure
    }
}

/// Makes an attempt that owns all that it needs, so that a search can keep it.
pub(super) async fn attempt(request: Box<RequestHeader>, assignment: Arc<Assignment>) -> Result<Answer, Failure> {
    Answer::to(request, &assignment).await
}

/// Makes the header of a stream that no upstream has begun.
pub(super) fn header() -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(200, Some(8))?;
    header.insert_header(http::header::CONTENT_TYPE, "text/event-stream")?;
    header.insert_header(http::header::CACHE_CONTROL, "no-cache")?;
    header.extensions_mut().insert(Early);
    Ok(header)
}
