//! The explanation for people.

use std::fmt::Write;

use http::HeaderName;

use super::asked::Asked;
use super::chain::Place;
use super::explanation::Explanation;
use super::json::key_name;
use super::walk::{Attempt, End, Failed, Span, Walk};
use crate::classify::{Action, Class};
use crate::cli::clocks;
use crate::config::{Balance, BalanceSource, Exhausted};
use crate::notation::duration::Short;
use crate::protocol::Protocol;
use crate::routing::{Next, Route};
use crate::upstream::outbound::REQUEST_ID;

/// The text being written. Writing to a `String` can't fail.
struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    fn bold(&self, text: &str) -> String {
        if self.colour {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

pub(super) fn render(explanation: &Explanation<'_>, colour: bool) -> String {
    let mut page = Page {
        text: String::new(),
        colour,
    };
    heading(&mut page, explanation);
    let mut spread = None;
    for place in &explanation.places {
        let number = place.spread.as_ref().map(|share| share.number);
        if number.is_some() && number != spread {
            page.line("");
            page.line(
                "one of these is drawn by weight for each request; if it fails, the others come next in this order:",
            );
        }
        spread = number;
        target(&mut page, place, explanation.asked);
    }
    policy(&mut page, explanation.route);
    if !explanation.suppositions.is_empty() {
        path(&mut page, explanation);
    }
    page.text
}

fn heading(page: &mut Page, explanation: &Explanation<'_>) {
    let asked = explanation.asked;
    let route = if *explanation.route.name == *asked.model {
        String::new()
    } else {
        format!(" by the route {}", explanation.route.name)
    };
    let stream = if asked.stream { ", streamed" } else { "" };
    let line = format!(
        "{}{route}: POST {}, {} protocol{stream}",
        page.bold(&asked.model),
        asked.path,
        asked.protocol.name()
    );
    page.line(&line);
}

fn target(page: &mut Page, place: &Place<'_>, asked: &Asked) {
    let share = place.spread.as_ref().map_or_else(String::new, |share| {
        format!("  weight {} ({:.0}%)", share.weight, share.fraction() * 100.0)
    });
    let via = match place.via.as_slice() {
        [] => String::new(),
        via => format!("  by route {}", via.join(" > ")),
    };
    page.line("");
    let Some(position) = place.position else {
        let why = passed_over(place, asked);
        page.line(&format!(" -  {}{share}{via}  passed over: {why}", place.name));
        return;
    };
    let line = format!("{position:>2}  {}{share}{via}", page.bold(&place.name));
    page.line(&line);
    let mut row = |label: &str, value: &str| page.line(&format!("    {label:<9}{value}"));
    row("url", &place.shown.url);
    let renamed = if *place.model == *asked.model {
        ""
    } else {
        "  (the body's value is replaced)"
    };
    row("model", &format!("{}{renamed}", place.model));
    let mut label = "headers";
    for (name, value) in place.shown.headers.iter().filter(|(name, _)| *name != REQUEST_ID) {
        row(std::mem::take(&mut label), &format!("{name}: {value}"));
    }
    if place.target.upstream.credential.is_passthrough() {
        row(
            std::mem::take(&mut label),
            "the client's own credentials and cookies go through",
        );
    }
    let body = &place.target.body;
    for (what, names) in [("sets", body.names_set()), ("drops", body.names_dropped())] {
        if !names.is_empty() {
            row("body", &format!("{what} {}", names.join(", ")));
        }
    }
    let upstream = &place.target.upstream;
    for (label, names) in [
        ("removed", &upstream.remove_headers),
        ("forwards", &upstream.forward_headers),
    ] {
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
            row(label, &names.join(", "));
        }
    }
    row("clocks", &clocks::in_words(&place.target.timeouts));
    if let Some(balance) = &place.target.upstream.balance {
        row("balance", &watched(balance.settings()));
    }
}

fn watched(balance: &Balance) -> String {
    let from = match &balance.source {
        BalanceSource::Preset(preset) => preset.name(),
        BalanceSource::At { path_and_query, .. } => path_and_query.split('?').next().unwrap_or_default(),
    };
    format!("{from}, every {}, low below {}", Short(balance.every), balance.low)
}

fn passed_over(place: &Place<'_>, asked: &Asked) -> String {
    let protocols = place.target.upstream.protocols.iter().copied();
    let spoken: Vec<&str> = protocols.map(Protocol::name).collect();
    format!("speaks {}, not {}", spoken.join(" and "), asked.protocol.name())
}

fn policy(page: &mut Page, route: &Route) {
    let retry = &route.retry;
    page.line("");
    page.line(&format!(
        "retry      {} in all, {} at the same target",
        count(retry.attempts, "attempt", "attempts"),
        count(retry.same_target, "more try", "more tries")
    ));
    page.line(&format!(
        "waits      a random time up to {} before another try, doubled each time to at most {}; a retry-after of at most {}",
        Short(retry.backoff),
        Short(retry.max_backoff),
        Short(retry.max_wait)
    ));
    page.line(&format!("deadline   {}", Short(route.timeouts.deadline)));
    let mut seen = Vec::new();
    for &(key, action) in route.on() {
        if !seen.contains(&key) {
            let label = if seen.is_empty() { "on" } else { "" };
            page.line(&format!("{label:<11}{}: {}", key_name(key), action.name()));
            seen.push(key);
        }
    }
    let whose = match route.exhausted {
        Exhausted::Last => "last",
        Exhausted::First => "first",
    };
    page.line(&format!(
        "exhausted  when all have failed, the client gets the {whose} answer"
    ));
}

fn path(page: &mut Page, explanation: &Explanation<'_>) {
    let written: Vec<String> = explanation.suppositions.iter().map(ToString::to_string).collect();
    page.line("");
    let line = page.bold(&format!("if {}", written.join(", ")));
    page.line(&line);
    let rows: Vec<[String; 4]> = explanation.walk.attempts.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for (number, [target, happens, class, next]) in rows.iter().enumerate() {
        page.line(&format!(
            "{:>2}  {target:<a$}  {happens:<b$}  {class:<c$}  {next}",
            number + 1,
            a = widths[0],
            b = widths[1],
            c = widths[2]
        ));
    }
    if !explanation.walk.left_out.is_empty() {
        let left_out = explanation.walk.left_out.join(", ");
        page.line(&format!("not asked, for it cools down by then: {left_out}"));
    }
    page.line("");
    page.line(&ending(&explanation.walk));
    page.line(&format!("x-gateway-attempts: {}", explanation.walk.ledger.to_header()));
}

/// Target, what happens, class, what comes next.
fn row(attempt: &Attempt) -> [String; 4] {
    let target = attempt.target.to_string();
    match &attempt.failed {
        None => [target, "answers".to_owned(), String::new(), String::new()],
        Some(failed) => [
            target,
            happens(attempt, failed),
            failed.outcome.class.name().to_owned(),
            next(failed),
        ],
    }
}

fn happens(attempt: &Attempt, failed: &Failed) -> String {
    let took = Short(attempt.took);
    match (failed.clock, failed.outcome.status, failed.outcome.retry_after) {
        (Some(clock), _, _) => format!("{clock} clock, after {took}"),
        (None, Some(status), Some(wait)) => format!("{status}, retry-after {}", Short(wait)),
        (None, Some(status), None) => status.to_string(),
        (None, None, _) if failed.outcome.class == Class::Connect => "refuses to connect".to_owned(),
        (None, None, _) => "closes without an answer".to_owned(),
    }
}

fn next(failed: &Failed) -> String {
    match failed.next {
        Next::Retry { .. } => format!("retry after {}", range(failed.wait)),
        Next::Fallback if failed.action != Action::Fallback => {
            format!("{} is not possible: fallback", failed.action.name())
        }
        next => next.name().to_owned(),
    }
}

fn ending(walk: &Walk) -> String {
    let after = if walk.took.most.is_zero() {
        "the client gets".to_owned()
    } else {
        format!("after {} the client gets", range(walk.took))
    };
    match &walk.end {
        End::Served { target } => format!("{after} the answer of {target}"),
        End::Failure { target, status } => {
            format!("{after} the {status} of {target}, whole (x-gateway-error-origin: upstream)")
        }
        End::Account { status, message } => {
            format!("{after} a {status} of the gateway's own (x-gateway-error-origin: gateway): {message}")
        }
    }
}

fn range(span: Span) -> String {
    if span.least == span.most {
        Short(span.most).to_string()
    } else {
        format!("{} to {}", Short(span.least), Short(span.most))
    }
}

fn count(number: u32, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}
