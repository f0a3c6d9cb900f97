//! The accounts of upstreams with `balance`, polled in the background. No request waits for them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::{BackgroundService, GenBackgroundService, background_service};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::own_requests;
use crate::classify::hint;
use crate::notation::date;
use crate::proxy::{Snapshot, log_cooldown};
use crate::telemetry;
use crate::telemetry::balance::Change;
use crate::transport::JudgingConnector;
use crate::transport::lookup::Lookup;
use crate::upstream::balance::{Answer, Failed, Moment, News, POLL_MAX, Remaining, Turn};
use crate::upstream::{Balance, Upstream};

/// How often to check whether a poll is due. A reload is noticed within this time.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many polls may be under way at once, over all upstreams.
const POLLS_MAX: usize = 4;
/// The most that is read of an answer; known providers' answers are smaller than 2 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Polls until the server stops. Each round uses the snapshot that is current then.
#[derive(Clone)]
pub(super) struct Balances {
    snapshot: Arc<ArcSwap<Snapshot>>,
    connector: JudgingConnector,
}

/// The service that asks.
pub(super) fn service(snapshot: Arc<ArcSwap<Snapshot>>, connector: JudgingConnector) -> GenBackgroundService<Balances> {
    background_service("balance", Balances { snapshot, connector })
}

#[async_trait]
impl BackgroundService for Balances {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // Dropped at the end, and its polls with it.
        let mut polls = JoinSet::new();
        loop {
            self.begin_what_is_due(&mut polls);
            tokio::select! {
                _ = shutdown.changed() => return,
                Some(_) = polls.join_next() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }
}

impl Balances {
    fn begin_what_is_due(&self, polls: &mut JoinSet<()>) {
        let snapshot = self.snapshot.load();
        for upstream in &snapshot.table.upstreams {
            if polls.len() >= POLLS_MAX {
                return;
            }
            let turn = upstream
                .balance
                .as_ref()
                .and_then(|balance| balance.begin(now(), fastrand::f64()));
            if let Some(turn) = turn {
                polls.spawn(self.clone().poll(Arc::clone(&snapshot), upstream.index, turn));
            }
        }
    }

    async fn poll(self, snapshot: Arc<Snapshot>, index: usize, turn: Turn) {
        let upstream = &snapshot.table.upstreams[index];
        let Some(balance) = &upstream.balance else { return };
        let told = self.ask(&snapshot, upstream, balance).await;
        let reason = told.as_ref().err().map(|failed| Arc::clone(&failed.reason));
        // Who is told is the upstream as it is now. One that is read otherwise since, or not at all, hears nothing.
        let snapshot = self.snapshot.load_full();
        let mut upstreams = snapshot.table.upstreams.iter();
        let upstream =
            upstreams.find(|upstream| upstream.balance.as_ref().is_some_and(|balance| balance.awaits(&turn)));
        if let Some(upstream) = upstream {
            let news = upstream.learn_balance(turn, told, now(), fastrand::f64());
            log_news(upstream, &news, reason.as_deref());
        }
    }

    /// One question, or two where the first answer leads to another.
    async fn ask(&self, snapshot: &Snapshot, upstream: &Upstream, balance: &Balance) -> Result<Remaining, Failed> {
        let failed = |reason: String, retry_after| Failed {
            reason: reason.into(),
            retry_after,
        };
        let timeouts = balance.timeouts();
        let deadline = Instant::now() + timeouts.deadline.min(POLL_MAX);
        let mut question = balance.question();
        loop {
            let path_and_query = question.path_and_query(&upstream.url.path, &upstream.query);
            let lookup = Lookup {
                path_and_query: &path_and_query,
                connect: timeouts.connect,
                headers: timeouts.headers,
                deadline,
                body_bytes_max: BODY_BYTES_MAX,
            };
            let headers = own_requests::headers(upstream, balance.protocol(&upstream.protocols), None);
            let endpoint = &snapshot.endpoints[upstream.index];
            let found = self.connector.look_up(endpoint, lookup, headers).await;
            let found = found.map_err(|failure| failed(failure.to_string(), None))?;
            match question.answered(&upstream.url.host, found.status, &found.body) {
                Ok(Answer::Told(remaining)) => return Ok(remaining),
                Ok(Answer::Ask(next)) => question = next,
                Err(unreadable) => {
                    let wish = hint::in_headers(&found.headers, SystemTime::now());
                    return Err(failed(unreadable.to_string(), wish));
                }
            }
        }
    }
}

fn now() -> Moment {
    Moment {
        instant: Instant::now(),
        unix_ms: date::unix_ms(SystemTime::now()),
    }
}

fn log_news(upstream: &Upstream, news: &News, reason: Option<&str>) {
    let log = |change| {
        telemetry::balance::Balance {
            upstream: &upstream.name,
            change,
        }
        .emit();
    };
    match (news.failing, reason) {
        (Some(true), reason) => log(Change::Unknown {
            reason: reason.unwrap_or_default(),
        }),
        (Some(false), _) => log(Change::Known),
        (None, _) => {}
    }
    let status = upstream.balance();
    if let (Some(is_low), Some(status)) = (news.low, &status)
        && let Some(reading) = &status.reading
    {
        let (remaining, currency) = (reading.remaining.amount, reading.remaining.currency);
        log(match remaining {
            Some(remaining) if is_low => Change::Low {
                remaining,
                currency,
                low: status.low,
            },
            _ => Change::Enough { remaining, currency },
        });
    }
    if let Some(change) = news.cooldown {
        log_cooldown(&upstream.name, change);
    }
}

#[cfg(test)]
mod tests;
