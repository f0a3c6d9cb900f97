//! Room for one request's body, and how long it is waited for.

use std::time::Duration;

use http::Version;
use pingora::{Error, ErrorType};
use pingora_proxy::Session;
use tokio::time::{Instant, sleep, timeout};

use crate::memory::{Budget, NeverFits, Share};
use crate::proxy::refusal::Refusal;
use crate::proxy::refusal::Stop;

/// How long a request waits for room, in all.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How often it is looked whether the client is still there. Its socket can't be read from meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Linux' `TCP_ESTABLISHED`.
const ESTABLISHED: u8 = 1;

pub(super) struct Room {
    memory: Budget,
    patience: Duration,
}

impl Room {
    pub(super) fn new(memory: &Budget) -> Self {
        Self {
            memory: memory.clone(),
            patience: WAIT_MAX,
        }
    }

    /// The most that the request can have beside what it keeps elsewhere.
    pub(super) fn most_beside(&self, bytes: usize) -> usize {
        self.memory.most_alone_bytes().saturating_sub(bytes)
    }

    pub(super) fn share(&self) -> Share {
        self.memory.share()
    }

    /// Makes `share` `bytes` in all, for a request that keeps `beside` more elsewhere.
    pub(super) async fn make(
        &mut self,
        session: &mut Session,
        share: &mut Share,
        bytes: usize,
        beside: usize,
    ) -> Result<(), Stop> {
        if share.try_grow_to(bytes) {
            return Ok(());
        }
        if bytes > self.most_beside(beside) {
            let most_bytes = self.memory.most_alone_bytes();
            return Err(Refusal::NeverFits(NeverFits { most_bytes }).into());
        }
        self.wait(session, share.grow_to(bytes)).await
    }

    /// Waits for room that `granted` asks for, while the client is there and patience lasts.
    pub(super) async fn wait(
        &mut self,
        session: &mut Session,
        granted: impl Future<Output = Result<(), NeverFits>>,
    ) -> Result<(), Stop> {
        let began = Instant::now();
        let waited = tokio::select! {
            biased;
            granted = timeout(self.patience, granted) => granted,
            gone = client_gone(session) => return Err(Stop::Failed(gone)),
        };
        self.patience = self.patience.saturating_sub(began.elapsed());
        match waited {
            Ok(Ok(())) => Ok(()),
            Ok(Err(never)) => Err(Refusal::NeverFits(never).into()),
            Err(_) => Err(self.busy()),
        }
    }

    /// No room, or no turn, in time.
    pub(super) fn busy(&self) -> Stop {
        Refusal::Busy.into()
    }
}

/// Returns when the client has left. More of its body may be waiting to be read, behind which the end of its connection
/// would not be seen over HTTP/1.1: the system knows of it.
async fn client_gone(session: &mut Session) -> Box<Error> {
    if session.req_header().version == Version::HTTP_2 {
        return match session.read_body_or_idle(true).await {
            Err(error) => error.into_down(),
            Ok(_) => std::future::pending().await,
        };
    }
    let socket = session.digest().and_then(|digest| digest.socket_digest.clone());
    loop {
        sleep(LOOK_EVERY).await;
        let state = socket.as_ref().and_then(|socket| socket.tcp_info());
        if state.is_some_and(|info| info.tcpi_state != ESTABLISHED) {
            let error = Error::explain(
                ErrorType::ConnectionClosed,
                "the client left while its request waited for room",
            );
            return error.into_down();
        }
    }
}
