//! The log's lines about a reload: one for its outcome, then one for each fault.

use crate::config::{Config, Severity};
use crate::telemetry;
use crate::telemetry::reload::{Fault, Rejected, Reloaded};

use super::changes::{self, AtStart};
use super::state::{Attempt, State};
use crate::notation::date::Timestamp;
use crate::server::log_settings::log_settings;

/// The configuration `after` took the place of `before`. From here on the log is as it says.
pub(super) fn applied(state: &State, at_start: &AtStart, before: &Config, after: &Config) {
    let settings = log_settings(&after.log);
    // Whichever is the more talkative of the two says it.
    if after.log.level > before.log.level {
        telemetry::set_level(settings.level);
    }
    Reloaded {
        file: &state.file.display().to_string(),
        hash: &state.hash,
        generation: state.generation,
        trigger: state.last.trigger.name(),
        changes: &changes::between(before, after),
    }
    .emit();
    faults(state, &state.last);
    if !state.restart_needed.is_empty() {
        let [waits, stays] = at_start.listeners(after);
        log::warn!(
            target: "switchback::reload", settings = state.restart_needed.join(", ").as_str(),
            listen_waits = waits.as_str(), listen_stays = stays.as_str();
            "these settings take effect with the next start only; everything else is in use"
        );
    }
    telemetry::set_level(settings.level);
    if after.log.format != before.log.format {
        telemetry::set_format(settings.format);
    }
}

/// The last attempt failed.
pub(super) fn rejected(state: &State) {
    let attempt = &state.last;
    let count = |severity| attempt.faults.iter().filter(|fault| fault.severity == severity).count();
    Rejected {
        file: &state.file.display().to_string(),
        hash: attempt.hash.as_deref(),
        trigger: attempt.trigger.name(),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        in_use_since: &format!("{:.0}", Timestamp(state.loaded_at)),
    }
    .emit();
    faults(state, attempt);
}

fn faults(state: &State, attempt: &Attempt) {
    for fault in &attempt.faults {
        Fault {
            error: fault.severity == Severity::Error,
            code: fault.code,
            message: &fault.message,
            at: &fault.at(&state.file),
            help: fault.help.as_deref(),
        }
        .emit();
    }
    if attempt.more_faults > 0 {
        log::warn!(
            target: "switchback::reload", more = attempt.more_faults;
            "`switchback check` shows the other faults"
        );
    }
}
