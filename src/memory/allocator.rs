//! What was freed goes back to the system.
//!
//! The allocator keeps freed memory for a while, in case it is wanted again, and looks at it only when somebody allocates. After
//! a burst nobody does: what ten thousand connections had would stay for good. So it is asked to look, now and then.

use std::thread;
use std::time::Duration;

/// What was freed stays for so long at most, and a second: that is how long the allocator itself waits.
const EVERY: Duration = Duration::from_secs(2);

/// Starts a thread that does so until the process ends.
pub fn give_back_freed() {
    let thread = thread::Builder::new().name("freed-memory".to_owned());
    let started = thread.spawn(|| {
        loop {
            thread::park_timeout(EVERY);
            collect();
        }
    });
    if let Err(error) = started {
        log::warn!(error = error.to_string().as_str(); "no thread to give freed memory back: it stays with the process");
    }
}

#[allow(unsafe_code, reason = "a function of the allocator's, which has no other interface")]
fn collect() {
    // SAFETY: it may be called by any thread at any time. It frees nothing that is in use. Where another allocator is the
    // program's, as in tests of this library, it finds nothing.
    unsafe { libmimalloc_sys::mi_collect(false) }
}
