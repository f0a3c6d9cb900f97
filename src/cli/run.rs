//! `switchback run`: serve.

use std::path::PathBuf;
use std::process::ExitCode;

use super::configuration;
use crate::config::KeyPolicy;
use crate::server::Launch;
use crate::server::reload::Reread;
use crate::{server, telemetry};

/// Serve the routes of a configuration file
///
/// SIGTERM stops after running requests have finished, or after `server.drain`; SIGINT stops at once; SIGHUP reloads the
/// configuration, and so does a change of its file unless it contains `server: { watch: false }`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration file [default: $SWITCHBACK_CONFIG, else ./conf/switchback.yaml, else
    /// /etc/switchback/switchback.yaml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Once this process serves, the reader of its standard error may stall at any time. Therefore everything that it
/// prints, its last words included, goes through the log.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    telemetry::log_panics();
    serve(arguments).unwrap_or_else(|error| {
        telemetry::print(format!("error: {error:#}\n"));
        ExitCode::FAILURE
    })
}

fn serve(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(launch) = Launch::of_this_process()? else {
        return Ok(ExitCode::SUCCESS);
    };
    let (faults, loaded) = configuration::read(arguments.config.as_deref(), KeyPolicy::Required);
    if !faults.is_empty() {
        telemetry::print(faults);
    }
    let Some(loaded) = loaded else {
        return Ok(ExitCode::FAILURE);
    };
    let config = loaded.config;
    telemetry::init(server::log_settings(&config.log));
    log::info!(
        file = loaded.file.display().to_string().as_str(), hash = &*config.hash, why = loaded.found.to_string().as_str(),
        upstreams = config.upstreams.len(), routes = config.routes.len(), memory_bytes = config.server.memory_bytes;
        "configuration loaded"
    );
    let reread = Reread {
        env: configuration::environment,
        diagnostics: loaded.diagnostics,
        read: loaded.read,
    };
    server::run(config, Some(reread), launch, |_| {})?;
    Ok(ExitCode::SUCCESS)
}
