//! `switchback completions`: what a shell needs to complete the command line.

use std::io;
use std::io::Write;
use std::process::ExitCode;

use clap_complete::Shell;

/// Print a shell's completion script
///
/// For bash: `source <(switchback completions bash)`, or save it where the shell looks for it
/// (/usr/share/bash-completion/completions/switchback). The Debian package does that for you.
#[derive(clap::Args)]
pub(super) struct Arguments {
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, mut program: clap::Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, "switchback", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
