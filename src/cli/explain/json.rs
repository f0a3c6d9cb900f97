//! The explanation for scripts: docs/explain.md describes every member.

use http::HeaderName;
use serde_json::{Map, Value, json};

use super::chain::Place;
use super::explanation::Explanation;
use super::masking::MASK;
use super::walk::{Attempt, End, Span, Walk};
use crate::classify::Action;
use crate::config::{Balance, BalanceSource, Exhausted, OnKey, Timeouts};
use crate::notation::duration::whole_ms;
use crate::protocol::Protocol;
use crate::routing::{Next, Route};

/// Incremented when a member changes its meaning or is removed; new members do not count.
const VERSION: u32 = 1;

pub(super) fn render(explanation: &Explanation<'_>) -> String {
    let asked = explanation.asked;
    let route = explanation.route;
    let retry = &route.retry;
    let told = json!({
        "version": VERSION,
        "model": asked.model,
        "route": &*route.name,
        "protocol": asked.protocol.name(),
        "path": asked.path,
        "stream": asked.stream,
        "chain": explanation.places.iter().map(|it| place(it, explanation)).collect::<Vec<_>>(),
        "deadline_ms": whole_ms(route.timeouts.deadline),
        "retry": {
            "attempts": retry.attempts,
            "same_target": retry.same_target,
            "backoff_ms": whole_ms(retry.backoff),
            "max_backoff_ms": whole_ms(retry.max_backoff),
            "max_wait_ms": whole_ms(retry.max_wait),
        },
        "on": on(route),
        "exhausted": match route.exhausted {
            Exhausted::Last => "last",
            Exhausted::First => "first",
        },
        "if": explanation.suppositions.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "attempts": explanation.walk.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "left_out": explanation.walk.left_out.iter().map(|target| &**target).collect::<Vec<_>>(),
        "client": client(&explanation.walk),
    });
    format!("{told:#}\n")
}

fn place(place: &Place<'_>, explanation: &Explanation<'_>) -> Value {
    let upstream = &place.target.upstream;
    let headers: Vec<Value> = place
        .shown
        .headers
        .iter()
        .map(|(name, value)| json!({ "name": name.as_str(), "value": value, "masked": value.contains(MASK) }))
        .collect();
    json!({
        "target": &*place.name,
        "position": place.position,
        "passed_over": place.position.is_none().then_some("protocol"),
        "upstream": &*upstream.name,
        "provider": upstream.provider.as_deref(),
        "protocols": upstream.protocols.iter().copied().map(Protocol::name).collect::<Vec<_>>(),
        "model": &*place.model,
        "renamed": *place.model != *explanation.asked.model,
        "via": place.via.iter().map(|name| &**name).collect::<Vec<_>>(),
        "spread": place.spread.as_ref().map(|share| json!({
            "number": share.number, "weight": share.weight, "share": share.fraction(),
        })),
        "url": place.shown.url,
        "key": place.shown.key,
        "headers": headers,
        "withheld": place.shown.withheld.iter().map(HeaderName::as_str).collect::<Vec<_>>(),
        "forwarded": place.target.upstream.forward_headers.iter().map(HeaderName::as_str).collect::<Vec<_>>(),
        "body": json!({ "set": place.target.body.names_set(), "drop": place.target.body.names_dropped() }),
        "clocks": clocks(&place.target.timeouts),
        "balance": upstream.balance.as_ref().map(|balance| watched(balance.settings())),
    })
}

/// Writes where the account is read, without the query, which may contain a credential.
fn watched(balance: &Balance) -> Value {
    let (from, path) = match &balance.source {
        BalanceSource::Preset(preset) => (Some(preset.name()), None),
        BalanceSource::At { path_and_query, .. } => (None, path_and_query.split('?').next()),
    };
    json!({ "from": from, "path": path, "every_ms": whole_ms(balance.every), "low": balance.low })
}

fn clocks(timeouts: &Timeouts) -> Value {
    json!({
        "connect_ms": whole_ms(timeouts.connect),
        "headers_ms": whole_ms(timeouts.headers),
        "first_token_ms": whole_ms(timeouts.first_token),
        "answer_ms": whole_ms(timeouts.answer),
        "idle_ms": whole_ms(timeouts.idle),
    })
}

/// Writes the actions that the configuration gives failures; the first entry for a key wins.
fn on(route: &Route) -> Map<String, Value> {
    let mut on = Map::new();
    for &(key, action) in route.on() {
        on.entry(key_name(key)).or_insert_with(|| action.name().into());
    }
    on
}

pub(super) fn key_name(key: OnKey) -> String {
    match key {
        OnKey::Class(class) => class.name().to_owned(),
        OnKey::Status(status) => status.to_string(),
    }
}

fn attempt(attempt: &Attempt) -> Value {
    let failed = attempt.failed.as_ref();
    let outcome = failed.map(|failed| &failed.outcome);
    json!({
        "target": &*attempt.target,
        "began_ms": span(attempt.began),
        "took_ms": whole_ms(attempt.took),
        "status": outcome.map_or(Some(200), |outcome| outcome.status),
        "class": outcome.map(|outcome| outcome.class.name()),
        "clock": failed.and_then(|failed| failed.clock),
        "rule": failed.and_then(|failed| failed.rule),
        "retry_after_ms": outcome.and_then(|outcome| outcome.retry_after).map(whole_ms),
        "action": failed.map_or(Action::Deliver, |failed| failed.action).name(),
        "next": failed.map(|failed| failed.next.name()),
        "wait_ms": failed
            .filter(|failed| matches!(failed.next, Next::Retry { .. }))
            .map(|failed| span(failed.wait)),
    })
}

fn client(walk: &Walk) -> Value {
    let (status, origin, answer_of, message) = match &walk.end {
        End::Served { target } => (200, None, Some(&**target), None),
        End::Failure { target, status } => (*status, Some("upstream"), Some(&**target), None),
        End::Account { status, message } => (*status, Some("gateway"), None, Some(message.as_str())),
    };
    json!({
        "status": status,
        "error_origin": origin,
        "answer_of": answer_of,
        "message": message,
        "after_ms": span(walk.took),
        "ledger": walk.ledger.to_header(),
    })
}

fn span(span: Span) -> Value {
    json!([whole_ms(span.least), whole_ms(span.most)])
}
