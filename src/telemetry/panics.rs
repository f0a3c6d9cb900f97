//! Panics as records of the log: Rust's own hook writes to standard error by itself, and would wait for its reader.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

/// Logs panics from now on. `RUST_BACKTRACE=1` adds a backtrace, as usual.
pub fn log_panics() {
    panic::set_hook(Box::new(log_panic));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload_as_str().unwrap_or("without a message");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        log::error!("thread {name} panicked at {place}: {message}\n{backtrace}");
    } else {
        log::error!("thread {name} panicked at {place}: {message}");
    }
    // Where it ends the process, nobody else sees to it that this is written.
    if thread.name() == Some("main") {
        log::logger().flush();
    }
}
