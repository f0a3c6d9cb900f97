//! The clocks of a target: what is written in narrower and wider scopes, over the defaults of its provider.

use std::time::Duration;

use super::provider::loads_on_demand;
use super::{Policy, TimeoutOverrides, Timeouts, Upstream};

/// As long as loading a model takes.
const LOADING: Duration = Duration::from_secs(10 * 60);

impl Policy {
    /// The clocks of an upstream of this provider, for which nothing narrower is written.
    pub fn timeouts(&self, provider: Option<&str>) -> Timeouts {
        let mut built_in = Timeouts::default();
        if provider.is_some_and(loads_on_demand) {
            // Ollama gives a load up when its connection closes, and begins anew with the next request.
            built_in.headers = LOADING;
            built_in.first_token = LOADING;
        }
        built_in.with(&self.timeouts)
    }

    /// The clocks of a target: its own win over its route's, those over its upstream's, those over the policy's.
    pub fn target_timeouts(
        &self,
        upstream: &Upstream,
        route: &TimeoutOverrides,
        target: &TimeoutOverrides,
    ) -> Timeouts {
        self.timeouts(upstream.provider.as_deref())
            .with(&upstream.timeouts)
            .with(route)
            .with(target)
    }
}
