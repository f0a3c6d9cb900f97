//! Telling the service manager and the log where the server stands.

use pingora_core::server::ExecutionPhase;
use sd_notify::NotifyState;
use tokio::sync::broadcast::Receiver;

use super::Bound;

/// Once connections are accepted: one log line a listener, `READY=1`, and `on_ready`.
pub(super) fn when_running(
    mut phases: Receiver<ExecutionPhase>,
    bound: Vec<Bound>,
    on_ready: impl FnOnce(&[Bound]) + Send + 'static,
) {
    std::thread::spawn(move || {
        while let Ok(phase) = phases.blocking_recv() {
            if matches!(phase, ExecutionPhase::Running) {
                for listener in &bound {
                    log::info!(address = listener.to_string().as_str(); "listening");
                }
                tell(&[NotifyState::Ready]);
                on_ready(&bound);
                return;
            }
        }
    });
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
