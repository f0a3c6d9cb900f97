//! Counters that come into being when they first count.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus::IntCounter;

use super::exposition::Exposition;
use super::names::Metric;

/// A fixed number of counters, found by their place: without a lock.
#[derive(Debug)]
pub(super) struct Cells<const N: usize>([OnceLock<IntCounter>; N]);

impl<const N: usize> Default for Cells<N> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; N])
    }
}

impl<const N: usize> Cells<N> {
    pub(super) fn get(&self, place: usize, counter: impl FnOnce() -> IntCounter) -> &IntCounter {
        self.0[place].get_or_init(counter)
    }

    pub(super) fn show(&self, exposition: &Exposition) {
        let counted = self.0.iter().filter_map(OnceLock::get);
        counted.for_each(|counter| exposition.add(counter.clone()));
    }
}

/// Counters by two words of ours: for what fails, which is rare enough for a lock.
#[derive(Debug, Default)]
pub(super) struct Pairs(Mutex<BTreeMap<[&'static str; 2], IntCounter>>);

impl Pairs {
    /// Counts one more of `pair`, whose series of `metric` has the labels `fixed` before it.
    pub(super) fn inc(&self, metric: &Metric, fixed: &[&str], pair: [&'static str; 2]) {
        let mut pairs = self.lock();
        let counter = pairs
            .entry(pair)
            .or_insert_with(|| metric.counter(&[fixed, &pair].concat()));
        counter.inc();
    }

    pub(super) fn show(&self, exposition: &Exposition) {
        self.lock().values().for_each(|counter| exposition.add(counter.clone()));
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<[&'static str; 2], IntCounter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
