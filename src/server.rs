//! The process: listeners, Pingora's server around the proxy, signals, readiness and the end.

mod activation;
mod admin;
mod balance;
mod bound;
mod certificates;
mod clients;
mod cooldowns;
mod gateway_status;
mod handover;
mod launch;
mod listeners;
mod log_settings;
pub mod metrics;
mod model_lists;
mod notify;
mod own_requests;
mod phase;
mod readiness;
pub mod reload;
mod service_stop;
mod shutdown;
mod start_error;
mod status_line;
pub mod upgrade;
pub mod upgrade_outcome;
mod watch;
mod watchdog;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use pingora::apps::HttpServerOptions;
use pingora::connectors::ConnectorOptions;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora_proxy::ProxyServiceBuilder;

use crate::config::{self, Config};
use crate::memory;
use crate::notation::date;
use crate::proxy::{Gateway, InFlight, Snapshot};
use crate::transport::{JudgingConnector, descriptors};
use admin::AdminListener;
use certificates::Certificates;
use clients::Clients;
use gateway_status::GatewayStatus;
use listeners::{Listeners, OpenSockets};
use phase::Phase;
use readiness::Readiness;
use reload::{Drain, Live, Reloader, Reread};
use service_stop::{Companion, OnBoundSockets, ServiceStop};
use shutdown::{Ending, Shutdown};
use status_line::StatusLine;
use watchdog::{Probe, ProbedService};

pub use bound::Bound;
pub use cooldowns::Cooldowns;
pub use launch::{Launch, LaunchError};
pub use log_settings::log_settings;
pub use start_error::StartError;

/// Serves until a signal ends the process; returns only on errors at start. `on_ready` is called once, when connections
/// are accepted. Without `reread` the configuration never changes.
///
/// # Errors
/// A listener cannot be bound or a certificate cannot be used: then nothing was started.
pub fn run(
    config: Config,
    reread: Option<Reread>,
    launch: Launch,
    on_ready: impl FnOnce(&[Bound]) + Send + 'static,
) -> Result<(), StartError> {
    descriptors::raise_limit();
    let loaded_at = SystemTime::now();
    let snapshot = Snapshot::compile(&config, date::unix_seconds(loaded_at), None)?;
    let live = Live {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        certificates: Certificates::of(&config.listen)?,
        drain: Drain::of(&config),
    };
    launch.cooldowns.belong_to(&live.snapshot);
    let reloads = reload::first(&config, loaded_at, reread.as_ref());
    let in_flight = InFlight::default();
    let (hangups, hung_up) = sync_channel(1);
    let hangups = reread.is_some().then_some(hangups);
    let (sockets, gateway_stop, status) = (
        OpenSockets::default(),
        ServiceStop::new(),
        StatusLine::new(reloads.clone()),
    );
    let admin_stop = ServiceStop::new();
    let predecessor = launch.predecessor.map(Arc::new);
    let shutdown = Shutdown::watch(Ending {
        in_flight: in_flight.clone(),
        drain: live.drain.clone(),
        hangups,
        sockets: sockets.clone(),
        gateway_stop: gateway_stop.clone(),
        admin_stop: admin_stop.clone(),
        status: status.clone(),
        program: launch.program,
        predecessor: predecessor.clone(),
    })
    .map_err(StartError::Signals)?;
    let mut inherited = launch.inherited;
    let mut listeners = Listeners::bind(&config.listen, &mut inherited, &sockets)?;
    let admin = config
        .admin
        .as_ref()
        .map(|admin| AdminListener::bind(admin, &mut inherited, &sockets));
    let admin = admin.transpose()?;
    listeners.add_rest(inherited, &sockets)?;
    let phase = Phase::default();

    live.snapshot.load().look_up_ahead();
    memory::give_back_freed();
    let mut server = Server::new_with_opt_and_conf(None, server_conf(&config));
    server.bootstrap();
    let connector = JudgingConnector::new(&ConnectorOptions::from_server_conf(&server.configuration));
    let clients = Arc::new(Clients::new(&live.snapshot));
    let gateway = Gateway::new(Arc::clone(&live.snapshot), connector.clone(), in_flight.clone());
    let probes = add_gateway(
        &mut server,
        &gateway,
        &live,
        &listeners,
        &connector,
        &clients,
        &gateway_stop,
    );
    server.add_service(balance::service(Arc::clone(&live.snapshot), connector.clone()));
    server.add_service(model_lists::service(Arc::clone(&live.snapshot), connector));
    if let Some(admin) = admin {
        let bound = listeners.bound().iter().map(ToString::to_string).collect();
        let gateway_status = GatewayStatus::new(
            &live.snapshot,
            &reloads,
            in_flight,
            clients.registry(),
            phase.clone(),
            bound,
        );
        server.add_service(admin.service(gateway_status, admin_stop));
    }

    let readiness = Readiness {
        listeners,
        predecessor,
        status,
        snapshot: Arc::clone(&live.snapshot),
        probes,
    };
    let reloader = reread.map(|reread| Reloader::new(live, config, reread, reloads));
    let shutdown_signal = Box::new(phase.until(shutdown));
    let when_ready = move |bound: &[Bound]| {
        phase.running();
        if let Some(reloader) = reloader {
            reloader.start(hung_up);
        }
        on_ready(bound);
    };
    readiness.await_running(server.watch_execution_phase(), when_ready);
    server.run(RunArgs { shutdown_signal });
    shutdown::say_the_rest();
    Ok(())
}

