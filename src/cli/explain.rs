//! `switchback explain MODEL`: the chain as production takes it, and the path through supposed failures.

mod asked;
mod chain;
mod explanation;
mod json;
mod masking;
mod seen;
mod supposition;
mod text;
mod walk;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokio::time::Instant;

use super::{configuration, terminal};
use crate::config::{Config, KeyPolicy};
use crate::protocol::Protocol;
use crate::protocol::account::guard_of;
use crate::protocol::endpoint::endpoint;
use crate::protocol::path::normal;
use crate::routing::table::Group;
use crate::routing::{Course, Plan, Route, RouteTable, plan, unroutable};
use asked::Asked;
use explanation::Explanation;
use supposition::{Supposition, fates};

/// Explain a model's chain: what each target is sent, and what happens to a request when some of them fail
///
/// Nothing is sent anywhere, and keys may be unset. Every target starts out healthy and with room, since only a running
/// gateway knows otherwise. Exit status: 0 explained, 1 no such model or a faulty configuration, 2 wrong arguments.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The model, as a client asks for it
    model: String,

    /// The configuration file [default: $SWITCHBACK_CONFIG, else ./conf/switchback.yaml, else
    /// /etc/switchback/switchback.yaml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The protocol that the client speaks: `openai` requests /v1/chat/completions, `anthropic` /v1/messages [default: the
    /// first target's]
    #[arg(long, value_name = "NAME", value_parser = protocols())]
    protocol: Option<Protocol>,

    /// The path that the client requests, with its query if it has one; it implies the protocol
    #[arg(long, value_name = "PATH", conflicts_with = "protocol", value_parser = path)]
    path: Option<String>,

    /// The client requests a stream
    #[arg(long)]
    stream: bool,

    /// Suppose that an upstream, or one of its models, fails: UPSTREAM=FATE or UPSTREAM/MODEL=FATE. If repeated for the
    /// same one, the fates apply to its attempts in turn, and the last one to all that follow
    #[arg(long = "if", value_name = "UPSTREAM=FATE", long_help = if_help())]
    suppositions: Vec<Supposition>,

    /// Print JSON (docs/explain.md)
    #[arg(long)]
    json: bool,
}

fn if_help() -> String {
    format!(
        "Suppose that an upstream, or one of its models (by its name at the upstream), fails. If repeated for the same one, \
         the fates apply to its attempts in turn, and the last one to all that follow. Fates: {}",
        fates()
    )
}

fn protocols() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(Protocol::NAMES.map(|(name, _)| name)).map(|written| {
        let found = Protocol::NAMES.into_iter().find(|(name, _)| *name == written);
        found.expect("the parser takes these names alone").1
    })
}

fn path(text: &str) -> Result<String, String> {
    match text.parse::<http::uri::PathAndQuery>() {
        Ok(path) if text.starts_with('/') => {
            let normal = normal(path.path()).map_err(|fault| fault.to_string())?;
            Ok(path
                .query()
                .map_or_else(|| normal.to_string(), |query| format!("{normal}?{query}")))
        }
        _ => Err("it is not a path: write it as in `/v1/messages`".to_owned()),
    }
}

/// The request as it is planned.
struct Request<'a> {
    route: &'a Arc<Route>,
    plan: Plan,
    began: Instant,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(loaded) = configuration::load(arguments.config.as_deref(), KeyPolicy::Optional)? else {
        return Ok(ExitCode::FAILURE);
    };
    let config = &loaded.config;
    let table = RouteTable::compile(config, None);
    let asked = arguments.asked(config, &table);
    if let Some(fault) = strangers(&table, &arguments.suppositions) {
        terminal::complain(&format!("error: {fault}"));
        return Ok(ExitCode::from(terminal::BAD_USAGE));
    }
    let began = Instant::now();
    let (route, plan) = match planned(&table, &asked, began) {
        Ok(planned) => planned,
        Err(reason) => {
            terminal::complain(&format!("error: {reason}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let request = Request {
        route: &route,
        plan,
        began,
    };
    let explanation = explain(config, request, &asked, &arguments.suppositions);
    for unused in explanation.walk.unused(&arguments.suppositions) {
        terminal::complain(&format!("note: no attempt comes to `--if {unused}`"));
    }
    let told = if arguments.json {
        json::render(&explanation)
    } else {
        text::render(&explanation, terminal::colour_on_stdout())
    };
    io::stdout().lock().write_all(told.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn asked(&self, config: &Config, table: &RouteTable) -> Asked {
        let protocol = || self.protocol.or_else(|| firsts(config, table, &self.model));
        let chat = || protocol().unwrap_or(Protocol::OpenAi).chat_path();
        let written = self.path.as_deref().unwrap_or_else(chat);
        let (path, query) = match written.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (written, None),
        };
        Asked {
            model: self.model.clone(),
            protocol: Protocol::of_path(endpoint(path)),
            path: path.to_owned(),
            query,
            stream: self.stream,
        }
    }
}

/// What the first target of the model's chain speaks first.
fn firsts(config: &Config, table: &RouteTable, model: &str) -> Option<Protocol> {
    let route = table.route(model)?;
    let target = match route.groups.first()? {
        Group::One(target) => target,
        Group::Spread(equals) => &equals.first()?.0,
    };
    config.upstreams[target.upstream.index].protocols.first().copied()
}

/// A supposition about an upstream that is not configured.
fn strangers(table: &RouteTable, suppositions: &[Supposition]) -> Option<String> {
    let names: Vec<&str> = table.upstreams.iter().map(|upstream| &*upstream.name).collect();
    let stranger = suppositions
        .iter()
        .find(|supposition| !names.contains(&supposition.upstream.as_str()))?;
    Some(format!(
        "--if {stranger}: no upstream has the name {} (there are: {})",
        stranger.upstream,
        names.join(", ")
    ))
}

/// The route and the plan, as production makes them; a spread's first target is the one that is drawn.
fn planned(table: &RouteTable, asked: &Asked, now: Instant) -> Result<(Arc<Route>, Plan), String> {
    if let Some(guard) = guard_of(&asked.path) {
        return Err(unroutable::guarded(&asked.path, guard));
    }
    let Some(route) = table.route(&asked.model) else {
        let closest = table.closest(&asked.model);
        return Err(unroutable::unknown_model(&asked.model, &closest));
    };
    let plan = plan(route, &asked.model, asked.protocol, now, |_| 0);
    if plan.steps.is_empty() {
        let other = table.target_speaking(asked.protocol);
        return Err(unroutable::wrong_protocol(&asked.model, asked.protocol, other.as_ref()));
    }
    Ok((Arc::clone(route), plan))
}

fn explain<'a>(
    config: &'a Config,
    Request { route, plan, began }: Request<'a>,
    asked: &'a Asked,
    suppositions: &'a [Supposition],
) -> Explanation<'a> {
    let places = chain::places(config, route, &plan, asked);
    let walk = walk::walk(Course::new(Arc::clone(route), plan, false), began, asked, suppositions);
    Explanation {
        asked,
        route,
        places,
        suppositions,
        walk,
    }
}
