//! Who may be connected to the admin listener at once. A monitoring system must always find a place, however many
//! connections somebody keeps open: a new connection takes the place of the one that has waited longest for its client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Connections that are being served, or wait for a request. Streams of events have a bound of their own.
const PLACES: usize = 64;
/// No connection loses its place sooner: its request may be on its way, however many others have come meanwhile.
const GRACE: Duration = Duration::from_secs(1);
/// If more than this many arrive within [`GRACE`], the oldest lose their places all the same.
const PLACES_IN_A_RUSH: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// Connections that have not sent a request yet, or no further one. The first has waited longest.
    waiting: BTreeMap<u64, Holder>,
    /// Connections whose answer is being sent. The first is the slowest to take it.
    answering: BTreeMap<u64, Holder>,
}

#[derive(Debug)]
struct Holder {
    since: Instant,
    given_up: Arc<Notify>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place<'p> {
    places: &'p Places,
    ticket: u64,
    given_up: Arc<Notify>,
}

impl Places {
    /// Takes a place for a connection that has not sent a request yet. If all are taken, another connection loses its
    /// place: among those that wait, the one that has waited longest, else the one whose client is slowest to take its
    /// answer.
    pub(super) fn take(&self, now: Instant) -> Place<'_> {
        let mut taken = self.lock();
        taken.make_room(now);
        let (ticket, given_up) = (taken.next, Arc::new(Notify::new()));
        taken.next += 1;
        let holder = Holder {
            since: now,
            given_up: Arc::clone(&given_up),
        };
        taken.waiting.insert(ticket, holder);
        drop(taken);
        Place {
            places: self,
            ticket,
            given_up,
        }
    }

    /// The data behind this lock is consistent at any time: a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn make_room(&mut self, now: Instant) {
        loop {
            let count = self.waiting.len() + self.answering.len();
            let may_go = |holder: &Holder| count >= PLACES_IN_A_RUSH || now - holder.since >= GRACE;
            if count < PLACES {
                return;
            }
            let queues = [&mut self.waiting, &mut self.answering];
            let longest = queues.into_iter().find_map(|queue| {
                let first = queue.first_entry()?;
                may_go(first.get()).then(|| first.remove())
            });
            match longest {
                Some(holder) => holder.given_up.notify_one(),
                None => return,
            }
        }
    }
}

impl Place<'_> {
    /// Returns when this place was given to another connection.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// The request is there: from now on others go first.
    pub(super) fn answering(&self) {
        let mut taken = self.places.lock();
        if let Some(holder) = taken.waiting.remove(&self.ticket) {
            taken.answering.insert(self.ticket, holder);
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
        let (places, now) = (Places::default(), Instant::now());
        let mut taken: Vec<Place<'_>> = (0..PLACES).map(|_| places.take(now)).collect();
        taken[0].answering();
        taken[2].leave();
        taken.push(places.take(now + GRACE));
        assert!(taken.iter().all(has_place));
        let one_more = places.take(now + GRACE);
        assert!(has_place(&taken[0]), "its answer is on its way");
        assert!(!has_place(&taken[1]));
        assert!(has_place(&taken[3]) && has_place(&one_more));
    }

    #[test]
    fn where_nobody_waits_the_slowest_reader_makes_room() {
        let (places, now) = (Places::default(), Instant::now());
        let taken: Vec<Place<'_>> = (0..PLACES).map(|_| places.take(now)).collect();
        taken.iter().for_each(Place::answering);
        let one_more = places.take(now + GRACE);
        assert!(!has_place(&taken[0]));
        assert!(has_place(&taken[1]) && has_place(&one_more));
    }

    #[test]
    fn nobody_is_crowded_out_before_its_request_can_be_there() {
        let (places, now) = (Places::default(), Instant::now());
        let probe = places.take(now);
        let crowd: Vec<Place<'_>> = (1..PLACES_IN_A_RUSH).map(|_| places.take(now)).collect();
        assert!(has_place(&probe));
        let one_more = places.take(now);
        assert!(!has_place(&probe), "this has an end, too");
        drop(one_more);
        // A second later all of them have had their time.
        let later = places.take(now + GRACE);
        assert_eq!(crowd.iter().filter(|place| has_place(place)).count(), PLACES - 1);
        assert!(has_place(&later));
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let (places, now) = (Places::default(), Instant::now());
        let first = places.take(now);
        for _ in 0..2 * PLACES {
            drop(places.take(now + GRACE));
        }
        assert!(has_place(&first));
    }
}
