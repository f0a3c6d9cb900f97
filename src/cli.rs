//! The command line: one line here and one file in `cli/` for each subcommand.

mod check;
mod classify;
mod clocks;
mod completions;
mod configuration;
mod drill;
mod explain;
mod man_pages;
mod run;
mod status;
mod terminal;
mod upgrade;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

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
            Self::Completions(arguments) => completions::run(&arguments, Arguments::command()),
            Self::ManPages(arguments) => man_pages::run(&arguments, Arguments::command()),
        }
    }
}

/// Parses `arguments` (beginning with the program's name), runs the subcommand, and returns its exit status: 0 for
/// success, 1 for failure (standard error says why), 2 for wrong arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let result = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command.run(),
        Err(usage) => {
            // `--help` and `--version` are no errors; a closed pipe leaves nobody to tell.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { terminal::BAD_USAGE } else { 0 });
        }
    };
    // Not by way of the logger: what is said before there is one has to get out, too.
    crate::telemetry::flush();
    result.unwrap_or_else(|error| {
        terminal::complain(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}
