//! All that `explain` tells, before it is text or JSON.

use super::asked::Asked;
use super::chain::Place;
use super::supposition::Supposition;
use super::walk::Walk;
use crate::routing::Route;

/// Everything that is told.
pub(super) struct Explanation<'a> {
    pub(super) asked: &'a Asked,
    pub(super) route: &'a Route,
    pub(super) places: Vec<Place<'a>>,
    pub(super) suppositions: &'a [Supposition],
    pub(super) walk: Walk,
}
