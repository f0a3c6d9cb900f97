//! Writing to the terminal or to whatever stands in for it.

use std::io::{self, IsTerminal, Write};

/// The exit status where the command line was wrong, or named nothing to do.
pub(super) const BAD_USAGE: u8 = 2;

/// Writes one line to standard error. If that is closed, there is nobody to tell.
pub(super) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Returns whether standard error shows colours.
pub(super) fn colour_on_stderr() -> bool {
    shows_colour(io::stderr().is_terminal())
}

/// Returns whether standard output shows colours.
pub(super) fn colour_on_stdout() -> bool {
    shows_colour(io::stdout().is_terminal())
}

/// Returns whether colours are shown: on a terminal, unless `NO_COLOR` says otherwise (no-color.org).
fn shows_colour(is_terminal: bool) -> bool {
    is_terminal
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Prints `text`. A reader that has gone away wants no more, which is not an error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => done,
    }
}
