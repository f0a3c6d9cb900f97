//! Faults that only show when all routes are seen together: circles, chains without bound, repeated targets, globs that
//! never match.

use std::collections::{HashMap, HashSet};

use super::diagnostic::Diagnostic;
use super::reader::{Reader, quotable, quote};
use super::route::Draft;
use super::{Target, Upstream, UpstreamTarget, provider};
use crate::notation::glob;
use crate::protocol::Protocol;

/// How many targets and references one chain may contain when every `{ route: … }` is followed.
const CHAIN_MAX: usize = 256;

/// How many globs with the same literal text are compared with each other; nobody writes more on purpose.
const EQUAL_GLOBS_MAX: usize = 64;

pub(super) fn check(reader: &mut Reader<'_>, drafts: &[Draft<'_>], upstreams: &[Upstream]) {
    never_matching(reader, drafts);
    let index: HashMap<&str, usize> = drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| (&*draft.route.name, at))
        .collect();
    let Some(order) = in_order(reader, drafts, &index) else {
        return;
    };
    if within_bounds(reader, drafts, &index, &order) {
        for draft in drafts {
            repeated(reader, draft, drafts, &index, upstreams);
            mixed(reader, draft, drafts, &index, upstreams);
        }
        for draft in drafts {
            without_vendor(reader, draft, upstreams);
        }
    }
}

/// The routes, each after those that it refers to. `None` after a circle, which is reported.
fn in_order(reader: &mut Reader<'_>, drafts: &[Draft<'_>], index: &HashMap<&str, usize>) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        OnPath,
        Done,
    }
    let mut seen = vec![Seen::Not; drafts.len()];
    let mut order = Vec::new();
    let mut circles = false;
    for start in 0..drafts.len() {
        // The path from `start`: a route and which of its targets comes next.
        let mut path = if seen[start] == Seen::Not {
            vec![(start, 0)]
        } else {
            continue;
        };
        seen[start] = Seen::OnPath;
        while let Some((at, next)) = path.last_mut() {
            let (at, position) = (*at, *next);
            *next += 1;
            let Some(target) = drafts[at].route.targets.get(position) else {
                seen[at] = Seen::Done;
                order.push(at);
                path.pop();
                continue;
            };
            let Target::Route(name) = target else { continue };
            let Some(&to) = index.get(&**name) else { continue };
            match seen[to] {
                Seen::Done => {}
                Seen::Not => {
                    seen[to] = Seen::OnPath;
                    path.push((to, 0));
                }
                Seen::OnPath => {
                    circles = true;
                    let begin = path.iter().position(|&(route, _)| route == to).unwrap_or(0);
                    let circle: Vec<usize> = path[begin..].iter().map(|&(route, _)| route).collect();
                    let names: Vec<String> = circle
                        .iter()
                        .chain([&to])
                        .map(|&route| quote(drafts[route].name.written))
                        .collect();
                    let message = format!("a circle of routes: {}", names.join(" → "));
                    let diagnostic = Diagnostic::error("route-circle", drafts[at].places[position], message);
                    reader.report(diagnostic.help("a chain must end: remove one of these references"));
                }
            }
        }
    }
    (!circles).then_some(order)
}

/// Returns whether every chain, with all references followed, stays within [`CHAIN_MAX`].
fn within_bounds(reader: &mut Reader<'_>, drafts: &[Draft<'_>], index: &HashMap<&str, usize>, order: &[usize]) -> bool {
    // `None`: too long.
    let mut lengths = vec![Some(0_usize); drafts.len()];
    for &at in order {
        let parts = drafts[at].route.targets.iter().map(|target| match target {
            Target::One(_) => Some(1),
            Target::Spread(members) => Some(members.len()),
            Target::Route(name) => index
                .get(&**name)
                .map_or(Some(0), |&to| lengths[to])
                .map(|length| length + 1),
        });
        // A reference to a route that is too long is that route's fault.
        let Some(length) = parts.sum::<Option<usize>>() else {
            lengths[at] = None;
            continue;
        };
        lengths[at] = Some(length).filter(|&length| length <= CHAIN_MAX);
        if length > CHAIN_MAX {
            let name = &drafts[at].name;
            let message = format!("the chain of {} has more than {CHAIN_MAX} targets", quote(name.written));
            reader.error("long-chain", name.place, message);
        }
    }
    lengths.iter().all(Option::is_some)
}

