//! The thread that writes the log, to standard error or to journald. It alone waits for the reader there.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use log::kv::Value;
use log::{Level, Record};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::journald::Journal;
use super::queue::{Content, Dropped, Entry, Gap, Queue};
use super::{sink, text};
use crate::notation::date::Timestamp;

/// How often the log reports that a slow reader makes it drop records.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a flush, at the end of the process or on request, waits until everything is written.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// The `log` crate's target of the records that tell of dropped ones.
const MODULE: &str = "switchback::telemetry";

pub(super) static WRITER: Writer = Writer {
    queue: Queue::new(),
    is_running: AtomicBool::new(false),
    is_held: Mutex::new(false),
    released: Condvar::new(),
};

pub(super) struct Writer {
    queue: Queue,
    /// The writing thread exists.
    is_running: AtomicBool,
    /// Nothing is written for now.
    is_held: Mutex<bool>,
    released: Condvar,
}

impl Writer {
    /// Takes a record that will be written soon, or dropped if there is no room for it. Never blocks.
    pub(super) fn push(&'static self, entry: Entry) {
        self.queue.push(entry, SystemTime::now);
        self.start();
    }

    /// Writes nothing until [`Self::release`], or a flush; records are queued.
    pub(super) fn hold(&self) {
        *self.lock_held() = true;
    }

    pub(super) fn release(&self) {
        *self.lock_held() = false;
        self.released.notify_all();
    }

    fn lock_held(&self) -> MutexGuard<'_, bool> {
        self.is_held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_released(&self) {
        let held = self.lock_held();
        drop(self.released.wait_while(held, |is_held| *is_held));
    }

    /// Returns when everything so far has been written, and after [`FLUSH_MAX`] in any case.
    pub(super) fn flush(&'static self) {
        self.release();
        if !self.is_running.load(Ordering::Relaxed) && self.queue.is_empty() {
            return;
        }
        if self.start() {
            self.queue.wait_until_written(FLUSH_MAX);
        } else {
            // Without a thread of its own the log is written by whoever ends the process.
            let mut output = Output::default();
            while !self.queue.is_empty() {
                self.write(&mut output, &self.queue.next_if_any());
            }
        }
    }

    /// Returns what was dropped since the start of the process.
    pub(super) fn dropped(&self) -> Dropped {
        self.queue.dropped()
    }

    /// Starts the thread. `false`: the system cannot start one; the next record tries again.
    fn start(&'static self) -> bool {
        if self.is_running.load(Ordering::Relaxed) || self.is_running.swap(true, Ordering::Relaxed) {
            return true;
        }
        let started = thread::Builder::new().name("log".to_owned()).spawn(|| self.run());
        self.is_running.store(started.is_ok(), Ordering::Relaxed);
        started.is_ok()
    }

    fn run(&self) {
        let mut output = Output::default();
        loop {
            let batch = self.queue.next();
            self.wait_until_released();
            self.write(&mut output, &batch);
        }
    }

    fn write(&self, output: &mut Output, batch: &[Entry]) {
        let failed = output.write(batch);
        if failed == 0 && (self.queue.is_empty() || output.told_at.is_none_or(|told| told.elapsed() >= TELL_EVERY)) {
            self.tell_of_gap(output);
        }
        self.queue.finish(batch, failed, SystemTime::now);
    }

    /// The reader moves again: the log says what is missing in it.
    fn tell_of_gap(&self, output: &mut Output) {
        let Some(gap) = self.queue.take_gap() else {
            return;
        };
        output.told_at = Some(Instant::now());
        if output.write(&[gap_entry(gap)]) > 0 {
            self.queue.give_back(gap);
        }
    }
}

fn gap_entry(gap: Gap) -> Entry {
    let records = gap.dropped.total();
    let what = if records == 1 { "record was" } else { "records were" };
    let since = Timestamp(gap.since).to_string();
    let until = Timestamp(gap.until).to_string();
    let fields = [
        ("records", Value::from(records)),
        ("queue_full", gap.dropped.queue_full.into()),
        ("write_failed", gap.dropped.write_failed.into()),
        ("since", since.as_str().into()),
        ("until", until.as_str().into()),
    ];
    sink::current().entry(
        SystemTime::now(),
        &Record::builder()
            .level(Level::Warn)
            .target(MODULE)
            .args(format_args!(
                "{records} log {what} dropped while the log could not be written"
            ))
            .key_values(&fields)
            .build(),
    )
}

/// Where the thread writes to.
#[derive(Default)]
struct Output {
    journal: Journal,
    lines: Vec<u8>,
    /// Where each record in `lines` ends.
    ends: Vec<usize>,
    /// Only the beginning of a line could be written: the next one must not be joined to it.
    is_torn: bool,
    /// When the log last reported a gap.
    told_at: Option<Instant>,
}

impl Output {
    /// Writes the records in their order, and returns how many of them could not be written.
    fn write(&mut self, batch: &[Entry]) -> u64 {
        let mut failed = 0;
        for entry in batch {
            match &entry.content {
                Content::Lines(text) => self.gather(text),
                Content::Datagram(datagram) => {
                    failed += self.write_lines();
                    if self.journal.send(datagram, sink::is_journal).is_err() {
                        self.gather(&text::with_priority(entry.level, &datagram.message()));
                    }
                }
            }
        }
        failed + self.write_lines()
    }

    fn gather(&mut self, text: &str) {
        self.lines.extend_from_slice(text.as_bytes());
        self.ends.push(self.lines.len());
    }

    /// Writes what was gathered, and returns how many records of it could not be written.
    fn write_lines(&mut self) -> u64 {
        let mut whole = 0;
        self.is_torn = self.is_torn && write_to_stderr(b"\n") == 0;
        if !self.is_torn {
            let written = write_to_stderr(&self.lines);
            whole = self.ends.iter().filter(|&&end| end <= written).count();
            let begin_of_next = whole.checked_sub(1).map_or(0, |last| self.ends[last]);
            self.is_torn = written > begin_of_next;
        }
        let failed = self.ends.len() - whole;
        self.lines.clear();
        self.ends.clear();
        failed as u64
    }
}

/// Waits for the reader as long as it takes, and returns how many bytes it got before writing failed.
///
/// The standard library's lock on standard error is not taken: a thread that holds it while the reader stalls would
/// make every other thread that writes there stall, too.
fn write_to_stderr(bytes: &[u8]) -> usize {
    let stderr = io::stderr();
    let stderr = stderr.as_fd();
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(stderr, &bytes[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            // Whoever shares this descriptor has made it non-blocking.
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            },
            Err(_) => break,
        }
    }
    written
}
