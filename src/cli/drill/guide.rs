//! What the drill tells the person before it: what runs where, and what to try.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::demonstration::{Case, chain};
use super::rehearsal::Place;
use crate::config::{Config, Target, UpstreamTarget};
use crate::drill::{FAULTS, FaultSpec, StandIns};
use crate::protocol::Protocol;

/// Stands for the file's name where there is none.
pub(super) const BUILT_IN: &str = "the built-in configuration";

/// What runs, for whoever wants to try it.
pub(super) struct Practised {
    pub(super) gateway: SocketAddr,
    pub(super) control: SocketAddr,
    /// The settings of clients.
    pub(super) clients: String,
}

/// At most this many routes are listed; a configuration may have hundreds.
const ROUTES_MAX: usize = 30;

/// Prints what was started.
pub(super) fn opening(
    out: &mut impl Write,
    config: &Config,
    stand_ins: &StandIns,
    place: &Place,
    faults: &[FaultSpec],
) -> io::Result<()> {
    writeln!(
        out,
        "Switchback drill: {} with a stand-in for every upstream\n",
        config.file.display()
    )?;
    if config.file.as_os_str() == BUILT_IN {
        writeln!(out, "  No configuration was found; `--config FILE` names one.\n")?;
    }
    let instead_of = place
        .instead_of
        .as_ref()
        .map_or(String::new(), |why| format!("  ({why})"));
    writeln!(out, "  gateway  http://{}{instead_of}", place.address)?;
    writeln!(out, "  control  http://{}/drill\n", stand_ins.control())?;

    writeln!(out, "Stand-ins")?;
    let width = config
        .upstreams
        .iter()
        .map(|upstream| upstream.name.len())
        .max()
        .unwrap_or(0);
    for upstream in &config.upstreams {
        let name = &*upstream.name;
        let address = stand_ins
            .address(name)
            .map_or(String::new(), |address| address.to_string());
        let protocols: Vec<&str> = upstream.protocols.iter().map(|protocol| protocol.name()).collect();
        let broken: Vec<String> = faults.iter().filter(|it| it.upstream == name).map(broken).collect();
        let broken = if broken.is_empty() {
            String::new()
        } else {
            format!("  {}", broken.join(", "))
        };
        writeln!(out, "  {name:width$}  {address}  {}{broken}", protocols.join(", "))?;
    }

    writeln!(out, "\nRoutes")?;
    let shown = &config.routes[..config.routes.len().min(ROUTES_MAX)];
    let width = shown.iter().map(|route| route.name.len()).max().unwrap_or(0);
    for route in shown {
        let targets: Vec<String> = route.targets.iter().map(|target| target_text(config, target)).collect();
        writeln!(out, "  {:width$}  {}", route.name, targets.join(" -> "))?;
    }
    if config.routes.len() > shown.len() {
        writeln!(out, "  … and {} more", config.routes.len() - shown.len())?;
    }
    writeln!(out)?;
    out.flush()
}

fn broken(spec: &FaultSpec) -> String {
    let fault = spec.fault;
    spec.model.as_ref().map_or_else(
        || format!("fault {fault}"),
        |model| format!("fault {fault} for model {model}"),
    )
}

fn target_text(config: &Config, target: &Target) -> String {
    let one = |target: &UpstreamTarget| {
        let name = &config.upstreams[target.upstream].name;
        target
            .model
            .as_ref()
            .map_or_else(|| name.to_string(), |model| format!("{name}/{model}"))
    };
    match target {
        Target::One(target) => one(target),
        Target::Spread(equals) => {
            let equals: Vec<String> = equals
                .iter()
                .map(|(target, weight)| format!("{} ×{weight}", one(target)))
                .collect();
            format!("spread({})", equals.join(", "))
        }
        Target::Route(name) => {
            let targets: Vec<String> = chain(config, name).into_iter().map(one).collect();
            format!("route {name} ({})", targets.join(" -> "))
        }
    }
}

/// Prints what to try.
pub(super) fn closing(out: &mut impl Write, case: &Case, practised: &Practised) -> io::Result<()> {
    let Practised {
        gateway,
        control,
        clients,
    } = practised;
    let Case { model, first, .. } = case;
    let quoted = case.body().replace('\'', r"'\''");
    writeln!(out, "Try it\n")?;
    writeln!(
        out,
        "  curl -i http://{gateway}{} -H 'content-type: application/json' \\",
        case.path()
    )?;
    writeln!(out, "    -d '{quoted}'\n")?;
    match case.protocol {
        Protocol::OpenAi => {
            writeln!(out, "  from openai import OpenAI")?;
            writeln!(
                out,
                "  client = OpenAI(base_url=\"http://{gateway}/v1\", api_key=\"unused\")"
            )?;
            writeln!(out, "  print(client.chat.completions.create(model={model:?},")?;
            writeln!(
                out,
                "      messages=[{{\"role\": \"user\", \"content\": \"Hello\"}}]).choices[0].message.content)\n"
            )?;
        }
        Protocol::Anthropic => {
            writeln!(out, "  from anthropic import Anthropic")?;
            writeln!(
                out,
                "  client = Anthropic(base_url=\"http://{gateway}\", api_key=\"unused\")"
            )?;
            writeln!(out, "  print(client.messages.create(model={model:?}, max_tokens=100,")?;
            writeln!(
                out,
                "      messages=[{{\"role\": \"user\", \"content\": \"Hello\"}}]).content[0].text)\n"
            )?;
        }
    }
    write!(out, "{clients}")?;
    writeln!(out, "Break {first}, look, and heal it\n")?;
    writeln!(out, "  curl -X POST 'http://{control}{}'", case.fault("500"))?;
    writeln!(out, "  curl http://{control}/drill")?;
    writeln!(out, "  curl -X DELETE http://{control}/drill/{first}\n")?;
    writeln!(
        out,
        "Faults: {FAULTS}\nHealing an upstream ends its cooldowns. Ctrl-C ends the drill."
    )?;
    out.flush()
}
