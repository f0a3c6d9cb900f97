//! `policy`, and the same keys where a route, an upstream or a target overrides them.

use std::time::Duration;

use super::bounds::ATTEMPTS_MAX;
use super::diagnostic::{Complaint, Diagnostic};
use super::document::{Node, Value};
use super::reader::{Fields, Reader, quote};
use super::source::Place;
use super::words::{self, EXHAUSTED};
use super::{
    Cooldown, CooldownOverrides, Exhausted, Keepalive, OnKey, PolicyOverrides, Retry, RetryOverrides, TimeoutOverrides,
    Timeouts,
};
use super::{Policy, keys, quantity};
use crate::classify::{Action, Class};
use crate::notation::duration::Short;
use crate::notation::nearest::nearest;

/// The built-in policy with `node`'s keys over it.
pub(super) fn policy(reader: &mut Reader<'_>, node: Option<(&Node, Place)>) -> Policy {
    let written = node
        .and_then(|(node, at)| reader.fields(node, at, "`policy`", &keys::POLICY))
        .map(|fields| overrides(reader, &fields, Timeouts::default()))
        .unwrap_or_default();
    Policy {
        timeouts: written.timeouts,
        retry: Retry::default().with(&written.retry),
        on: written.on,
        cooldown: Cooldown::default().with(&written.cooldown),
        exhausted: written.exhausted.unwrap_or(Exhausted::Last),
        keepalive: written.keepalive,
    }
}

/// The policy keys among `fields`; `wider` is what `timeouts` lies over.
pub(super) fn overrides(reader: &mut Reader<'_>, fields: &Fields<'_>, wider: Timeouts) -> PolicyOverrides {
    let mut out = PolicyOverrides::default();
    if let Some((node, at)) = fields.section("timeouts") {
        out.timeouts = timeouts(reader, node, at, wider);
    }
    if let Some((node, at)) = fields.section("retry") {
        out.retry = retry(reader, node, at);
    }
    if let Some((node, at)) = fields.section("on") {
        out.on = on(reader, node, at);
    }
    if let Some((node, at)) = fields.section("cooldown") {
        out.cooldown = cooldown(reader, node, at);
    }
    if let Some(node) = fields.get("keepalive") {
        out.keepalive = keepalive(reader, node);
    }
    if let Some(node) = fields.get("exhausted") {
        out.exhausted = reader.one_of(node, "`exhausted`", &EXHAUSTED);
    }
    out
}

/// Reads `keepalive`: a duration, or a mapping.
fn keepalive(reader: &mut Reader<'_>, node: &Node) -> Option<Keepalive> {
    if !matches!(node.value, Value::Mapping(_)) {
        let every = reader.value(node, "`keepalive`", quantity::duration)?;
        return Some(Keepalive {
            every,
            before_first_token: false,
        });
    }
    let fields = reader.fields(node, node.place, "`keepalive`", &keys::KEEPALIVE)?;
    let has_every = fields.required(reader, "every").is_some();
    let before_first_token = fields
        .get("before_first_token")
        .and_then(|node| reader.value(node, "`before_first_token`", quantity::boolean));
    has_every.then_some(())?;
    Some(Keepalive {
        every: duration(reader, &fields, "every")?,
        before_first_token: before_first_token.unwrap_or(false),
    })
}

