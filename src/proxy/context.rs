//! One request's state, from intake to the access log: what was asked, how it has fared so far, and where it stands.

use std::sync::Arc;

use tokio::time::Instant;

use super::asked::{Arrival, Asked};
use super::attempt::Attempt;
use super::break_off::BreakOff;
use super::chain::Chain;
use super::home::Home;
use super::in_flight::InFlightGuard;
use super::recorder::{Progress, Recorder};
use super::resuming::Resuming;
use super::snapshot::Snapshot;
use crate::routing::Next;
use crate::transport::Failure;

pub struct RequestContext {
    pub asked: Asked,
    /// While another attempt may resume the answer, [`Serving::Resumable`] holds the progress instead.
    pub progress: Progress,
    pub stage: Stage,
    pub delivery: Delivery,
    /// Where the connection goes after the request has failed; `None`: nowhere.
    pub home: Option<Home>,
    _guard: InFlightGuard,
}

/// Where a request stands. Only one that is still `Trying` has a chain here, so nothing after commit can retry.
pub enum Stage {
    Intake,
    Trying(Box<Trying>),
    /// The request is relayed to one upstream as it arrives, without a second try.
    Relaying(Box<Attempt>),
    /// An upstream's answer goes to the client.
    Committed(Serving),
    /// The gateway answered for itself.
    Answered,
}

pub struct Trying {
    pub chain: Chain,
    /// Present if other attempts could resume the running attempt's answer.
    pub resuming: Option<Arc<Resuming>>,
}

/// The attempt whose answer the client gets.
pub enum Serving {
    Attempt(Box<Attempt>),
    /// The attempt, or another one that resumes its stream.
    Resumable(Arc<Resuming>),
    /// The attempt has ended, or broken off.
    Over,
}

/// What the client gets.
#[derive(Default)]
pub struct Delivery {
    /// When the first byte was committed to the client.
    pub committed: Option<Instant>,
    /// The target whose answer it is.
    pub served_by: Option<Arc<str>>,
    /// Every target failed.
    pub exhausted: bool,
    /// Why the gateway itself refused the request, by the code that the client was told.
    pub refused: Option<&'static str>,
    pub client_gone: bool,
    /// The end of an upstream's answer was handed out.
    pub is_whole: bool,
    /// Although the request has failed, its body was read to the end, and the client has a whole answer.
    pub keeps_connection: bool,
}

impl RequestContext {
    pub fn new(snapshot: Arc<Snapshot>, guard: InFlightGuard) -> Self {
        Self {
            asked: Asked::new(snapshot),
            progress: Progress::default(),
            stage: Stage::Intake,
            delivery: Delivery::default(),
            home: None,
            _guard: guard,
        }
    }

    pub(super) fn arrived(&mut self, arrival: Arrival) {
        self.asked.arrived(&arrival);
        self.home = Some(arrival.home);
    }

    /// The chain of a request that is being tried, and where its attempts are recorded.
    pub(super) fn trying(&mut self) -> Option<(&mut Trying, Recorder<'_>)> {
        let Stage::Trying(trying) = &mut self.stage else {
            return None;
        };
        let recorder = Recorder {
            asked: &self.asked,
            progress: &mut self.progress,
        };
        Some((trying, recorder))
    }

    /// The attempt of a request that is relayed, and where it is recorded.
    pub(super) fn relaying(&mut self) -> Option<(&mut Attempt, Recorder<'_>)> {
        let Stage::Relaying(attempt) = &mut self.stage else {
            return None;
        };
        let recorder = Recorder {
            asked: &self.asked,
            progress: &mut self.progress,
        };
        Some((attempt, recorder))
    }

    /// Ends the attempt whose answer the client gets, if it `is_meant`.
    fn end_serving(&mut self, is_meant: impl Fn(&Attempt) -> bool, end: impl FnOnce(Box<Attempt>, &mut Recorder<'_>)) {
        let Stage::Committed(serving) = &mut self.stage else {
            return;
        };
        match serving {
            Serving::Attempt(attempt) if is_meant(attempt) => {
                let mut recorder = Recorder {
                    asked: &self.asked,
                    progress: &mut self.progress,
                };
                if let Serving::Attempt(attempt) = std::mem::replace(serving, Serving::Over) {
                    end(attempt, &mut recorder);
                }
            }
            Serving::Resumable(resuming) => {
                resuming.with(|chain, recorder| {
                    if let Some(attempt) = chain.attempt.take_if(|attempt| is_meant(attempt)) {
                        end(attempt, recorder);
                    }
                });
            }
            Serving::Attempt(_) | Serving::Over => {}
        }
    }

    /// Notes that the answer has ended, `whole` or because the client has left: its upstream has room for another
    /// request.
    pub(super) fn served(&mut self, whole: bool) {
        self.end_serving(Attempt::is_answered, |attempt, recorder| {
            attempt.served(whole, recorder);
        });
    }

    /// Notes that the answer broke off after it had begun, and that no other attempt resumes it.
    pub(super) fn broke_off(&mut self, failure: &Failure) {
        self.end_serving(Attempt::is_answered, |attempt, recorder| {
            deliver_broken(attempt, failure, recorder);
        });
    }

    /// Checks whether the upstream has reported an error in the stream that goes to the client: then the stream is
    /// recorded as broken off, however it ends.
    pub(super) fn look_for_reported_error(&mut self) {
        self.end_serving(
            |attempt| attempt.reported().is_some(),
            |attempt, recorder| {
                if let Some(error) = attempt.reported().cloned() {
                    deliver_broken(attempt, &Failure::Reported(error), recorder);
                }
            },
        );
    }

    /// Takes back the progress of a stream that others could have resumed.
    pub(super) fn end_resuming(&mut self) {
        if let Stage::Committed(Serving::Resumable(resuming)) = &self.stage
            && let Some(progress) = resuming.end()
        {
            self.progress = progress;
        }
    }
}

fn deliver_broken(attempt: Box<Attempt>, failure: &Failure, recorder: &mut Recorder<'_>) {
    recorder.progress.is_broken = true;
    let break_off = BreakOff::of(failure, &attempt.step, attempt.assignment());
    attempt.broke_off(&break_off, Next::Deliver.name(), recorder);
}
