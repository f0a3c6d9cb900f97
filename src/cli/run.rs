//! `switchback run`: serve.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::KeyPolicy;
use crate::server::Launch;
use crate::server::reload::Reread;
use crate::{server, telemetry};

/// Serve the routes of a configuration file
///
/// SIGTERM finishes running requests first, for at most `server.drain`; SIGINT stops at once; SIGHUP reads the
/// configuration again, as does a change of its file unless it says `server: { watch: false }`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration file [default: $SWITCHBACK_CONFIG, else ./conf/switchback.yaml, else
    /// /etc/switchback/switchback.yaml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(launch) = Launch::of_this_process()? else {
        return Ok(ExitCode::SUCCESS);
    };
    let Some(loaded) = super::load(arguments.config.as_deref(), KeyPolicy::Required)? else {
        return Ok(ExitCode::FAILURE);
    };
    let config = loaded.config;
    telemetry::init(server::log_settings(&config.log));
    log::info!(
        file = loaded.file.display().to_string().as_str(), hash = &*config.hash, why = loaded.found.to_string().as_str(),
        upstreams = config.upstreams.len(), routes = config.routes.len();
        "configuration loaded"
    );
    let reread = Reread {
        env: super::environment,
        diagnostics: loaded.diagnostics,
        read: loaded.read,
    };
    server::run(config, Some(reread), launch, |_| {})?;
    Ok(ExitCode::SUCCESS)
}
