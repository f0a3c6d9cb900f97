//! `switchback status`: how a running gateway, its upstreams and its routes stand.

mod ask;
mod table;
mod text;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::configuration::environment;
use super::terminal;
use crate::config;
use ask::Place;
use text::View;

/// The time between two updates.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Show the state of a running gateway: its routes, their targets, its upstreams and its configuration
///
/// It queries the admin listener, which the configuration must enable (`admin: 127.0.0.1:9091`).
///
/// Exit status: 0 it is ready and every route has a usable target, 1 it is not or can't be reached, 2 wrong arguments.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The admin listener: ADDRESS:PORT or unix:/path [default: `admin` of the configuration]
    #[arg(long, value_name = "ADDRESS", value_parser = Place::parse)]
    admin: Option<Place>,

    /// The configuration file [default: $SWITCHBACK_CONFIG, else ./conf/switchback.yaml, else
    /// /etc/switchback/switchback.yaml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,

    /// Print the status document (docs/status.md) instead of tables
    #[arg(long)]
    json: bool,

    /// Refresh every two seconds, until Ctrl-C
    #[arg(short, long)]
    watch: bool,

    /// Show success and latency over the last MINUTES
    #[arg(long, value_name = "MINUTES", default_value = "15", value_parser = ["1", "15", "60"])]
    window: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let place = place(arguments)?;
    if !arguments.watch {
        let document = ask::document(&place)?;
        terminal::print(&shown(arguments, &document, terminal::colour_on_stdout()))?;
        return Ok(match document.status.is_well() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        });
    }
    let redraws = io::stdout().is_terminal() && !arguments.json;
    loop {
        let text = match ask::document(&place) {
            Ok(document) => shown(arguments, &document, terminal::colour_on_stdout()),
            // It may come back: whoever watches wants to see that.
            Err(error) if redraws => format!("error: {error:#}\n"),
            Err(error) => {
                terminal::complain(&format!("error: {error:#}"));
                String::new()
            }
        };
        terminal::print(&if redraws { redrawn(&text) } else { text })?;
        std::thread::park_timeout(WATCH_EVERY);
    }
}

fn place(arguments: &Arguments) -> anyhow::Result<Place> {
    if let Some(place) = &arguments.admin {
        return Ok(place.clone());
    }
    let (file, found) = config::find(arguments.config.as_deref(), &environment);
    match config::admin_of(&file, &environment) {
        Some(admin) => Ok(Place::of(&admin.address)),
        None => anyhow::bail!(
            "no `admin` listener can be read from {} ({found}): add `admin: 127.0.0.1:9091` to it and restart the gateway, or say where to \
             ask with `--admin ADDRESS`",
            file.display()
        ),
    }
}

fn shown(arguments: &Arguments, document: &ask::Document, colour: bool) -> String {
    if arguments.json {
        return format!("{}\n", document.text.trim_end());
    }
    let minutes = arguments.window.parse().unwrap_or(15);
    View { colour, minutes }.text(&document.status)
}

/// Draws `text` from the upper left corner over what was there (ECMA-48: CUP, EL, ED).
fn redrawn(text: &str) -> String {
    format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
}
