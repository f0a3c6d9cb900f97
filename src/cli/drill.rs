//! `switchback drill`: the configuration at work with a stand-in in the place of every upstream.

mod demonstration;
mod gateway;
mod guide;
mod rehearsal;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::configuration;
use crate::config::{Config, KeyPolicy};
use crate::drill::{FAULTS, FaultSpec, StandIns};
use crate::server::Launch;
use crate::{server, telemetry};
use demonstration::Case;
use gateway::Gateway;

/// Practise failover: run the configuration with stand-ins for its upstreams, without keys or network.
#[derive(Debug, Clone, Args)]
pub(super) struct DrillArgs {
    /// The configuration file [default: $SWITCHBACK_CONFIG, else ./conf/switchback.yaml, else
    /// /etc/switchback/switchback.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Break an upstream from the start: UPSTREAM=FAULT, or UPSTREAM=FAULT,model=MODEL for one model only
    #[arg(long = "fault", value_name = "UPSTREAM=FAULT", long_help = fault_help())]
    pub faults: Vec<FaultSpec>,

    /// Send one request, show its result, and exit: with status 0 if it was answered
    #[arg(long)]
    pub once: bool,
}

fn fault_help() -> String {
    format!(
        "Break an upstream from the start: UPSTREAM=FAULT, or UPSTREAM=FAULT,model=MODEL for one model only (by the \
        name that this upstream is asked for). Faults: {FAULTS}"
    )
}

/// Starts the stand-ins and the gateway before them, shows a request that switches, and serves until the gateway ends
/// (with `--once`: until the request is shown).
pub(super) fn run(args: &DrillArgs) -> anyhow::Result<ExitCode> {
    let Some(loaded) = configuration::load(args.config.as_deref(), KeyPolicy::Optional)? else {
        return Ok(ExitCode::FAILURE);
    };
    telemetry::init(server::log_settings(&loaded.config.log));
    session(loaded.config, args, &mut std::io::stdout().lock(), |config| {
        server::run(config, None, Launch::alone(), |_| {})?;
        Ok(())
    })
}

/// `start` runs the gateway until it is told to stop.
///
/// # Errors
/// No port, a fault of an unknown upstream, or what the gateway ended with.
fn session(
    mut config: Config,
    args: &DrillArgs,
    out: &mut impl Write,
    start: impl FnOnce(Config) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    let stand_ins = StandIns::start(rehearsal::specs(&config), &args.faults).context("starting the stand-ins")?;
    rehearsal::redirect(&mut config, &stand_ins);
    let place = rehearsal::listen(&mut config).context("finding a port for the gateway")?;
    let case = Case::choose(&config);
    guide::opening(out, &config, &stand_ins, &place, &args.faults)?;

    let mut gateway = Gateway::start(config, start)?;
    gateway.wait_until_open(place.address)?;
    let shown = match &case {
        Some(case) if args.faults.is_empty() => case.switch(out, place.address, stand_ins.control())?,
        Some(case) if args.once => case.send(out, place.address)?,
        _ => true,
    };
    if args.once {
        if case.is_none() {
            bail!("no route leads to an upstream that a request could be sent to");
        }
        return Ok(if shown { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(case) = &case {
        guide::closing(out, case, place.address, stand_ins.control())?;
    }
    gateway.wait()?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
