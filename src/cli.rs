//! The command line: one line here and one file in `cli/` for each subcommand.

mod check;
mod classify;
mod completions;
mod drill;
mod explain;
mod man_pages;
mod run;
mod status;
mod terminal;
mod upgrade;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{self, Config, Diagnostic, Found, KeyPolicy, LoadOptions, Read};

/// The command line was wrong, or named nothing to do.
const BAD_USAGE: u8 = 2;

#[derive(Parser)]
#[command(
    name = "switchback",
    version,
    about,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Check(check::Arguments),
    Classify(classify::Arguments),
    Explain(explain::Arguments),
    Status(status::Arguments),
    Drill(drill::DrillArgs),
    Upgrade(upgrade::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true)]
    ManPages(man_pages::Arguments),
}

impl Command {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(arguments) => Ok(run::run(&arguments)),
            Self::Check(arguments) => check::run(&arguments),
            Self::Classify(arguments) => classify::run(&arguments),
            Self::Explain(arguments) => explain::run(&arguments),
            Self::Status(arguments) => status::run(&arguments),
            Self::Drill(arguments) => drill::run(&arguments),
            Self::Upgrade(arguments) => upgrade::run(&arguments),
            Self::Completions(arguments) => completions::run(&arguments),
            Self::ManPages(arguments) => man_pages::run(&arguments),
        }
    }
}

/// Parses `arguments` (the program's name first), does what they say, and tells how it went:
/// 0 all is well, 1 it is not (standard error says why), 2 the arguments are wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let result = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command.run(),
        Err(usage) => {
            // `--help` and `--version` are no errors; a closed pipe leaves nobody to tell.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { BAD_USAGE } else { 0 });
        }
    };
    // Not by way of the logger: what is said before there is one has to get out, too.
    crate::telemetry::flush();
    result.unwrap_or_else(|error| {
        terminal::complain(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// The whole command line, as completions and manual describe it.
fn command() -> clap::Command {
    Arguments::command()
}

/// The process environment, as `config` reads it. A variable that is not UTF-8 counts as unset.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A configuration without errors, and where it came from.
struct Loaded {
    file: PathBuf,
    found: Found,
    config: Config,
    /// Warnings: they were shown.
    diagnostics: Vec<Diagnostic>,
    read: Read,
}

/// Finds and reads the configuration and reports its faults on standard error. `None`: it has errors.
fn load(named: Option<&Path>, keys: KeyPolicy) -> anyhow::Result<Option<Loaded>> {
    let (faults, loaded) = read(named, keys);
    io::stderr().lock().write_all(faults.as_bytes())?;
    Ok(loaded)
}

/// Finds and reads the configuration: its faults as text, and what it says if none of them is an error.
fn read(named: Option<&Path>, keys: KeyPolicy) -> (String, Option<Loaded>) {
    let (file, found) = config::find(named, &environment);
    let options = LoadOptions {
        env: &environment,
        keys,
    };
    let loaded = config::load(&file, &options);
    let faults = loaded.render(terminal::colour_on_stderr());
    let config::Loaded {
        config,
        diagnostics,
        read,
        ..
    } = loaded;
    let loaded = config.map(|config| Loaded {
        file,
        found,
        config,
        diagnostics,
        read,
    });
    (faults, loaded)
}
