//! The plan of one request: its route's targets in the order in which they will be tried.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::table::{Route, Target};
use crate::protocol::Protocol;
use crate::upstream::registry::SharedHealth;
use crate::upstream::{Admission, Refused, Standing};

/// The ordered targets of one request. An attempt is made for each until one answers, some more than once.
#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Targets that are left out because they cool down.
    pub resting: Vec<Step>,
    /// All targets cool down, and are tried all the same: asking beats refusing.
    pub anyway: bool,
    /// Where the request is bound to one account's state: the targets that may have made it, if the one that was asked
    /// says that it did not.
    pub makers: Vec<Step>,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub target: Arc<Target>,
    /// The name to put into the body; `None` where the requested one stays.
    pub model: Option<Arc<str>>,
    /// The protocol in which the target is asked.
    pub protocol: Protocol,
    health: Arc<SharedHealth>,
}

impl Step {
    fn new(target: &Arc<Target>, requested: &str, protocol: Protocol, now: Instant) -> Self {
        let model = target.model_for(requested);
        Self {
            health: target.health_of(model.as_deref().unwrap_or(requested), now),
            target: Arc::clone(target),
            model,
            protocol,
        }
    }

    /// The target's name, as ledger and logs have it.
    pub fn name(&self, requested: Option<&str>) -> Arc<str> {
        self.target.name(self.model.as_deref().or(requested))
    }

    /// Returns the state of the target: its upstream's, or that of the model there, whichever is worse.
    pub fn standing(&self, now: Instant) -> Standing {
        let upstream = self.target.upstream.registry.own().standing(now);
        upstream.max(self.health.standing(now))
    }

    /// Asks for permission to make an attempt.
    ///
    /// # Errors
    /// No attempt must be made: see [`Admission::ask`].
    pub fn admit(&self, anyway: bool, now: Instant) -> Result<Admission, Refused> {
        Admission::ask(&self.target.upstream, &self.health, anyway, now)
    }
}

impl Plan {
    /// Appends the targets that were left out, the one that returns soonest first.
    pub(super) fn ask_resting(&mut self, now: Instant) {
        self.resting.sort_by_key(|step| step.standing(now));
        self.steps.append(&mut self.resting);
        self.anyway = true;
    }

    /// Returns whether a target that has not been asked may have made the state that the others do not know.
    pub(super) fn has_makers(&self) -> bool {
        !self.makers.is_empty() || !self.resting.is_empty()
    }

    /// Appends the next target that may have made the state that the others do not know: one at a time where the
    /// request is bound to one account, else all those that were left out.
    pub(super) fn ask_makers(&mut self, now: Instant) {
        if self.makers.is_empty() {
            self.ask_resting(now);
        } else {
            self.steps.push(self.makers.remove(0));
        }
    }
}

/// What the client is told about the targets that a cooldown has kept out of its request.
#[derive(Debug, Default)]
pub struct LeftOut {
    /// How long until the first of them returns.
    soonest_return: Option<Duration>,
    /// The text for people: `; cooling down: openai/gpt-4o (auth, 12 s more)`, or nothing.
    pub(super) in_words: String,
}

impl LeftOut {
    /// Describes the targets in their state `now`, in a request for the model `requested`.
    pub fn of(plan: &Plan, requested: Option<&str>, now: Instant) -> Self {
        let words = plan.resting.iter().filter_map(|step| {
            let name = step.name(requested);
            match step.standing(now) {
                Standing::Open { class, until } => {
                    let seconds = whole_seconds(until.duration_since(now));
                    Some(format!("{name} ({}, {seconds} s more)", class.name()))
                }
                Standing::OnTrial { class } => Some(format!("{name} ({}, being tried)", class.name())),
                Standing::Closed | Standing::Due => None,
            }
        });
        let words: Vec<_> = words.collect();
        let in_words = match &words[..] {
            [] => String::new(),
            words => format!("; cooling down: {}", words.join(", ")),
        };
        Self {
            soonest_return: plan.resting.iter().map(|step| step.standing(now).remaining(now)).min(),
            in_words,
        }
    }

    /// Returns when to ask again, for a `retry-after` in seconds; `None` if nothing was left out.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.soonest_return.map(whole_seconds)
    }
}

/// Rounds up, so that a client that waits this long comes neither too early nor at once.
fn whole_seconds(wait: Duration) -> u64 {
    let rounded_up = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    rounded_up.max(1)
}

/// Orders the targets of `route` for a request in `protocol` for `requested`, by their state `now`. It is pure:
/// `draw(n)` gives a number below `n`.
///
/// Targets that do not speak the protocol are passed over; a plan without steps means that none does. Those that cool
/// down are left out, unless all do: then the one whose cooldown ends soonest comes first.
pub fn plan(
    route: &Route,
    requested: &str,
    protocol: Protocol,
    now: Instant,
    mut draw: impl FnMut(u32) -> u32,
) -> Plan {
    let mut plan = Plan::default();
    let mut resting = Vec::new();
    // What is left of a group, with its weights.
    let mut usable = Vec::new();
    for group in &route.groups {
        for (target, weight) in group.members().filter(|(target, _)| target.upstream.speaks(protocol)) {
            let step = Step::new(target, requested, protocol, now);
            match step.standing(now) {
                standing if standing.is_skipped() => resting.push((standing, step)),
                _ => usable.push((step, weight)),
            }
        }
        draw_first(&mut usable, &mut draw);
        plan.steps.extend(usable.drain(..).map(|(step, _)| step));
    }
    plan.anyway = plan.steps.is_empty();
    if plan.anyway {
        resting.sort_by_key(|(standing, _)| *standing);
    }
    let resting = resting.into_iter().map(|(_, step)| step);
    match plan.anyway {
        true => plan.steps.extend(resting),
        false => plan.resting.extend(resting),
    }
    plan
}

/// Plans a request that is bound to one account's state: the first target of `route` that speaks `protocol`, in the
/// order of the file, whatever its state. Nothing is drawn, so that related requests meet at the same upstream.
///
/// `may_move`: if that target says that it did not make the state, the next ones are asked, because one of them may
/// have made it while the first was out. After any other failure the request stays where it is.
pub fn pinned_plan(route: &Route, requested: &str, protocol: Protocol, may_move: bool, now: Instant) -> Plan {
    let speaking = route.targets().filter(|target| target.upstream.speaks(protocol));
    let mut steps = speaking.map(|target| Step::new(target, requested, protocol, now));
    Plan {
        steps: steps.next().into_iter().collect(),
        makers: if may_move { steps.collect() } else { Vec::new() },
        resting: Vec::new(),
        anyway: true,
    }
}

/// Puts one that is drawn by weight first; the others stay in the order of the file.
fn draw_first(equals: &mut [(Step, u32)], draw: &mut impl FnMut(u32) -> u32) {
    if equals.len() < 2 {
        return;
    }
    let total = equals.iter().fold(0u32, |sum, (_, weight)| sum.saturating_add(*weight));
    let mut left = draw(total.max(1));
    let first = equals.iter().position(|(_, weight)| {
        let hit = left < *weight;
        left = left.saturating_sub(*weight);
        hit
    });
    equals[..=first.unwrap_or_default()].rotate_right(1);
}
