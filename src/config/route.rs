//! `routes`: model name → ordered targets.

use std::sync::Arc;

use super::bounds::WEIGHT_MAX;
use super::diagnostic::Diagnostic;
use super::document::{Node, Value};
use super::names::{self, Names, Reference};
use super::reader::{Entry, Fields, Reader, Text, quotable, quote};
use super::source::Place;
use super::{
    BodyEdits, ListedModels, Policy, PolicyOverrides, Route, Target, TimeoutOverrides, Upstream, UpstreamTarget,
};
use super::{body_edits, keys, listed, policy, quantity};

const TARGET_FORMS: &str = "a target is `UPSTREAM`, `UPSTREAM/MODEL`, `{ upstream, model }`, `{ target: UPSTREAM/MODEL, … }`, `{ spread: [...] }` or `{ route: NAME }`";

/// A route, and where its parts stand: for the checks that see all routes together.
pub(super) struct Draft<'n> {
    pub(super) route: Route,
    pub(super) name: Text<'n>,
    /// One for each target.
    pub(super) places: Vec<Place>,
}

/// What targets are resolved against.
struct Scope<'s> {
    upstreams: &'s [Upstream],
    upstream_names: &'s Names<'s>,
    routes: Names<'s>,
    policy: &'s Policy,
}

/// Reads every route, in the file's order, as far as possible.
pub(super) fn routes<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    at: Place,
    (upstreams, upstream_names): (&[Upstream], &Names<'_>),
    policy: &Policy,
) -> Vec<Draft<'n>> {
    let Some(entries) = reader.entries(node, at, "`routes`") else {
        return Vec::new();
    };
    if entries.is_empty() {
        reader.error("empty", node.place, "`routes` names no model");
    }
    let names: Vec<String> = entries.iter().map(|entry| entry.name.value.clone()).collect();
    let places: Vec<Place> = entries.iter().map(|entry| entry.name.place).collect();
    let scope = Scope {
        upstreams,
        upstream_names,
        routes: Names::of_routes(
            names.iter().map(String::as_str).collect(),
            names::is_whole(node, &places),
        ),
        policy,
    };
    entries.into_iter().map(|entry| draft(reader, entry, &scope)).collect()
}

fn draft<'n>(reader: &mut Reader<'_>, entry: Entry<'n>, scope: &Scope<'_>) -> Draft<'n> {
    let Entry { name, value } = entry;
    let what = format!("route {}", quote(name.written));
    if name.value.is_empty() {
        reader.error("bad-name", name.place, "a route's name is empty");
    }
    let mut overrides = PolicyOverrides::default();
    let mut models = ListedModels::Own;
    let (mut targets, mut places) = (Vec::new(), Vec::new());
    let list = match &value.value {
        Value::Mapping(_) if !is_target(value) => reader
            .fields(value, name.place, what.as_str(), &keys::ROUTE)
            .and_then(|fields| {
                overrides = policy::overrides(reader, &fields, scope.policy.timeouts(None));
                if let Some((node, at)) = fields.section("models") {
                    models = listed::models(reader, node, at, &name.value);
                }
                let list = fields.required(reader, "targets");
                list.zip(fields.key_place("targets"))
            }),
        _ => Some((value, name.place)),
    };
    if let Some((list, at)) = list {
        let timeouts = overrides.timeouts;
        let items = chain(reader, list, at, &what);
        if items.is_empty() && matches!(list.value, Value::Sequence(_)) {
            let diagnostic = Diagnostic::error("empty-chain", list.place, format!("{what} has no target"));
            reader.report(diagnostic.help(TARGET_FORMS));
        }
        for item in items {
            if let Some(target) = target(reader, item, scope, timeouts) {
                targets.push(target);
                places.push(item.place);
            }
        }
    }
    Draft {
        route: Route {
            name: name.value.as_str().into(),
            targets,
            models,
            overrides,
        },
        name,
        places,
    }
}

