//! Lines on their way to standard error: gathered, and written by a thread of their own.
//!
//! A request must not wait for a slow terminal, nor for the other workers' lines.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that come within this time of the first share one `write`.
const GATHER: Duration = Duration::from_millis(10);
/// Beyond this the caller writes for itself: a reader that can't keep up slows requests rather than filling memory.
const GATHERED_MAX_BYTES: usize = 256 * 1024;

pub(super) struct Lines {
    gathered: Mutex<Gathered>,
    arrived: Condvar,
    /// Held while writing, so that lines stay in order.
    turn: Mutex<()>,
}

struct Gathered {
    bytes: Vec<u8>,
    has_writer: bool,
}

pub(super) static LINES: Lines = Lines {
    gathered: Mutex::new(Gathered {
        bytes: Vec::new(),
        has_writer: false,
    }),
    arrived: Condvar::new(),
    turn: Mutex::new(()),
};

impl Lines {
    /// Takes a whole line.
    pub(super) fn push(&'static self, line: &str) {
        let mut gathered = lock(&self.gathered);
        gathered.bytes.extend_from_slice(line.as_bytes());
        if !gathered.has_writer {
            let writer = thread::Builder::new().name("log".to_owned());
            gathered.has_writer = writer.spawn(|| self.write_on()).is_ok();
        }
        let is_first = gathered.bytes.len() == line.len();
        let must_write = gathered.bytes.len() > GATHERED_MAX_BYTES || !gathered.has_writer;
        drop(gathered);
        if must_write {
            self.flush();
        } else if is_first {
            self.arrived.notify_one();
        }
    }

    /// Writes what is there. A log that can't be written is lost: nothing better can be done about it here.
    pub(super) fn flush(&self) {
        let turn = lock(&self.turn);
        let bytes = std::mem::take(&mut lock(&self.gathered).bytes);
        let _ = io::stderr().lock().write_all(&bytes);
        drop(turn);
    }

    fn write_on(&self) {
        loop {
            let waited = self
                .arrived
                .wait_while(lock(&self.gathered), |gathered| gathered.bytes.is_empty());
            drop(waited);
            thread::park_timeout(GATHER);
            self.flush();
        }
    }
}

/// What is behind these locks is whole at any time: a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