/// Warns where a chain asks the same model of the same upstream again.
fn repeated(
    reader: &mut Reader<'_>,
    draft: &Draft<'_>,
    drafts: &[Draft<'_>],
    index: &HashMap<&str, usize>,
    upstreams: &[Upstream],
) {
    let name = &*draft.route.name;
    let requested = if glob::is_glob(name) { "*" } else { name };
    let mut seen: HashMap<(usize, String), usize> = HashMap::new();
    let mut reported: HashSet<usize> = HashSet::new();
    for (position, target) in draft.route.targets.iter().enumerate() {
        for member in flatten(target, drafts, index) {
            let model = member
                .model
                .as_deref()
                .map_or_else(|| requested.to_owned(), |model| model.replace('*', requested));
            let Some(&first) = seen.get(&(member.upstream, model.clone())) else {
                seen.insert((member.upstream, model), position);
                continue;
            };
            // A repetition within the route referred to is that route's own.
            let inside = first == position && matches!(target, Target::Route(_));
            if !inside && reported.insert(position) {
                let message = format!(
                    "the chain of {} asks upstream {} for the same model twice",
                    quote(draft.name.written),
                    reader.quote_name(&upstreams[member.upstream].name)
                );
                let warning = Diagnostic::warning("same-target-twice", draft.places[position], message);
                let help = format!(
                    "it is first asked in line {}; to ask it again, raise `retry.same_target`",
                    draft.places[first].line
                );
                reader.report(warning.help(help));
            }
        }
    }
}

/// Notes that some requests pass over some targets: those have no protocol in common.
fn mixed(
    reader: &mut Reader<'_>,
    draft: &Draft<'_>,
    drafts: &[Draft<'_>],
    index: &HashMap<&str, usize>,
    upstreams: &[Upstream],
) {
    let members = draft
        .route
        .targets
        .iter()
        .flat_map(|target| flatten(target, drafts, index));
    let mut speakers: Vec<&Upstream> = members.map(|member| &upstreams[member.upstream]).collect();
    speakers.dedup_by_key(|upstream| &*upstream.name);
    let only = |protocol: Protocol| speakers.iter().find(|upstream| *upstream.protocols == [protocol]);
    let (Some(openai), Some(anthropic)) = (only(Protocol::OpenAi), only(Protocol::Anthropic)) else {
        return;
    };
    let message = format!("the chain of {} mixes protocols", quote(draft.name.written));
    let help = format!(
        "requests to `{}` pass over {}, all others pass over {}",
        Protocol::Anthropic.chat_path(),
        reader.quote_name(&openai.name),
        reader.quote_name(&anthropic.name)
    );
    reader.report(Diagnostic::note("mixed-protocols", draft.name.place, message).help(help));
}

/// Warns where OpenRouter is asked for a model that it can't know: its names have two parts.
fn without_vendor(reader: &mut Reader<'_>, draft: &Draft<'_>, upstreams: &[Upstream]) {
    let name = &*draft.route.name;
    for (target, place) in draft.route.targets.iter().zip(&draft.places) {
        let members: Vec<&UpstreamTarget> = match target {
            Target::One(one) => vec![one],
            Target::Spread(equals) => equals.iter().map(|(one, _)| one).collect(),
            Target::Route(_) => continue,
        };
        for member in members {
            let upstream = &upstreams[member.upstream];
            // Which names a glob stands for is not known.
            let written = member.model.as_deref().unwrap_or("*");
            if provider::of_host(&upstream.url.host) != Some("openrouter")
                || (written.contains('*') && glob::is_glob(name))
            {
                continue;
            }
            let model = written.replace('*', name);
            if model.contains('/') || model.is_empty() {
                continue;
            }
            let message = format!(
                "OpenRouter has no model {}: its names are `VENDOR/MODEL`",
                quote(&model)
            );
            let vendor = vendor(&model);
            let help = format!("write `{}/{vendor}/{}`", quotable(&upstream.name), quotable(&model));
            reader.report(Diagnostic::warning("no-vendor", *place, message).help(help));
        }
    }
}

/// Guesses the vendor of a model by its name, as OpenRouter calls vendors.
fn vendor(model: &str) -> &'static str {
    const VENDORS: [(&str, &str); 11] = [
        ("gpt-", "openai"),
        ("o1", "openai"),
        ("o3", "openai"),
        ("o4", "openai"),
        ("claude-", "anthropic"),
        ("gemini-", "google"),
        ("deepseek-", "deepseek"),
        ("grok-", "x-ai"),
        ("llama-", "meta-llama"),
        ("mistral-", "mistralai"),
        ("qwen", "qwen"),
    ];
    let known = VENDORS.iter().find(|(begin, _)| model.starts_with(begin));
    known.map_or("VENDOR", |&(_, vendor)| vendor)
}

/// Lists the upstreams' targets that `target` leads to, in order. It terminates because circles and long chains were
/// refused.
fn flatten<'d>(target: &'d Target, drafts: &'d [Draft<'_>], index: &HashMap<&str, usize>) -> Vec<&'d UpstreamTarget> {
    let mut out = Vec::new();
    let mut rest = vec![target];
    while let Some(target) = rest.pop() {
        match target {
            Target::One(one) => out.push(one),
            Target::Spread(members) => out.extend(members.iter().map(|(member, _)| member)),
            Target::Route(name) => {
                rest.extend(
                    index
                        .get(&**name)
                        .into_iter()
                        .flat_map(|&to| drafts[to].route.targets.iter().rev()),
                );
            }
        }
    }
    out
}

/// Warns of globs whose every name matches an earlier one.
///
/// Only a glob with the same literal text and wider stars can do that: one with more literals misses the shortest name,
/// and one with fewer comes later. Exact names cannot: a glob matches infinitely many names.
fn never_matching(reader: &mut Reader<'_>, drafts: &[Draft<'_>]) {
    let mut by_literals: HashMap<String, Vec<&Draft<'_>>> = HashMap::new();
    for draft in drafts.iter().filter(|draft| glob::is_glob(&draft.route.name)) {
        let equals = by_literals.entry(draft.route.name.replace('*', "")).or_default();
        if let Some(wider) = equals
            .iter()
            .find(|wider| glob::covers(&wider.route.name, &draft.route.name))
        {
            let (name, wider) = (&draft.name, &wider.name);
            let message = format!(
                "{} can never match: {} comes first and matches every such name",
                quote(name.written),
                quote(wider.written)
            );
            let warning = Diagnostic::warning("dead-glob", name.place, message);
            reader.report(warning.help(format!("the other one is in line {}", wider.place.line)));
        }
        if equals.len() < EQUAL_GLOBS_MAX {
            equals.push(draft);
        }
    }
}
