//! The status document for a terminal.

use std::time::{Duration, UNIX_EPOCH};

use super::table::{Cell, Table, Tint, plain};
use crate::notation::date::Timestamp;
use crate::status::{Balance, Configuration, Fault, Process, Standing, State, Status, Target, Upstream, Window};

/// How many faults of a rejected reload are shown; `switchback check` shows them all.
const FAULTS_SHOWN_MAX: usize = 10;

pub(super) struct View {
    pub(super) colour: bool,
    /// Which window: the last so many minutes.
    pub(super) minutes: u32,
}

impl View {
    pub(super) fn text(&self, status: &Status) -> String {
        let parts = [
            self.process(&status.process),
            self.configuration(&status.configuration),
            String::from("\n"),
            self.upstreams(status),
            String::from("\n"),
            self.routes(status),
        ];
        parts.concat()
    }

    fn process(&self, process: &Process) -> String {
        let (sign, tint) = if process.ready {
            ("●", Tint::Good)
        } else {
            ("✗", Tint::Bad)
        };
        let state = match &process.reason {
            None => "ready",
            Some(reason) => reason,
        };
        format!(
            "{} switchback {}, process {}, up {}, {} in flight, {}\n",
            tint.paint(&format!("{sign} {}", plain(state)), self.colour),
            process.version,
            process.pid,
            span(process.uptime_seconds as f64),
            process.in_flight,
            plain(&process.listeners.join(", "))
        )
    }

    fn configuration(&self, configuration: &Configuration) -> String {
        let load = &configuration.last_load;
        let mut out = format!(
            "  configuration {} {}, generation {}, since {}\n",
            plain(&configuration.file),
            configuration.hash,
            configuration.generation,
            at(configuration.loaded_unix_ms)
        );
        if !load.ok {
            let title = format!("✗ reload rejected at {}:", at(load.at_unix_ms));
            out += &format!(
                "{} the configuration above still runs\n",
                Tint::Bad.paint(&title, self.colour)
            );
            for fault in load.faults.iter().take(FAULTS_SHOWN_MAX) {
                out += &self.fault(fault, &configuration.file);
            }
            let more = load.faults.len().saturating_sub(FAULTS_SHOWN_MAX) + load.more_faults;
            if more > 0 {
                out += &format!("    and {more} more: `switchback check` shows them\n");
            }
        }
        if !configuration.restart_needed.is_empty() {
            let settings = configuration.restart_needed.join(", ");
            let text = format!("! restart to apply {}", plain(&settings));
            out += &format!("{}\n", Tint::Warn.paint(&text, self.colour));
        }
        out
    }

    fn fault(&self, fault: &Fault, file: &str) -> String {
        let place = [fault.line, fault.column].into_iter().flatten();
        let place: String = place.map(|number| format!(":{number}")).collect();
        let help = fault.help.as_ref().map(|help| format!("; {}", plain(help)));
        format!(
            "    {}[{}]: {}\n      {}{place}{}\n",
            fault.severity,
            fault.code,
            plain(&fault.message),
            plain(file),
            help.unwrap_or_default()
        )
    }

    fn upstreams(&self, status: &Status) -> String {
        let mut table = Table::with_head(&["UPSTREAM", "STATE", "IN FLIGHT", "CREDIT"]);
        for upstream in &status.upstreams {
            table.row(vec![
                Cell::new(&upstream.name, Tint::Plain),
                standing(&upstream.state, "ready", Tint::Quiet),
                Cell::new(in_flight(upstream), Tint::Plain),
                upstream
                    .balance
                    .as_ref()
                    .map_or(Cell::new("not watched", Tint::Quiet), credit),
            ]);
            for resting in &upstream.resting_models {
                let model = Cell::new(format!("  {}", resting.model), Tint::Plain);
                table.row(vec![model, standing(&resting.state, "ready", Tint::Quiet)]);
            }
        }
        table.text(self.colour)
    }

    fn routes(&self, status: &Status) -> String {
        let minutes = format!("LAST {} MIN", self.minutes);
        let mut table = Table::with_head(&["ROUTE", "STATE", &minutes, "P50", "P95", "LAST FAILURE"]);
        for route in &status.routes {
            let name = match route.usable {
                true => Cell::new(&route.name, Tint::Bold),
                false => Cell::new(format!("{} ✗ every target is cooling down", route.name), Tint::Bad),
            };
            table.row(vec![name]);
            let first = route.targets.iter().find(|target| target.usable);
            for target in &route.targets {
                let in_use = first.is_some_and(|first| first.position == target.position);
                table.row(self.target(target, status, in_use));
            }
        }
        table.text(self.colour)
    }

