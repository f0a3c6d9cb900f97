//! `switchback drill`: the configuration at work with a stand-in in the place of every upstream.

mod clients;
mod demonstration;
mod gateway;
mod guide;
mod rehearsal;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::configuration;
use crate::config::{self, Config, Found, KeyPolicy, LoadOptions};
use crate::drill::{FAULTS, FaultSpec, Healed, StandIns};
use crate::server::{Cooldowns, Launch};
use crate::{server, telemetry};
use demonstration::Case;
use gateway::Gateway;
use guide::Practised;

/// What is practised where there is no configuration.
const BUILT_IN: &str = include_str!("../../conf/switchback.yaml");

/// Practise failover: run the configuration with stand-ins for its upstreams, without keys or network.
#[derive(Debug, Clone, Args)]
pub(super) struct DrillArgs {
    /// The configuration file [default: $SWITCHBACK_CONFIG, else ./conf/switchback.yaml, else
    /// /etc/switchback/switchback.yaml, else a built-in one]
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
    let Some(config) = practised(args)? else {
        return Ok(ExitCode::FAILURE);
    };
    telemetry::init(server::log_settings(&config.log));
    let cooldowns = Cooldowns::default();
    let launch = Launch::alone().with(cooldowns.clone());
    let healed: Healed = Box::new(move |upstream| cooldowns.end(upstream));
    session(config, args, &mut std::io::stdout().lock(), healed, |config| {
        server::run(config, None, launch, |_| {})?;
        Ok(())
    })
}

/// The configuration, or the built-in one where none is named and none is found. `None`: it has errors, which were shown.
fn practised(args: &DrillArgs) -> anyhow::Result<Option<Config>> {
    let (file, found) = config::find(args.config.as_deref(), &configuration::environment);
    if found != Found::InSystem || file.exists() {
        let loaded = configuration::load(args.config.as_deref(), KeyPolicy::Optional)?;
        return Ok(loaded.map(|loaded| loaded.config));
    }
    let options = LoadOptions {
        env: &|_| None,
        keys: KeyPolicy::Optional,
    };
    let loaded = config::load_text(Path::new(guide::BUILT_IN), BUILT_IN, &options);
    loaded.config.context("the built-in configuration").map(Some)
}

/// `start` runs the gateway until it is told to stop.
///
/// # Errors
/// No port, a fault of an unknown upstream, or what the gateway ended with.
fn session(
    mut config: Config,
    args: &DrillArgs,
    out: &mut impl Write,
    healed: Healed,
    start: impl FnOnce(Config) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    // The log is written after what is told here, not in between.
    let held = telemetry::hold();
    let stand_ins = StandIns::start(rehearsal::specs(&config), &args.faults).context("starting the stand-ins")?;
    stand_ins.when_healed(healed);
    rehearsal::redirect(&mut config, &stand_ins);
    let place = rehearsal::listen(&mut config).context("finding a port for the gateway")?;
    let case = Case::choose(&config);
    guide::opening(out, &config, &stand_ins, &place, &args.faults)?;

    let clients = clients::settings(&config, place.address);
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
        let practised = Practised {
            gateway: place.address,
            control: stand_ins.control(),
            clients,
        };
        guide::closing(out, case, &practised)?;
    }
    drop(held);
    gateway.wait()?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
