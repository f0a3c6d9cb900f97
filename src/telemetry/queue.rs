//! Records that wait to be written. Whoever logs leaves a record here and goes on at once: where the reader of the log
//! stands still, the queue fills up, and what finds no room is dropped and counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use log::Level;

use super::journald::Datagram;

/// What is waiting may hold this much memory: several thousand records.
const QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The last part of the queue takes warnings and errors alone, so that a flood of requests can't crowd them out.
const RESERVED_BYTES: usize = 512 * 1024;
/// At most so much is taken at once, so that the queue has room again while a slow reader takes the first of it.
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// Lines that come within this time of the first share one `write`.
const GATHER: Duration = Duration::from_millis(10);

/// A record on its way.
#[derive(Debug)]
pub(super) struct Entry {
    pub level: Level,
    pub content: Content,
}

/// Where a record goes, and what is written there.
#[derive(Debug)]
pub(super) enum Content {
    /// Whole lines for standard error, their ends included.
    Lines(String),
    Datagram(Datagram),
}

impl Entry {
    /// What it holds in memory.
    fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Lines(text) => text.capacity(),
            Content::Datagram(datagram) => datagram.capacity(),
        };
        content + size_of::<Self>()
    }
}

/// Records that never reached the log's reader, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The queue was full: the reader was too slow, or stood still.
    pub queue_full: u64,
    /// Writing them failed: a full disk, or a pipe that its reader has closed.
    pub write_failed: u64,
}

impl Dropped {
    pub(super) fn total(self) -> u64 {
        self.queue_full + self.write_failed
    }

    fn add(&mut self, other: Self) {
        self.queue_full += other.queue_full;
        self.write_failed += other.write_failed;
    }
}

/// A time in which records were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub dropped: Dropped,
    pub since: SystemTime,
    pub until: SystemTime,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to write, or someone waits for it to be written.
    filled: Condvar,
    /// Something has been written, or given up.
    emptied: Condvar,
}

#[derive(Debug)]
struct State {
    entries: VecDeque<Entry>,
    /// The bytes of the entries, and of those that the writer has taken and not yet written.
    bytes: usize,
    /// Entries that were ever taken into the queue.
    accepted: u64,
    /// How many of them were written, or given up.
    finished: u64,
    /// Threads that wait until what is there has been written.
    waiting: usize,
    /// What the log has not yet told of.
    gap: Option<Gap>,
    dropped: Dropped,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                entries: VecDeque::new(),
                bytes: 0,
                accepted: 0,
                finished: 0,
                waiting: 0,
                gap: None,
                dropped: Dropped {
                    queue_full: 0,
                    write_failed: 0,
                },
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// Takes a record, or counts it as dropped. Never waits for the writer.
    pub(super) fn push(&self, entry: Entry, now: impl FnOnce() -> SystemTime) {
        let bytes = entry.bytes();
        let reserved = if entry.level <= Level::Warn { 0 } else { RESERVED_BYTES };
        let mut state = self.lock();
        if state.bytes + bytes > QUEUED_BYTES_MAX - reserved {
            let one = Dropped {
                queue_full: 1,
                write_failed: 0,
            };
            return state.drop_records(one, now());
        }
        let was_empty = state.entries.is_empty();
        state.entries.push_back(entry);
        state.bytes += bytes;
        state.accepted += 1;
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// The next records, oldest first. Waits until there are some, and a moment longer for those that follow closely.
    pub(super) fn next(&self) -> Vec<Entry> {
        let mut state = self.lock();
        if state.entries.is_empty() {
            state = wait_while(&self.filled, state, |state| state.entries.is_empty());
            let gathering = self
                .filled
                .wait_timeout_while(state, GATHER, |state| state.waiting == 0);
            state = gathering.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.batch()
    }

    /// The same without waiting.
    pub(super) fn next_if_any(&self) -> Vec<Entry> {
        self.lock().batch()
    }

    /// The writer is done with a batch, of which it could not write so many records.
    pub(super) fn finish(&self, batch: &[Entry], failed: u64, now: impl FnOnce() -> SystemTime) {
        let mut state = self.lock();
        state.bytes -= batch.iter().map(Entry::bytes).sum::<usize>();
        state.finished += batch.len() as u64;
        if failed > 0 {
            let lost = Dropped {
                queue_full: 0,
                write_failed: failed,
            };
            state.drop_records(lost, now());
        }
        drop(state);
        self.emptied.notify_all();
    }

    /// What the log should tell of, if anything. It counts as told, unless it is given back.
    pub(super) fn take_gap(&self) -> Option<Gap> {
        self.lock().gap.take()
    }

    /// The log could not tell of it after all.
    pub(super) fn give_back(&self, gap: Gap) {
        let mut state = self.lock();
        state.gap = Some(match state.gap {
            None => gap,
            Some(newer) => {
                let mut dropped = gap.dropped;
                dropped.add(newer.dropped);
                Gap {
                    dropped,
                    since: gap.since,
                    until: newer.until,
                }
            }
        });
    }

    /// Whether the writer has taken everything.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    /// Returns when all that is in the queue now has been written or given up, and at the latest after `within`.
    pub(super) fn wait_until_written(&self, within: Duration) {
        let mut state = self.lock();
        let accepted = state.accepted;
        state.waiting += 1;
        self.filled.notify_all();
        let waited = self
            .emptied
            .wait_timeout_while(state, within, |state| state.finished < accepted);
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
    }

    /// What was dropped since the start.
    pub(super) fn dropped(&self) -> Dropped {
        self.lock().dropped
    }

    /// What is behind this lock is whole at any time: a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_records(&mut self, dropped: Dropped, now: SystemTime) {
        self.dropped.add(dropped);
        let gap = self.gap.get_or_insert(Gap {
            dropped: Dropped::default(),
            since: now,
            until: now,
        });
        gap.dropped.add(dropped);
        gap.until = now;
    }

    /// Takes at least one record, if there is any.
    fn batch(&mut self) -> Vec<Entry> {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.bytes();
            bytes <= BATCH_BYTES_MAX
        };
        let count = self.entries.iter().take_while(fits).count().max(1);
        self.entries.drain(..count.min(self.entries.len())).collect()
    }
}

