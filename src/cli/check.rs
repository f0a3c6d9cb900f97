//! `switchback check`: every fault of a configuration in one run.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::clocks;
use super::configuration::environment;
use super::terminal;
use crate::config::{self, KeyPolicy, LoadOptions, Severity};

/// Check a configuration file and report every fault in it
///
/// Exit status: 0 no errors (warnings may have been printed), 1 errors, 2 wrong arguments.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration file [default: $SWITCHBACK_CONFIG, else ./conf/switchback.yaml, else
    /// /etc/switchback/switchback.yaml]
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,

    /// Same as FILE, spelled as in other commands
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Accept that environment variables, key files, credentials and certificates are missing, as on a machine that tests
    /// the file but must not have the keys
    #[arg(long)]
    keyless: bool,

    /// Print the JSON Schema of the configuration file, for editors, without checking anything
    #[arg(long, conflicts_with_all = ["file", "config", "keyless"])]
    schema: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.schema {
        terminal::print(&format!("{:#}\n", config::schema()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let named = arguments.file.as_deref().or(arguments.config.as_deref());
    let (file, _) = config::find(named, &environment);
    let loaded = config::load(
        &file,
        &LoadOptions {
            env: &environment,
            keys: match arguments.keyless {
                true => KeyPolicy::Optional,
                false => KeyPolicy::Required,
            },
        },
    );
    io::stderr()
        .lock()
        .write_all(loaded.render(terminal::colour_on_stderr()).as_bytes())?;

    let notes = loaded.render_notes(terminal::colour_on_stdout());
    let errors = loaded.count(Severity::Error);
    let warnings = loaded.count(Severity::Warning);
    let faults = match (errors, warnings) {
        (0, 0) => "no faults".to_owned(),
        (0, warnings) => number(warnings, "warning"),
        (errors, 0) => number(errors, "error"),
        (errors, warnings) => format!("{}, {}", number(errors, "error"), number(warnings, "warning")),
    };
    match loaded.config {
        Some(config) => {
            let upstreams = number(config.upstreams.len(), "upstream");
            let routes = number(config.routes.len(), "route");
            let unchecked = if arguments.keyless { " (keys not checked)" } else { "" };
            writeln!(
                io::stdout().lock(),
                "{notes}{}{}: {upstreams}, {routes}, {faults}{unchecked}",
                clocks::of_all(&config),
                file.display()
            )?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            terminal::complain(&format!("{}: {faults}", file.display()));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// "1 route", "2 routes".
fn number(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
