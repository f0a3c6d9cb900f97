//! What is changed in the bodies that a target is sent.

use std::sync::Arc;

/// Members of each request's JSON body that are changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyEdits {
    /// Names, and the JSON that each is set to.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    pub drop: Vec<Arc<str>>,
}

impl BodyEdits {
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.drop.is_empty()
    }

    /// The names of the members that are set. (What they are set to may be nobody's business.)
    pub fn names_set(&self) -> Vec<&str> {
        self.set.iter().map(|(name, _)| &**name).collect()
    }

    pub fn names_dropped(&self) -> Vec<&str> {
        self.drop.iter().map(|name| &**name).collect()
    }

    /// `self` with what `narrower` says put over it.
    pub fn with(&self, narrower: &Self) -> Self {
        let is_said = |name: &Arc<str>| narrower.drop.contains(name) || narrower.set.iter().any(|(set, _)| set == name);
        let set = self.set.iter().filter(|(name, _)| !is_said(name)).chain(&narrower.set);
        let drop = self.drop.iter().filter(|name| !is_said(name)).chain(&narrower.drop);
        Self {
            set: set.cloned().collect(),
            drop: drop.cloned().collect(),
        }
    }
}