/// The targets of a chain: a list, or a single target.
fn chain<'n>(reader: &mut Reader<'_>, list: &'n Node, at: Place, what: &str) -> &'n [Node] {
    match &list.value {
        Value::Sequence(items) => items,
        Value::Scalar(text) if !text.contains(',') => std::slice::from_ref(list),
        value => {
            let place = if matches!(value, Value::Nothing) {
                at
            } else {
                list.place
            };
            let message = format!("the chain of {what} must be a list, found {}", list.kind());
            let help = match value {
                Value::Scalar(text) => format!("write it in brackets: `[{}]`", quotable(text)),
                Value::Mapping(_) => "write this target in brackets: `[{ … }]`".to_owned(),
                _ => format!("write `[TARGET, TARGET, …]`; {TARGET_FORMS}"),
            };
            reader.report(Diagnostic::error("wrong-type", place, message).help(help));
            &[]
        }
    }
}

/// One item of a chain.
fn target(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>, timeouts: TimeoutOverrides) -> Option<Target> {
    if has_key(node, "spread") {
        let fields = reader.fields(node, node.place, "a spread", &keys::SPREAD)?;
        return spread(reader, &fields, scope, timeouts);
    }
    if has_key(node, "route") {
        let fields = reader.fields(node, node.place, "a target", &keys::ROUTE_REFERENCE)?;
        let text = reader.text(fields.get("route")?, "`route`")?;
        let reference = Reference {
            name: &text.value,
            written: text.written,
            place: text.place,
        };
        scope.routes.find(reader, &reference, None)?;
        return Some(Target::Route(text.value.into()));
    }
    upstream_target(reader, node, scope, timeouts).map(Target::One)
}

/// Returns whether this mapping is a target rather than a route.
fn is_target(node: &Node) -> bool {
    !has_key(node, "targets") && ["upstream", "spread", "route"].iter().any(|key| has_key(node, key))
}

fn has_key(node: &Node, name: &str) -> bool {
    matches!(&node.value, Value::Mapping(entries) if entries.iter().any(|(key, _)| key.text() == Some(name)))
}

/// `UPSTREAM`, `UPSTREAM/MODEL` or `{ upstream, model, timeouts, prefill }`.
fn upstream_target(
    reader: &mut Reader<'_>,
    node: &Node,
    scope: &Scope<'_>,
    timeouts: TimeoutOverrides,
) -> Option<UpstreamTarget> {
    match &node.value {
        Value::Scalar(_) => {
            let (upstream, model) = written_target(reader, node, scope)?;
            Some(UpstreamTarget {
                upstream,
                model,
                timeouts: Default::default(),
                prefill: None,
                body: BodyEdits::default(),
            })
        }
        Value::Mapping(_) => {
            let fields = reader.fields(node, node.place, "a target", &keys::TARGET_FIELDS)?;
            let (upstream, model) = match fields.get("target") {
                Some(node) => {
                    for name in ["upstream", "model"] {
                        if let Some(at) = fields.key_place(name) {
                            let message = format!("`{name}` beside `target`, which names both");
                            reader
                                .report(Diagnostic::error("bad-target", at, message).help("keep one of the two forms"));
                        }
                    }
                    written_target(reader, node, scope)
                        .map_or((None, None), |(upstream, model)| (Some(upstream), model))
                }
                None => {
                    let upstream = fields.required(reader, "upstream").and_then(|node| {
                        let text = reader.text(node, "`upstream`")?;
                        known_upstream(reader, &text, &text.value, text.written, scope)
                    });
                    (upstream, fields.get("model").and_then(|node| model(reader, node)))
                }
            };
            let body = fields.section("body");
            let body = body
                .map(|(node, at)| body_edits::body(reader, node, at))
                .unwrap_or_default();
            let timeouts = fields.section("timeouts").map(|(node, at)| {
                let wider = upstream.map_or_else(
                    || scope.policy.timeouts(None).with(&timeouts),
                    |index| {
                        let upstream = &scope.upstreams[index];
                        scope
                            .policy
                            .target_timeouts(upstream, &timeouts, &TimeoutOverrides::default())
                    },
                );
                policy::timeouts(reader, node, at, wider)
            });
            let prefill = fields
                .get("prefill")
                .and_then(|node| reader.value(node, "`prefill`", quantity::boolean));
            Some(UpstreamTarget {
                upstream: upstream?,
                model,
                timeouts: timeouts.unwrap_or_default(),
                prefill,
                body,
            })
        }
        Value::Nothing | Value::Sequence(_) | Value::Unquoted => {
            let message = format!("a target must be a single value or a mapping, found {}", node.kind());
            reader.report(Diagnostic::error("wrong-type", node.place, message).help(TARGET_FORMS));
            None
        }
    }
}

