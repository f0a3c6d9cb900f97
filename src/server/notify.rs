//! Messages to the service manager about the state of the server. They wait here for a thread of their own to send
//! them: the service manager may stall, and must not delay anything else.

use std::fmt::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::sleep;

/// How long the last messages, before the process ends or another one takes charge, may take.
const FLUSH_MAX: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);

static OUTBOX: Outbox = Outbox {
    state: Mutex::new(State {
        messages: Vec::new(),
        accepted: 0,
        sent: 0,
        has_sender: false,
        is_closed: false,
    }),
    changed: Condvar::new(),
};

/// The kind of a message. A waiting message is replaced by a later one of its kind, so there are never more than these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ready,
    Reloading,
    Stopping,
    MainProcess,
    Status,
    Watchdog,
}

struct Outbox {
    state: Mutex<State>,
    /// A message came, or one was sent.
    changed: Condvar,
}

struct State {
    /// The messages that wait, in the order in which they are sent.
    messages: Vec<(Kind, String)>,
    accepted: u64,
    /// How many of the accepted messages were sent, given up, or replaced.
    sent: u64,
    has_sender: bool,
    /// Another process is in charge: this one sends nothing more to the service manager.
    is_closed: bool,
}

/// Reports that connections are accepted.
pub(super) fn ready(status: &str) {
    tell(Kind::Ready, &[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that a reload has begun, with the time, without which newer versions of systemd take it for an earlier
/// reload (systemd.service(5), `Type=notify-reload`).
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(time) => tell(Kind::Reloading, &[NotifyState::Reloading, time]),
        Err(_) => tell(Kind::Reloading, &[NotifyState::Reloading]),
    }
}

/// A reload is over, well or not.
pub(super) fn reloaded(status: &str) {
    tell(Kind::Ready, &[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn stopping() {
    tell(Kind::Stopping, &[NotifyState::Stopping]);
}

/// Sets the one line that `systemctl status` shows from now on.
pub(super) fn status(line: &str) {
    tell(Kind::Status, &[NotifyState::Status(line)]);
}

/// Reports to the watchdog that requests are answered.
pub(super) fn alive() {
    tell(Kind::Watchdog, &[NotifyState::Watchdog]);
}

/// Says which process is in charge from now on, as the last message of this process. Returns when it was sent, or when
/// the service manager has taken too long.
pub(super) fn hand_over(pid: u32) {
    tell(Kind::MainProcess, &[NotifyState::MainPid(pid)]);
    OUTBOX.lock().is_closed = true;
    flush();
}

/// Returns when all messages have been sent, or have had their time.
pub(super) fn flush() {
    let state = OUTBOX.lock();
    let accepted = state.accepted;
    let waited = OUTBOX
        .changed
        .wait_timeout_while(state, FLUSH_MAX, |state| state.sent < accepted);
    drop(waited);
}

/// Returns when all messages have been sent.
pub(super) async fn all_sent() {
    while !OUTBOX.lock().is_all_sent() {
        sleep(LOOK_EVERY).await;
    }
}

/// Returns whether there is a service manager that listens.
pub(super) fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Queues a message; does nothing without a service manager, or if another process is in charge.
fn tell(kind: Kind, state: &[NotifyState<'_>]) {
    if !is_heard() {
        return;
    }
    let mut message = String::new();
    for part in state {
        // Writing to a string can't fail.
        let _ = writeln!(message, "{part}");
    }
    OUTBOX.push(kind, message.trim_end().to_owned());
}

impl Outbox {
    fn push(&'static self, kind: Kind, message: String) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        state.put(kind, message);
        if !state.has_sender {
            let sender = thread::Builder::new().name("notify-send".to_owned());
            state.has_sender = sender.spawn(|| self.send()).is_ok();
        }
        drop(state);
        self.changed.notify_all();
    }

    fn send(&self) {
        loop {
            let state = self.changed.wait_while(self.lock(), |state| state.messages.is_empty());
            let (_, message) = state.unwrap_or_else(PoisonError::into_inner).messages.remove(0);
            if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&message)]) {
                log::warn!(error = error.to_string().as_str(); "the service manager could not be told");
            }
            self.lock().sent += 1;
            self.changed.notify_all();
        }
    }

    /// The data behind this lock is consistent at any time: a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_all_sent(&self) -> bool {
        self.sent == self.accepted
    }

    fn put(&mut self, kind: Kind, message: String) {
        let before = self.messages.len();
        self.messages.retain(|(waiting, _)| *waiting != kind);
        self.sent += (before - self.messages.len()) as u64;
        self.messages.push((kind, message));
        self.accepted += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_gives_way_to_the_latest_of_its_kind() {
        let mut state = State {
            messages: Vec::new(),
            accepted: 0,
            sent: 0,
            has_sender: false,
            is_closed: false,
        };
        for n in 0..1000 {
            state.put(Kind::Reloading, format!("reloading {n}"));
            state.put(Kind::Ready, format!("ready {n}"));
            state.put(Kind::Watchdog, "alive".to_owned());
        }
        state.put(Kind::Stopping, "stopping".to_owned());
        let messages: Vec<&str> = state.messages.iter().map(|(_, message)| message.as_str()).collect();
        assert_eq!(messages, ["reloading 999", "ready 999", "alive", "stopping"]);
        assert!(!state.is_all_sent());
        state.sent += 4;
        assert!(state.is_all_sent());
    }
}