/// Adds the services of the gateway. Connections do not tell whether their listener takes HTTP/2 without TLS, so each
/// kind has a service of its own.
///
/// Returns how the watchdog reaches each.
fn add_gateway(
    server: &mut Server,
    gateway: &Gateway,
    live: &Live,
    listeners: &Listeners,
    connector: &JudgingConnector,
    clients: &Arc<Clients>,
    stop: &ServiceStop,
) -> Vec<Probe> {
    let mut probes = Vec::new();
    let mut companions: Vec<Companion> = vec![Box::pin(Arc::clone(clients).watch_idle(stop.clone()))];
    let conf = Arc::clone(&server.configuration);
    let tls = Arc::new(listeners.tls(&live.certificates));
    for h2c in [false, true] {
        let mut of_kind = listeners.iter().filter(|one| one.listener.h2c == h2c).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        let mut options = HttpServerOptions::default();
        // Intake refuses it, with an id and a line in the log, where Pingora would do so with neither.
        options.allow_connect_method_proxying = true;
        // Every connection goes to `Clients` first, which speaks HTTP on it with Pingora's help.
        options.force_custom = true;
        let mut service = ProxyServiceBuilder::new(&conf, gateway.clone())
            .name(if h2c { "gateway-h2c" } else { "gateway" })
            .custom(connector.clone(), Arc::new(clients.handler(&tls, h2c)))
            .server_options(options)
            .build();
        for one in of_kind {
            one.add_to(&mut service);
        }
        if watchdog::wanted().is_some() {
            let (probed, probe) = ProbedService::new(&conf, &live.snapshot);
            probes.push(probe);
            companions.push(Box::pin(probed.run()));
        }
        let companions = std::mem::take(&mut companions);
        server.add_service(OnBoundSockets::new(
            service,
            listeners.sockets(),
            stop.clone(),
            companions,
        ));
    }
    probes
}

fn server_conf(config: &Config) -> ServerConf {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = config.server.threads.unwrap_or(available);
    ServerConf {
        threads,
        // Pingora's own loop must not end before a request's budget does, whatever a reload makes of that.
        max_retries: config::ATTEMPTS_MAX as usize + 1,
        upstream_keepalive_pool_size: descriptors::pooled_connections_max().div_ceil(threads),
        // Pingora sleeps through the whole of it; `Shutdown` ends the process within `drain`, which a reload may change.
        grace_period_seconds: Some(u64::from(u32::MAX)),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    }
}