/// `UPSTREAM` or `UPSTREAM/MODEL`.
fn written_target(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Option<(usize, Option<Arc<str>>)> {
    let text = reader.text(node, "a target")?;
    let (name, model) = text
        .value
        .split_once('/')
        .map_or((text.value.as_str(), None), |(name, model)| (name, Some(model)));
    if model == Some("") {
        let message = format!("{} names no model after the slash", quote(text.written));
        reader.report(Diagnostic::error("bad-target", text.place, message).help(TARGET_FORMS));
        return None;
    }
    let written = text.written.split('/').next().unwrap_or(text.written);
    let upstream = known_upstream(reader, &text, name, written, scope)?;
    Some((upstream, model.map(Into::into)))
}

fn model(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<str>> {
    let text = reader.text(node, "`model`")?;
    if text.value.is_empty() {
        reader.error("bad-target", text.place, "`model` is empty");
        return None;
    }
    Some(text.value.into())
}

fn known_upstream(
    reader: &mut Reader<'_>,
    text: &Text<'_>,
    name: &str,
    written: &str,
    scope: &Scope<'_>,
) -> Option<usize> {
    let place = reader
        .source
        .further(text.place, 0, written.len().min(text.place.len_bytes));
    let is_route = scope.routes.contains(text.value.as_str());
    let help = is_route.then(|| {
        format!(
            "to use the route of this name, write `{{ route: {} }}`",
            quotable(text.written)
        )
    });
    let reference = Reference { name, written, place };
    scope.upstream_names.find(reader, &reference, help)
}

/// `{ spread: [ { target, weight }, … ] }`; an item may also be a target alone, of weight 1.
fn spread(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    scope: &Scope<'_>,
    timeouts: TimeoutOverrides,
) -> Option<Target> {
    let (node, at) = fields.section("spread")?;
    let items = reader.items(node, at, "`spread`")?;
    if items.is_empty() {
        reader.error("empty-chain", node.place, "this spread has no target");
        return None;
    }
    let mut members = Vec::new();
    for item in items {
        let (target, weight) = if has_key(item, "target") || has_key(item, "weight") {
            let Some(fields) = reader.fields(item, item.place, "an item of a spread", &keys::SPREAD_ITEM) else {
                continue;
            };
            let weight = fields
                .get("weight")
                .and_then(|node| reader.value(node, "`weight`", |text| quantity::integer(text, &(1..=WEIGHT_MAX))));
            (fields.required(reader, "target"), weight.unwrap_or(1))
        } else {
            (Some(item), 1)
        };
        let Some(target) = target else { continue };
        if has_key(target, "spread") || has_key(target, "route") {
            let diagnostic = Diagnostic::error(
                "bad-target",
                target.place,
                "a spread can only hold targets of upstreams",
            );
            reader.report(diagnostic.help("put a route or another spread into the chain, next to this one"));
            continue;
        }
        members.extend(upstream_target(reader, target, scope, timeouts).map(|target| (target, weight)));
    }
    (!members.is_empty()).then_some(Target::Spread(members))
}
