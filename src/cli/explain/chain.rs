//! The targets of a route as the file orders them, and what each would be sent.

use std::sync::Arc;

use super::asked::Asked;
use super::masking::{Shown, shown};
use crate::config::{self, Config};
use crate::routing::table::Group;
use crate::routing::{Plan, Route, Target};

/// One target of the chain.
pub(super) struct Place<'a> {
    pub(super) target: &'a Target,
    /// `UPSTREAM/MODEL`
    pub(super) name: Arc<str>,
    /// The model's name there.
    pub(super) model: Arc<str>,
    /// Its turn, from 1. `None`: it does not speak the request's protocol and is passed over.
    pub(super) position: Option<usize>,
    /// The routes that lead here from the requested one, outermost first.
    pub(super) via: Vec<Arc<str>>,
    pub(super) spread: Option<Share>,
    pub(super) shown: Shown,
}

/// A target's share of the requests to its spread.
pub(super) struct Share {
    /// Which spread of the chain, from 1.
    pub(super) number: usize,
    pub(super) weight: u32,
    /// The sum of all weights in the spread that are drawn from.
    pub(super) total: u32,
}

impl Share {
    pub(super) fn fraction(&self) -> f64 {
        f64::from(self.weight) / f64::from(self.total.max(1))
    }
}

pub(super) fn places<'a>(config: &Config, route: &'a Route, plan: &Plan, asked: &Asked) -> Vec<Place<'a>> {
    let mut spreads = 0;
    let mut places = Vec::new();
    for (group, via) in route.groups.iter().zip(origins(config, &route.name)) {
        let members: Vec<(&Arc<Target>, Option<Share>)> = match group {
            Group::One(target) => vec![(target, None)],
            Group::Spread(equals) => {
                spreads += 1;
                let total = equals.iter().fold(0u32, |sum, (_, weight)| sum.saturating_add(*weight));
                let share = |weight| Share {
                    number: spreads,
                    weight,
                    total,
                };
                equals
                    .iter()
                    .map(|(target, weight)| (target, Some(share(*weight))))
                    .collect()
            }
        };
        places.extend(members.into_iter().map(|(target, spread)| Place {
            position: position(plan, target),
            via: via.clone(),
            spread,
            ..place(config, target, asked)
        }));
    }
    places
}

fn place<'a>(config: &Config, target: &'a Arc<Target>, asked: &Asked) -> Place<'a> {
    let model = target
        .model_for(&asked.model)
        .unwrap_or_else(|| asked.model.as_str().into());
    Place {
        target,
        name: target.name(Some(&model)),
        model,
        position: None,
        via: Vec::new(),
        spread: None,
        shown: shown(&target.upstream, &config.upstreams[target.upstream.index], asked),
    }
}

fn position(plan: &Plan, target: &Target) -> Option<usize> {
    let steps = &plan.steps;
    let at = steps.iter().position(|step| std::ptr::eq(&*step.target, target))?;
    Some(at + 1)
}

/// Finds, for each group of the compiled route in its order, the routes through which the chain came to it.
fn origins(config: &Config, route: &str) -> Vec<Vec<Arc<str>>> {
    let targets = |name: &str| {
        let route = config.routes.iter().find(|route| *route.name == *name);
        route.map(|route| route.targets.as_slice()).unwrap_or_default()
    };
    let mut out = Vec::new();
    // Targets that are still to come, the next one last. Ends: a valid configuration has no circles.
    let mut rest: Vec<(&config::Target, Vec<Arc<str>>)> =
        targets(route).iter().rev().map(|target| (target, Vec::new())).collect();
    while let Some((target, via)) = rest.pop() {
        match target {
            config::Target::One(_) | config::Target::Spread(_) => out.push(via),
            config::Target::Route(name) => {
                let via: Vec<_> = via.iter().chain([name]).cloned().collect();
                rest.extend(targets(name).iter().rev().map(|target| (target, via.clone())));
            }
        }
    }
    out
}
