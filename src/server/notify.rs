//! Telling the service manager and the log where the server stands.

use std::sync::atomic::{AtomicBool, Ordering};

use sd_notify::NotifyState;

/// Another process is in charge: the service manager hears no more of this one.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Connections are accepted.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun. With the time, without which newer systemd takes it for a reload that came earlier
/// (systemd.service(5), `Type=notify-reload`).
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(time) => tell(&[NotifyState::Reloading, time]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// A reload is over, well or not.
pub(super) fn reloaded(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says who is in charge from now on, as the last thing that this process says.
pub(super) fn hand_over(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
    SILENT.store(true, Ordering::Release);
}

/// Whether there is a service manager that listens.
pub(super) fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Does nothing where there is no service manager.
pub(super) fn tell(state: &[NotifyState<'_>]) {
    if SILENT.load(Ordering::Acquire) {
        return;
    }
    if let Err(error) = sd_notify::notify(state) {
        log::warn!(error = error.to_string().as_str(); "the service manager could not be told");
    }
}
