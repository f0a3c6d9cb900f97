//! The models that clients are told of: the list of models, and the names closest to one that nobody has.

use std::collections::HashSet;
use std::sync::Arc;

use super::table::{Route, RouteTable};
use crate::config::ListedModels;
use crate::notation::{glob, nearest};
use crate::upstream::Upstream;

/// How many names an "unknown model" error suggests.
const SUGGESTIONS_MAX: usize = 3;
/// Longer names are compared by their beginning: the effort grows with the product of the lengths.
const COMPARED_CHARS_MAX: usize = 128;
/// How many of the names that globs list are compared with an unknown one: whoever asks for such a name costs this much.
const COMPARED_MAX: usize = 300;

impl RouteTable {
    /// Lists the names that a client can ask for, in the order of the file, each once: those of routes without `*`, and what
    /// the others say of themselves.
    pub fn models(&self) -> Vec<Arc<str>> {
        let mut seen = HashSet::new();
        let listed = self.routes.iter().flat_map(|route| self.models_of(route, usize::MAX));
        listed.filter(|name| seen.insert(Arc::clone(name))).collect()
    }

    /// Lists what a route says of itself; of what its upstreams list, at most `most` names of each.
    fn models_of(&self, route: &Arc<Route>, most: usize) -> Vec<Arc<str>> {
        match &route.models {
            _ if !glob::is_glob(&route.name) => vec![Arc::clone(&route.name)],
            ListedModels::Own => Vec::new(),
            ListedModels::Names(names) => names.clone(),
            ListedModels::Asked => {
                let mut names = Vec::new();
                for target in route.targets() {
                    for model in target.upstream.listing.models().iter().take(most) {
                        let requested = target.requested_for(model);
                        names.extend(requested.filter(|name| self.leads_to(name, route)).map(Arc::from));
                    }
                }
                names
            }
        }
    }

    /// Returns whether a request for `name` takes this `route`, rather than one that is more exact.
    fn leads_to(&self, name: &str, route: &Arc<Route>) -> bool {
        self.route(name).is_some_and(|found| Arc::ptr_eq(found, route))
    }

    /// Lists the upstreams whose models are to be asked for, each once.
    pub fn asked_for_models(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let asked = |upstream: &Arc<Upstream>| {
            let mut routes = self.routes.iter().filter(|route| route.models == ListedModels::Asked);
            routes.any(|route| route.targets().any(|target| Arc::ptr_eq(&target.upstream, upstream)))
        };
        self.upstreams.iter().filter(move |upstream| asked(upstream))
    }

    /// Returns the names closest to an unknown one, best first: of models, and of routes that would take similar ones.
    pub fn closest(&self, model: &str) -> Vec<String> {
        let model: String = model.chars().take(COMPARED_CHARS_MAX).collect();
        let routes = self.routes.iter().map(|route| Arc::clone(&route.name));
        let globs = self.routes.iter().filter(|route| glob::is_glob(&route.name));
        let listed = globs.flat_map(|route| self.models_of(route, COMPARED_MAX));
        let names = routes.chain(listed.take(COMPARED_MAX));
        let scored = names.filter_map(|name| Some((distance(&model, &name)?, name)));
        let mut scored: Vec<_> = scored.collect();
        // Of two that are as near, the one that was written comes first.
        scored.sort_by_key(|&(distance, _)| distance);
        scored.dedup_by(|later, first| later.1 == first.1);
        let best = scored.into_iter().take(SUGGESTIONS_MAX);
        best.map(|(_, name)| name.to_string()).collect()
    }
}

/// Counts the edits from `model` to `name`; of a glob only what is before its first star and behind its last. `None`: the model
/// is nothing like what the glob takes.
fn distance(model: &str, name: &str) -> Option<usize> {
    let (Some((before, _)), Some((_, after))) = (name.split_once('*'), name.rsplit_once('*')) else {
        return Some(nearest::edits(model, name));
    };
    let chars: Vec<char> = model.chars().collect();
    let begin: String = chars.iter().take(before.chars().count()).collect();
    let end_chars = after.chars().count().min(chars.len());
    let end: String = chars[chars.len() - end_chars..].iter().collect();
    let edits = nearest::edits(&begin, before) + nearest::edits(&end, after);
    (edits * 2 <= glob::literal_chars(name)).then_some(edits)
}
