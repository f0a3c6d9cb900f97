//! The line that `systemctl status` shows, sent when it changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::notify;
use super::reload::Reloads;
use crate::proxy::Snapshot;

/// The line is written no more often than this.
const PERIOD: Duration = Duration::from_secs(1);
/// The line names so many upstreams; of more it tells only the number.
const NAMED_MAX: usize = 3;

/// The content of the status line. Clones share it.
#[derive(Clone)]
pub(super) struct StatusLine {
    reloads: Reloads,
    parts: Arc<Mutex<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    cooling: String,
    upgrade: String,
    told: String,
}

impl StatusLine {
    pub(super) fn new(reloads: Reloads) -> Self {
        Self {
            reloads,
            parts: Arc::default(),
        }
    }

    /// Sets the text about an upgrade; empty if there is nothing to say.
    pub(super) fn set_upgrade(&self, text: String) {
        self.parts(|parts| parts.upgrade = text);
    }

    /// The line as it is now.
    pub(super) fn line(&self) -> String {
        let configuration = self.reloads.state().status();
        self.parts(|parts| parts.line(&configuration))
    }

    fn tell_if_changed(&self) {
        let line = self.line();
        let changed = self.parts(|parts| {
            (line != parts.told).then(|| {
                parts.told.clone_from(&line);
            })
        });
        if changed.is_some() {
            notify::status(&line);
        }
    }

    fn parts<T>(&self, look: impl FnOnce(&mut Parts) -> T) -> T {
        look(&mut self.parts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the service manager informed, for as long as the process runs.
    pub(super) async fn run(self, snapshot: Arc<ArcSwap<Snapshot>>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let cooling = cooling(&snapshot.load().table.cooling(Instant::now()));
            self.parts(|parts| parts.cooling = cooling);
            self.tell_if_changed();
        }
    }
}

impl Parts {
    fn line(&self, configuration: &str) -> String {
        let parts = [configuration, &self.cooling, &self.upgrade];
        let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        // A line break would begin another message.
        said.join("; ").replace(['\n', '\r'], " ")
    }
}

fn cooling(targets: &[Arc<str>]) -> String {
    if targets.is_empty() {
        return String::new();
    }
    let named = targets.iter().take(NAMED_MAX).map(AsRef::as_ref).collect::<Vec<&str>>();
    let more = match targets.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("cooling down: {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_bounded() {
        let mut parts = Parts::default();
        assert_eq!(parts.line("2 routes"), "2 routes");
        let names: Vec<Arc<str>> = (0..5).map(|n| Arc::from(format!("u{n}/m"))).collect();
        parts.cooling = cooling(&names);
        parts.upgrade = "upgrade failed:\nno".to_owned();
        assert_eq!(
            parts.line("2 routes"),
            "2 routes; cooling down: u0/m, u1/m, u2/m and 2 more; upgrade failed: no"
        );
        assert_eq!(cooling(&names[..1]), "cooling down: u0/m");
        assert_eq!(cooling(&[]), "");
    }
}
