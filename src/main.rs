//! The `switchback` program: see [`switchback::cli`].

use std::process::ExitCode;

/// Fewer and shorter pauses than the system's allocator under many small requests.
#[global_allocator]
static ALLOCATOR: switchback::memory::Allocator = switchback::memory::Allocator;

fn main() -> ExitCode {
    switchback::cli::run(std::env::args_os())
}
