//! Who may be connected to the admin listener at once. A monitoring system must always find a place, however many
//! connections somebody keeps open: a new one takes the place of the one that has waited longest for its client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Connections that are being served, or wait to be asked. Streams of events have a bound of their own.
const PLACES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// Those that have not asked anything yet, or nothing again. The first has waited longest.
    waiting: BTreeMap<u64, Arc<Notify>>,
    /// Those whose answer is on its way. The first is the slowest to take it.
    answering: BTreeMap<u64, Arc<Notify>>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place<'p> {
    places: &'p Places,
    ticket: u64,
    given_up: Arc<Notify>,
}

impl Places {
    /// Takes a place for a connection that has asked nothing yet. Where all are taken, another connection loses its own:
    /// of those that wait the one that does so longest, else the one whose client is the slowest to take its answer.
    pub(super) fn take(&self) -> Place<'_> {
        let mut taken = self.lock();
        if taken.waiting.len() + taken.answering.len() >= PLACES {
            let longest = taken.waiting.pop_first().or_else(|| taken.answering.pop_first());
            if let Some((_, given_up)) = longest {
                given_up.notify_one();
            }
        }
        let (ticket, given_up) = (taken.next, Arc::new(Notify::new()));
        taken.next += 1;
        taken.waiting.insert(ticket, Arc::clone(&given_up));
        drop(taken);
        Place {
            places: self,
            ticket,
            given_up,
        }
    }

    /// What is behind this lock is whole at any time: a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Returns when another connection was given this place.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// The request is there: from now on others go first.
    pub(super) fn answering(&self) {
        let mut taken = self.places.lock();
        if let Some(given_up) = taken.waiting.remove(&self.ticket) {
            taken.answering.insert(self.ticket, given_up);
        }
    }

    /// The connection has a place elsewhere, and can't lose this one any more.
    pub(super) fn leave(&self) {
        let mut taken = self.places.lock();
        taken.waiting.remove(&self.ticket);
        taken.answering.remove(&self.ticket);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn has_place(place: &Place<'_>) -> bool {
        place.given_up().now_or_never().is_none()
    }

    #[test]
    fn whoever_waits_longest_makes_room() {
        let places = Places::default();
        let mut taken: Vec<Place<'_>> = (0..PLACES).map(|_| places.take()).collect();
        taken[0].answering();
        taken[2].leave();
        taken.push(places.take());
        assert!(taken.iter().all(has_place));
        let one_more = places.take();
        assert!(has_place(&taken[0]), "its answer is on its way");
        assert!(!has_place(&taken[1]));
        assert!(has_place(&taken[3]) && has_place(&one_more));
    }

    #[test]
    fn where_nobody_waits_the_slowest_reader_makes_room() {
        let places = Places::default();
        let taken: Vec<Place<'_>> = (0..PLACES).map(|_| places.take()).collect();
        taken.iter().for_each(Place::answering);
        let one_more = places.take();
        assert!(!has_place(&taken[0]));
        assert!(has_place(&taken[1]) && has_place(&one_more));
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let places = Places::default();
        let first = places.take();
        for _ in 0..2 * PLACES {
            drop(places.take());
        }
        assert!(has_place(&first));
    }
}
