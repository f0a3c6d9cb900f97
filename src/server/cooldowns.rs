//! The cooldowns of the gateway in this process, for the drill: an upstream that it has healed must not stay out.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use crate::proxy::Snapshot;

/// Whoever starts the gateway keeps a copy. Before the start there is nothing to end.
#[derive(Debug, Clone, Default)]
pub struct Cooldowns(Arc<OnceLock<Arc<ArcSwap<Snapshot>>>>);

impl Cooldowns {
    pub(super) fn belong_to(&self, snapshot: &Arc<ArcSwap<Snapshot>>) {
        // A handle is for one gateway: a second one would keep its cooldowns.
        let _ = self.0.set(Arc::clone(snapshot));
    }

    /// Ends all cooldowns of `upstream` and of its models, and returns how many there were.
    pub fn end(&self, upstream: &str) -> usize {
        let Some(snapshot) = self.0.get() else {
            return 0;
        };
        let snapshot = snapshot.load();
        let named = snapshot.table.upstreams.iter().find(|known| &*known.name == upstream);
        named.map_or(0, |upstream| upstream.registry.recover())
    }
}
