//! Permission to make one attempt: from the upstream, from the model there, and a place among the upstream's requests.

use std::sync::Arc;

use tokio::time::Instant;

use super::Upstream;
use super::health::{Change, Pass};
use super::registry::{SharedHealth, Slot};
use super::setback::{Scope, Setback};
use crate::config::Cooldown;

/// Held from an attempt's beginning until its response has ended. However the attempt ends, what it holds is given
/// back: a half-open machine never waits for an attempt that is gone.
#[derive(Debug)]
pub struct Admission {
    upstream: Ticket,
    target: Ticket,
    /// The credential is the client's: problems of its account concern nobody else.
    clients_account: bool,
    _slot: Slot,
}

/// Why no attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The target or its upstream cools down, or another request tries it.
    CoolingDown,
    /// The upstream has `max_inflight` requests.
    Full,
}

impl Admission {
    /// Asks for permission to make an attempt. `anyway`: a cooldown does not matter, because there is no other target
    /// to ask.
    ///
    /// # Errors
    /// The attempt must not be made.
    pub fn ask(upstream: &Upstream, target: &Arc<SharedHealth>, anyway: bool, now: Instant) -> Result<Self, Refused> {
        let ticket = |health| Ticket::ask(health, anyway, now).ok_or(Refused::CoolingDown);
        Ok(Self {
            upstream: ticket(upstream.registry.own())?,
            target: ticket(target)?,
            clients_account: upstream.credential.is_passthrough(),
            _slot: upstream.enter().ok_or(Refused::Full)?,
        })
    }

    /// An answer has begun, which speaks for both. What that changes, and for whom.
    pub fn answered(&self) -> impl Iterator<Item = (Scope, Change)> + use<> {
        let both = [
            (Scope::Upstream, self.upstream.answered()),
            (Scope::Target, self.target.answered()),
        ];
        both.into_iter().filter_map(|(scope, change)| Some((scope, change?)))
    }

    /// The answer has come to its end.
    pub fn completed(self) {
        self.target.health.lock().completed();
    }

    /// Reports that the answer has broken off after it had begun, because of `setback`. That says whether anybody is to
    /// blame; what is counted is that it broke off.
    pub fn broke_off(&self, setback: Option<Setback>, cooldown: &Cooldown, now: Instant) -> Option<(Scope, Change)> {
        let setback = setback.filter(|setback| !(self.clients_account && setback.is_the_accounts()))?;
        self.failed(Some(setback.as_broken()), cooldown, now)
    }

    /// Reports that the attempt has failed, to the target or upstream that is to blame.
    pub fn failed(&self, setback: Option<Setback>, cooldown: &Cooldown, now: Instant) -> Option<(Scope, Change)> {
        let setback = setback.filter(|setback| !(self.clients_account && setback.is_the_accounts()))?;
        let ticket = match setback.scope {
            Scope::Upstream => &self.upstream,
            Scope::Target => &self.target,
        };
        let change = ticket.health.lock().failed(&ticket.pass, &setback, cooldown, now);
        Some((setback.scope, change?))
    }
}

/// A pass that finds its way back.
#[derive(Debug)]
struct Ticket {
    health: Arc<SharedHealth>,
    pass: Pass,
}

impl Ticket {
    fn ask(health: &Arc<SharedHealth>, anyway: bool, now: Instant) -> Option<Self> {
        let pass = {
            let mut health = health.lock();
            match anyway {
                true => Some(health.admit_anyway(now)),
                false => health.admit(now),
            }
        };
        Some(Self {
            pass: pass?,
            health: Arc::clone(health),
        })
    }

    fn answered(&self) -> Option<Change> {
        self.health.lock().answered(&self.pass)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.pass.is_trial() {
            self.health.lock().abandoned(&self.pass);
        }
    }
}
