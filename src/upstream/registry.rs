//! What is remembered of an upstream: its health, that of its models, and how many requests it has in flight. A reload
//! passes it on to the upstream of the same name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::health::{Health, Standing};

/// How many models that only clients name, through a glob, are remembered at an upstream. Nothing is remembered of
/// others.
const ASKED_MAX: usize = 1024;

/// A [`Health`] that requests share. It is locked for a few instructions at a time.
#[derive(Debug, Default)]
pub struct SharedHealth(Mutex<Health>);

impl SharedHealth {
    pub fn standing(&self, now: Instant) -> Standing {
        self.lock().standing(now)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Health> {
        lock(&self.0)
    }
}

/// Nothing panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
pub struct Registry {
    own: Arc<SharedHealth>,
    inflight: Arc<AtomicU32>,
    models: Mutex<Models>,
}

#[derive(Debug, Default, Clone)]
struct Models {
    /// The health of the models that the configuration names.
    named: HashMap<Arc<str>, Arc<SharedHealth>>,
    /// The health of models that clients have asked for through a glob, at most [`ASKED_MAX`] of them.
    asked: HashMap<Arc<str>, Arc<SharedHealth>>,
}

impl Models {
    fn get(&self, model: &str) -> Option<Arc<SharedHealth>> {
        self.named.get(model).or_else(|| self.asked.get(model)).map(Arc::clone)
    }
}

impl Registry {
    /// Keeps the health of an upstream that is still the same after a reload; that of models follows as they are named.
    pub(super) fn succeeding(previous: &Self) -> Self {
        Self {
            own: Arc::clone(&previous.own),
            inflight: Arc::clone(&previous.inflight),
            models: Mutex::default(),
        }
    }

    /// The upstream's own health.
    pub fn own(&self) -> &Arc<SharedHealth> {
        &self.own
    }

    /// Returns the health of a model that the configuration names, taken from `previous` if it was known there.
    pub(crate) fn name(&self, model: &Arc<str>, previous: Option<&Self>) -> Arc<SharedHealth> {
        let known = previous.and_then(|previous| lock(&previous.models).get(model));
        let mut models = lock(&self.models);
        models.asked.remove(model);
        let health = models.named.entry(Arc::clone(model));
        Arc::clone(health.or_insert_with(|| known.unwrap_or_default()))
    }

    /// Allows clients to ask for any model: everything that `previous` knows about models is kept, including those that
    /// the configuration named before and no longer names.
    pub(crate) fn allow_any(&self, previous: Option<&Self>) {
        let Some(previous) = previous else { return };
        let known = lock(&previous.models).clone();
        let mut models = lock(&self.models);
        for (model, health) in known.named.into_iter().chain(known.asked) {
            let is_new = !model.is_empty() && !models.named.contains_key(&model);
            if is_new && models.asked.len() < ASKED_MAX {
                models.asked.entry(model).or_insert(health);
            }
        }
    }

    /// Returns the health of a model that a client asks for through a glob.
    pub fn asked(&self, model: &str, now: Instant) -> Arc<SharedHealth> {
        let mut models = lock(&self.models);
        if let Some(health) = models.get(model) {
            return health;
        }
        let health = Arc::<SharedHealth>::default();
        if models.asked.len() >= ASKED_MAX {
            // What a request holds is still to be told how that fared.
            models
                .asked
                .retain(|_, health| Arc::strong_count(health) > 1 || !health.lock().is_forgettable(now));
        }
        if models.asked.len() < ASKED_MAX {
            models.asked.insert(Arc::from(model), Arc::clone(&health));
        }
        health
    }

    /// Lists models that only clients name and that are not used now: at most `max` of them, the worst first.
    pub fn resting(&self, max: usize, now: Instant) -> Vec<(Arc<str>, Standing)> {
        let models = lock(&self.models);
        let standings = models.asked.iter().map(|(model, health)| (health.standing(now), model));
        let mut resting: Vec<_> = standings.filter(|(standing, _)| standing.is_skipped()).collect();
        resting.sort_by(|a, b| b.cmp(a));
        let worst = resting.into_iter().take(max);
        worst.map(|(standing, model)| (Arc::clone(model), standing)).collect()
    }

    /// Forgets every failure of the upstream and of its models. Returns how many cooldowns that ends.
    pub fn recover(&self) -> usize {
        let models = lock(&self.models);
        let healths = models.named.values().chain(models.asked.values()).chain([&self.own]);
        healths.filter(|health| health.lock().recover()).count()
    }

    /// Returns the number of requests in flight.
    pub fn inflight(&self) -> u32 {
        self.inflight.load(Ordering::Relaxed)
    }

    /// A place among the requests in flight; `None` if there are `max` already.
    pub fn enter(&self, max: Option<u32>) -> Option<Slot> {
        let one_more = |inflight: u32| max.is_none_or(|max| inflight < max).then(|| inflight.saturating_add(1));
        self.inflight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()
            .map(|_| Slot(Arc::clone(&self.inflight)))
    }
}

/// One request in flight, until it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
