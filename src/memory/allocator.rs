//! What was freed goes back to the system, and what was never used was never taken from it.
//!
//! The allocator keeps freed memory for a while, in case it is wanted again, and looks at it only when somebody allocates. After
//! a burst nobody does: what ten thousand connections had would stay for good. So it is asked to look, now and then: by a thread
//! for what is no thread's own any more, and by each thread for what it has freed itself, when connections have closed.

use std::cell::Cell;
use std::ffi::c_int;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked for what was freed long enough ago.
const EVERY: Duration = Duration::from_millis(250);
/// How long what was freed stays, in case it is wanted again.
const KEPT_MS: i64 = 500;
/// A thread looks after its own memory no more often: it looks at all of it.
const OWN_EVERY: Duration = Duration::from_millis(500);

/// `mi_option_purge_delay` of mimalloc's `mi_option_e`; the crate does not name it.
const PURGE_DELAY: c_int = 15;
/// prctl(2).
const PR_SET_THP_DISABLE: c_int = 41;

thread_local! {
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Sets how the allocator deals with the system, and starts a thread that gives back what was freed until the process ends.
/// To be called before there is much of either.
pub fn give_back_freed() {
    take_small_pages();
    keep_briefly();
    let thread = thread::Builder::new().name("freed-memory".to_owned());
    let started = thread.spawn(|| {
        loop {
            thread::park_timeout(EVERY);
            collect(false);
        }
    });
    if let Err(error) = started {
        log::warn!(error = error.to_string().as_str(); "no thread to give freed memory back: it stays with the process");
    }
}

/// Gives up what this thread has freed and keeps for itself, unless it did so a moment before `now`.
pub fn give_up_own_freed(now: Instant) {
    let is_due = LOOKED
        .get()
        .is_none_or(|looked| now.duration_since(looked) >= OWN_EVERY);
    if is_due {
        LOOKED.set(Some(now));
        // Else a page whose blocks are all free would be kept until it was found so several times.
        collect(true);
    }
}

#[allow(unsafe_code, reason = "a function of the allocator's, which has no other interface")]
fn collect(at_once: bool) {
    // SAFETY: it may be called by any thread at any time. It frees nothing that is in use. Where another allocator is the
    // program's, as in tests of this library, it finds nothing.
    unsafe { libmimalloc_sys::mi_collect(at_once) }
}

#[allow(unsafe_code, reason = "a function of the allocator's, which has no other interface")]
fn keep_briefly() {
    // SAFETY: it sets a number, which the allocator reads whenever it frees.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEPT_MS) }
}

/// A page of 2 MiB is there as a whole once a byte of it is used, and what an allocator hands out lies far apart. (The allocator
/// asks for none, but a system may give them unasked.)
#[allow(unsafe_code, reason = "rustix does not have it")]
fn take_small_pages() {
    unsafe extern "C" {
        fn prctl(option: c_int, ...) -> c_int;
    }
    // SAFETY: the arguments are numbers, as prctl(2) wants them, and nothing is written to. Where it fails nothing changes.
    unsafe { prctl(PR_SET_THP_DISABLE, 1_usize, 0_usize, 0_usize, 0_usize) };
}