fn wait_while<'q>(
    condition: &Condvar,
    state: MutexGuard<'q, State>,
    mut wait: impl FnMut(&State) -> bool,
) -> MutexGuard<'q, State> {
    condition
        .wait_while(state, |state| wait(state))
        .unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn entry(level: Level, bytes: usize) -> Entry {
        Entry {
            level,
            content: Content::Lines("x".repeat(bytes)),
        }
    }

    fn at(second: u64) -> impl FnOnce() -> SystemTime {
        move || UNIX_EPOCH + Duration::from_secs(second)
    }

    fn full(level: Level) -> Queue {
        let queue = Queue::new();
        while queue.dropped().total() == 0 {
            queue.push(entry(level, 1000), at(1));
        }
        queue
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let queue = full(Level::Info);
        queue.push(entry(Level::Info, 1000), at(5));
        let gap = queue.take_gap().unwrap();
        assert_eq!((gap.dropped.queue_full, gap.dropped.write_failed), (2, 0));
        assert_eq!((gap.since, gap.until), (at(1)(), at(5)()));
        assert_eq!(queue.take_gap(), None);
        // It was told of, but stays counted.
        assert_eq!(queue.dropped().total(), 2);
    }

    #[test]
    fn warnings_and_errors_find_room_where_others_do_not() {
        let queue = full(Level::Info);
        queue.push(entry(Level::Warn, 1000), at(2));
        queue.push(entry(Level::Error, 1000), at(2));
        assert_eq!(queue.dropped().total(), 1);
        let queue = full(Level::Error);
        queue.push(entry(Level::Error, 1000), at(2));
        assert_eq!(queue.dropped().total(), 2, "their room has an end, too");
    }

    #[test]
    fn records_keep_their_order_and_hold_room_until_they_are_written() {
        let queue = full(Level::Info);
        let batch = queue.next();
        assert!(batch.len() > 1);
        queue.push(entry(Level::Info, 1000), at(2));
        assert_eq!(queue.dropped().total(), 2, "what is being written still counts");
        queue.finish(&batch, 0, at(3));
        queue.push(entry(Level::Info, 1), at(3));
        assert_eq!(queue.dropped().total(), 2);
        let mut last = Vec::new();
        while !queue.is_empty() {
            last = queue.next();
            queue.finish(&last, 0, at(4));
        }
        assert!(matches!(&last.pop().unwrap().content, Content::Lines(text) if text.len() == 1));
    }

    #[test]
    fn a_record_larger_than_a_batch_is_a_batch() {
        let queue = Queue::new();
        queue.push(entry(Level::Info, 2 * BATCH_BYTES_MAX), at(1));
        queue.push(entry(Level::Info, 1), at(1));
        assert_eq!(queue.next().len(), 1);
        assert_eq!(queue.next().len(), 1);
        assert!(queue.next_if_any().is_empty());
    }

    #[test]
    fn what_could_not_be_told_is_told_later_with_what_came_since() {
        let queue = Queue::new();
        queue.push(entry(Level::Info, 1), at(1));
        let batch = queue.next();
        queue.finish(&batch, 1, at(2));
        let gap = queue.take_gap().unwrap();
        queue.push(entry(Level::Info, 1), at(3));
        let batch = queue.next();
        queue.finish(&batch, 1, at(4));
        queue.give_back(gap);
        let gap = queue.take_gap().unwrap();
        assert_eq!(gap.dropped.write_failed, 2);
        assert_eq!((gap.since, gap.until), (at(2)(), at(4)()));
    }

    #[test]
    fn nobody_waits_for_a_writer_that_stands_still() {
        let queue = Queue::new();
        queue.wait_until_written(Duration::from_secs(60));
        queue.push(entry(Level::Info, 1), at(1));
        queue.wait_until_written(Duration::from_millis(1));
        assert_eq!(queue.next().len(), 1);
    }
}
