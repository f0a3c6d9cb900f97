//! The clocks of targets, as `check` and `explain` tell them.

use crate::config::{Config, Target, Timeouts, UpstreamTarget};
use crate::notation::duration::Short;

/// So many targets are named of those that share their clocks.
const NAMED_MAX: usize = 3;

/// Describes all clocks of one target but the deadline, which is the request's.
pub(super) fn in_words(timeouts: &Timeouts) -> String {
    format!(
        "connect {}; a stream's headers {}, first_token {}; else answer {}; idle {}",
        Short(timeouts.connect),
        Short(timeouts.headers),
        Short(timeouts.first_token),
        Short(timeouts.answer),
        Short(timeouts.idle)
    )
}

/// Writes a line for each set of clocks that targets of `config` have.
pub(super) fn of_all(config: &Config) -> String {
    let mut sets: Vec<(Timeouts, Vec<String>)> = Vec::new();
    for route in &config.routes {
        let written = &route.overrides.timeouts;
        let deadline = config.policy.timeouts(None).with(written).deadline;
        for target in route.targets.iter().flat_map(members) {
            let upstream = &config.upstreams[target.upstream];
            let timeouts = Timeouts {
                deadline,
                ..config.policy.target_timeouts(upstream, written, &target.timeouts)
            };
            let name = match &target.model {
                Some(model) => format!("{}/{model}", upstream.name),
                None => upstream.name.to_string(),
            };
            match sets.iter_mut().find(|(set, _)| *set == timeouts) {
                Some((_, names)) if names.contains(&name) => {}
                Some((_, names)) => names.push(name),
                None => sets.push((timeouts, vec![name])),
            }
        }
    }
    let is_one = sets.len() == 1;
    let lines = sets.iter().map(|(timeouts, names)| {
        let whose = if is_one {
            String::new()
        } else {
            format!(" of {}", listed(names))
        };
        let (clocks, deadline) = (in_words(timeouts), Short(timeouts.deadline));
        format!("clocks{whose}: {clocks}; deadline {deadline}\n")
    });
    lines.collect()
}

/// Returns the targets at one place of a chain. Those of another route are listed with that route.
fn members(target: &Target) -> Vec<&UpstreamTarget> {
    match target {
        Target::One(one) => vec![one],
        Target::Spread(equals) => equals.iter().map(|(one, _)| one).collect(),
        Target::Route(_) => Vec::new(),
    }
}

/// `a, b, c and 4 more`
fn listed(names: &[String]) -> String {
    let (named, rest) = names.split_at(names.len().min(NAMED_MAX));
    match rest.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
