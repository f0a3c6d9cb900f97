//! Series that come into being when they first count: a configuration has far more of them than are ever used.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus::core::Collector;
use prometheus::{Histogram, IntCounter};

use super::exposition::Exposition;
use super::names::Metric;

/// One series, or all of a histogram's.
#[derive(Debug)]
pub(super) struct Cell<T>(OnceLock<T>);

pub(super) type CounterCell = Cell<IntCounter>;
pub(super) type HistogramCell = Cell<Histogram>;

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T: Collector + Clone + 'static> Cell<T> {
    /// `new` makes it when it is first asked for.
    pub(super) fn get(&self, new: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(new)
    }

    pub(super) fn is_used(&self) -> bool {
        self.0.get().is_some()
    }

    pub(super) fn show(&self, exposition: &Exposition) {
        if let Some(series) = self.0.get() {
            exposition.add(series.clone());
        }
    }
}

impl CounterCell {
    /// Shows it, as zero where it has not counted yet: a rate needs to know where it began.
    pub(super) fn show_from_zero(&self, exposition: &Exposition, metric: &Metric, labels: &[&str]) {
        match self.0.get() {
            Some(counter) => exposition.add(counter.clone()),
            None => exposition.set_counter(metric, labels, 0.0),
        }
    }
}

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
