//! Telling the service manager and the log where the server stands.

use pingora_core::server::ExecutionPhase;
use sd_notify::NotifyState;
use tokio::sync::broadcast::Receiver;

use super::Bound;

/// Once connections are accepted: one log line a listener, `READY=1` with the `status`, and `on_ready`.
pub(super) fn when_running(
    mut phases: Receiver<ExecutionPhase>,
    bound: Vec<Bound>,
    status: String,
    on_ready: impl FnOnce(&[Bound]) + Send + 'static,
) {
    let wait = move || {
        while let Ok(phase) = phases.blocking_recv() {
            if matches!(phase, ExecutionPhase::Running) {
                for listener in &bound {
                    log::info!(address = listener.to_string().as_str(); "listening");
                }
                tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
                on_ready(&bound);
                return;
            }
        }
    };
    std::thread::spawn(wait);
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

/// Does nothing where there is no service manager.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::warn!(error = error.to_string().as_str(); "the service manager could not be told");
    }
}
