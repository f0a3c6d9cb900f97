//! The models that upstreams list, asked for in the background where a route's `models` says so. No request waits for them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use pingora::server::ShutdownWatch;
use pingora::services::background::{BackgroundService, GenBackgroundService, background_service};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::own_requests;
use crate::protocol::Protocol;
use crate::proxy::Snapshot;
use crate::transport::JudgingConnector;
use crate::transport::lookup::Lookup;
use crate::upstream::Upstream;
use crate::upstream::listing::{self, Turn};

/// How often to check whether a list is due. A reload is noticed within this time.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many may be asked for at once, over all upstreams.
const ASKED_MAX: usize = 4;
/// The most that is read of a list; OpenRouter's is about 1 MiB.
const BODY_BYTES_MAX: usize = 4 << 20;
const CONNECT: Duration = Duration::from_secs(10);
/// How long a whole answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Anthropic lists 20 models unless it is asked for more.
const ANTHROPIC_QUERY: &str = "limit=1000";

/// Without it Anthropic refuses: <https://docs.anthropic.com/en/api/versioning>.
static ANTHROPIC_VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("anthropic-version"),
    HeaderValue::from_static("2023-06-01"),
);

/// Asks until the server stops. Each round uses the snapshot that is current then.
#[derive(Clone)]
pub(super) struct ModelLists {
    snapshot: Arc<ArcSwap<Snapshot>>,
    connector: JudgingConnector,
}

/// The service that asks.
pub(super) fn service(
    snapshot: Arc<ArcSwap<Snapshot>>,
    connector: JudgingConnector,
) -> GenBackgroundService<ModelLists> {
    background_service("models", ModelLists { snapshot, connector })
}

#[async_trait]
impl BackgroundService for ModelLists {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // Dropped at the end, and what is being asked with it.
        let mut asking = JoinSet::new();
        loop {
            self.begin_what_is_due(&mut asking);
            tokio::select! {
                _ = shutdown.changed() => return,
                Some(_) = asking.join_next() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }
}

impl ModelLists {
    fn begin_what_is_due(&self, asking: &mut JoinSet<()>) {
        let snapshot = self.snapshot.load();
        for upstream in snapshot.table.asked_for_models() {
            if asking.len() >= ASKED_MAX {
                return;
            }
            if let Some(turn) = upstream.listing.begin(Instant::now()) {
                asking.spawn(self.clone().ask(Arc::clone(&snapshot), Arc::clone(upstream), turn));
            }
        }
    }

    async fn ask(self, snapshot: Arc<Snapshot>, upstream: Arc<Upstream>, turn: Turn) {
        let asked = self.list(&snapshot, &upstream).await;
        let (models, reason) = match asked {
            Ok(models) => (Some(models), String::new()),
            Err(reason) => (None, reason),
        };
        let name = &*upstream.name;
        match upstream.listing.learn(models, Instant::now()) {
            Some(true) => {
                log::warn!(upstream = name, reason = reason.as_str(); "the upstream's models can't be listed");
            }
            Some(false) => log::info!(upstream = name; "the upstream's models are listed again"),
            None => {}
        }
        drop(turn);
    }

    async fn list(&self, snapshot: &Snapshot, upstream: &Upstream) -> Result<Vec<Arc<str>>, String> {
        let protocol = upstream.protocols.first().copied().unwrap_or(Protocol::OpenAi);
        let query = (protocol == Protocol::Anthropic).then_some(ANTHROPIC_QUERY);
        let path_and_query = upstream.path_and_query(protocol, "/v1/models", query);
        let lookup = Lookup {
            path_and_query: &path_and_query,
            connect: CONNECT,
            headers: ANSWER_MAX,
            deadline: Instant::now() + ANSWER_MAX,
            body_bytes_max: BODY_BYTES_MAX,
        };
        let version = (protocol == Protocol::Anthropic).then_some(&ANTHROPIC_VERSION);
        let headers = own_requests::headers(upstream, protocol, version);
        let endpoint = &snapshot.endpoints[upstream.index];
        let found = self.connector.look_up(endpoint, lookup, headers).await;
        let found = found.map_err(|failure| failure.to_string())?;
        if found.status != 200 {
            return Err(format!("status {}", found.status));
        }
        listing::read(&found.body).ok_or_else(|| "the answer is no list of models".to_owned())
    }
}