    fn target(&self, target: &Target, status: &Status, in_use: bool) -> Vec<Cell> {
        let window = target.windows.iter().find(|window| window.minutes == self.minutes);
        let upstream = status
            .upstreams
            .iter()
            .find(|upstream| upstream.name == target.upstream);
        let (word, tint) = match in_use {
            true => ("in use", Tint::Good),
            false => ("ready", Tint::Quiet),
        };
        // Its own cooldown, else that of its upstream.
        let state = match upstream {
            Some(upstream) if target.state.standing == Standing::Closed => &upstream.state,
            _ => &target.state,
        };
        let weight = target.weight.map(|weight| format!(" ×{weight}")).unwrap_or_default();
        let latency = window.map(|window| window.total).unwrap_or_default();
        vec![
            Cell::new(format!("  {} {}{weight}", target.position, target.name), Tint::Plain),
            standing(state, word, tint),
            window.map_or(Cell::new("", Tint::Quiet), success),
            Cell::new(ms(latency.p50_ms), Tint::Plain),
            Cell::new(ms(latency.p95_ms), Tint::Plain),
            last_failure(target, status.at_unix_ms),
        ]
    }
}

/// Writes a state in words; `closed` is the word for a target in use.
fn standing(state: &State, closed: &str, tint: Tint) -> Cell {
    let (sign, word, tint) = match state.standing {
        Standing::Closed => ("●", closed, tint),
        Standing::Open => ("○", "cooling down", Tint::Bad),
        Standing::HalfOpen => ("◐", "being tried", Tint::Warn),
    };
    let left = state.seconds_left.map(|seconds| format!(" {}", span(seconds)));
    let class = state.class.as_ref().map(|class| format!(": {class}"));
    let text = [
        format!("{sign} {word}"),
        left.unwrap_or_default(),
        class.unwrap_or_default(),
    ];
    Cell::new(text.concat(), tint)
}

fn in_flight(upstream: &Upstream) -> String {
    match upstream.max_inflight {
        None => upstream.in_flight.to_string(),
        Some(max) => format!("{} of {max}", upstream.in_flight),
    }
}

fn credit(balance: &Balance) -> Cell {
    let unit = balance.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let (text, tint) = match (balance.remaining, balance.is_unlimited) {
        (_, true) => ("without a limit".to_owned(), Tint::Plain),
        (None, _) if !balance.is_empty => ("not read yet".to_owned(), Tint::Quiet),
        (amount, _) => {
            let amount = format!("{:.2}{unit}", amount.unwrap_or(0.0));
            match (balance.is_empty, balance.is_low) {
                (true, _) => (format!("{amount} ✗ empty"), Tint::Bad),
                (_, true) => (format!("{amount} ! below {:.2}", balance.low), Tint::Warn),
                _ => (amount, Tint::Plain),
            }
        }
    };
    let failing = balance
        .error
        .as_ref()
        .map(|error| format!(" (last reading failed: {error})"));
    Cell::new(text + &failing.unwrap_or_default(), tint)
}

fn success(window: &Window) -> Cell {
    let Some(rate) = window.success_rate else {
        return Cell::new("no attempts", Tint::Quiet);
    };
    let tint = match window.attempts == window.succeeded {
        true => Tint::Plain,
        false => Tint::Warn,
    };
    // Downwards: what has failed never looks like 100 %.
    let percent = (rate * 1000.0).floor() / 10.0;
    Cell::new(format!("{percent:.1} % of {}", window.attempts), tint)
}

fn last_failure(target: &Target, now_unix_ms: u64) -> Cell {
    let Some(failure) = target.last_failures.first() else {
        return Cell::new("", Tint::Quiet);
    };
    let ago = Duration::from_millis(now_unix_ms.saturating_sub(failure.at_unix_ms));
    let status = failure.status.map(|status| format!(" {status}")).unwrap_or_default();
    Cell::new(
        format!("{}{status}, {} ago", failure.class, span(ago.as_secs_f64())),
        Tint::Quiet,
    )
}

fn ms(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(ms) if ms < 1.0 => "<1 ms".to_owned(),
        Some(ms) if ms < 1000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.2} s", ms / 1000.0),
    }
}

fn span(seconds: f64) -> String {
    let seconds = Duration::from_secs_f64(seconds.clamp(0.0, 1e12).ceil()).as_secs();
    match (seconds / 60, seconds / 3600) {
        (0, _) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min {:02} s", seconds % 60),
        (minutes, hours) if hours < 48 => format!("{hours} h {} min", minutes % 60),
        (_, hours) => format!("{} d {} h", hours / 24, hours % 24),
    }
}

fn at(unix_ms: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms));
    time.map(|time| format!("{:.0}", Timestamp(time))).unwrap_or_default()
}