/// Reads `timeouts`; warns where, applied over `wider`, no attempt could ever reach one of its clocks.
pub(super) fn timeouts(reader: &mut Reader<'_>, node: &Node, at: Place, wider: Timeouts) -> TimeoutOverrides {
    let Some(fields) = reader.fields(node, at, "`timeouts`", &keys::TIMEOUTS) else {
        return TimeoutOverrides::default();
    };
    let out = TimeoutOverrides {
        connect: duration(reader, &fields, "connect"),
        headers: duration(reader, &fields, "headers"),
        first_token: duration(reader, &fields, "first_token"),
        answer: duration(reader, &fields, "answer"),
        idle: duration(reader, &fields, "idle"),
        deadline: duration(reader, &fields, "deadline"),
    };
    let all = wider.with(&out);
    // Who shortens the deadline alone means it for all requests; `answer` has to be written to be meant otherwise.
    let clocks = [
        ("headers", all.headers, out.headers, out.deadline.is_some()),
        ("answer", all.answer, out.answer, false),
    ];
    for (name, clock, written, counts_unwritten) in clocks {
        let node = out
            .deadline
            .filter(|_| counts_unwritten || written.is_some())
            .and(fields.get("deadline"))
            .or_else(|| written.and(fields.get(name)));
        if let Some(node) = node.filter(|_| all.deadline < clock) {
            let message = format!(
                "`deadline` ({}) is shorter than `{name}` ({})",
                Short(all.deadline),
                Short(clock)
            );
            let help = format!(
                "the deadline bounds all attempts together: an attempt that may wait this long for `{name}` leaves no time for another"
            );
            reader.report(Diagnostic::warning("short-deadline", node.place, message).help(help));
        }
    }
    out
}

fn retry(reader: &mut Reader<'_>, node: &Node, at: Place) -> RetryOverrides {
    let Some(fields) = reader.fields(node, at, "`retry`", &keys::RETRY) else {
        return RetryOverrides::default();
    };
    RetryOverrides {
        attempts: count(reader, &fields, "attempts", 1),
        same_target: count(reader, &fields, "same_target", 0),
        backoff: duration(reader, &fields, "backoff"),
        max_backoff: duration(reader, &fields, "max_backoff"),
        max_wait: duration(reader, &fields, "max_wait"),
    }
}

pub(super) fn cooldown(reader: &mut Reader<'_>, node: &Node, at: Place) -> CooldownOverrides {
    let Some(fields) = reader.fields(node, at, "`cooldown`", &keys::COOLDOWN) else {
        return CooldownOverrides::default();
    };
    CooldownOverrides {
        after: count(reader, &fields, "after", 0),
        base: duration(reader, &fields, "base"),
        max: duration(reader, &fields, "max"),
        out_of_credits: duration(reader, &fields, "out_of_credits"),
        auth: duration(reader, &fields, "auth"),
        model_not_found: duration(reader, &fields, "model_not_found"),
    }
}

/// Reads `on`: a class or a status code → what is done.
fn on(reader: &mut Reader<'_>, node: &Node, at: Place) -> Vec<(OnKey, Action)> {
    let mut out = Vec::new();
    for entry in reader.entries(node, at, "`on`").unwrap_or_default() {
        let key = match on_key(&entry.name.value) {
            Ok(key) => Some(key),
            Err(complaint) => {
                reader.complain(&entry.name, complaint);
                None
            }
        };
        let what = format!("`on` for {}", quote(entry.name.written));
        out.extend(key.zip(reader.one_of(entry.value, &what, &Action::NAMES)));
    }
    out
}

fn on_key(text: &str) -> Result<OnKey, Complaint> {
    if let Some(class) = Class::in_policy().find(|class| class.name() == text) {
        return Ok(OnKey::Class(class));
    }
    if let Ok(status) = text.parse::<u16>() {
        return match status {
            400..=599 => Ok(OnKey::Status(status)),
            _ => Err(Complaint::new(
                "unknown-class",
                "is not the status code of a failure",
                "those are 400 to 599",
            )),
        };
    }
    let names = words::classes();
    let help = match nearest(text, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "the classes are {}; or write a status code such as `429`",
            names.join(", ")
        ),
    };
    Err(Complaint::new(
        "unknown-class",
        "is neither a class nor a status code",
        help,
    ))
}

fn duration(reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str) -> Option<Duration> {
    fields
        .get(name)
        .and_then(|node| reader.value(node, &format!("`{name}`"), quantity::duration))
}

fn count(reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str, least: u32) -> Option<u32> {
    let range = least..=ATTEMPTS_MAX;
    fields
        .get(name)
        .and_then(|node| reader.value(node, &format!("`{name}`"), |text| quantity::integer(text, &range)))
}
