//! The `switchback` program: see [`switchback::cli`].

use std::process::ExitCode;

/// The allocator: fewer and shorter pauses than the system's under many small requests.
#[global_allocator]
static ALLOCATOR: switchback::memory::Allocator = switchback::memory::Allocator;

fn main() -> ExitCode {
    switchback::cli::run(std::env::args_os())
}
